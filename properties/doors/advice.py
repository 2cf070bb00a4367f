"""Which claims a subject would not keep by design, as the line that says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from . import catalogue
from .causes import severity

if TYPE_CHECKING:
    from .report import Cell

# Claims that stand behind all properties whose ids begin so: if all raise, it looks meant. A few of
# them, as a selection leaves, show nothing.
_OF_PROPERTIES = {
    "forward_mode": "C13-forward-",
    "data_independent": "C17-meta",
    "compile": "C18-",
    "distributed": "C20-",
}
_REFUSALS = "C3-"
_IN_WORDS = {
    "gradients": "has no gradients",
    "second_order": "has no second order",
    "forward_mode": "has no forward mode",
    "transforms": "cannot be mapped by vmap",
    "data_independent": "reads its data, so that meta tensors fail",
    "compile": "is not taken by torch.compile",
    "distributed": "does not take DTensors",
    "strict_inputs": "checks no arguments",
    "half_result": "gives half results for half inputs",
}
_RAISED = re.compile(r"came out|raised|\w+(Error|Exception)\b")
_VARIES = re.compile(r"torch\.\w+|\d+")
_ALL_DTYPES = ("float32", "float64", "float16", "bfloat16")


def advised(traits: Mapping[str, Any], cells: Iterable[Cell]) -> list[str]:
    """What looks like a design in words, then the claims that say so; nothing if nothing fails.

    `traits` are the fields of `run.traits.Traits`.
    """
    cells = [*cells]
    kept = [cell for cell in cells if cell.state in ("FAIL", "also", "pass")]
    if not traits or not any(cell.state == "FAIL" for cell in kept):
        return []
    stated, refused = dict(traits["claims"]), dict(traits["refused"])
    plain = {_said(cell) for cell in kept if cell.clause in ("C2", "C4") and _raises(cell)}
    for claim, start in _OF_PROPERTIES.items():
        asked = [cell for cell in kept if cell.identifier.startswith(start)]
        own = (_raises(cell) and _said(cell) not in plain for cell in asked)
        if asked and _whole(start, cells) and all(own):
            refused[claim] = False
    asked = [cell for cell in kept if cell.identifier.startswith(_REFUSALS)]
    lax = sum(cell.state == "FAIL" and severity(cell) == "refusal" for cell in asked)
    if lax > len(asked) / 2 and _whole(_REFUSALS, cells):
        refused["strict_inputs"] = False
    if refused.get("gradients") is False:
        for claim in ("second_order", "forward_mode"):
            refused.pop(claim, None)
    if not refused:
        return []
    words = ", ".join(_words(claim, value, stated) for claim, value in refused.items())
    fields = (f"{claim}={_shown(value)}" for claim, value in {**stated, **refused}.items())
    return [words, f"claims=Claims({', '.join(fields)})"]


def _whole(start: str, cells: Iterable[Cell]) -> bool:
    """Whether all properties whose ids begin so came to an answer, none left out or cut short."""
    answered = {cell.identifier for cell in cells if cell.state not in ("error", "not run")}
    return answered >= {entry.id for entry in catalogue.entries() if entry.id.startswith(start)}


def _raises(cell: Cell) -> bool:
    """Whether an exception is what fails here, and here alone."""
    found = cell.counterexample
    said = f"{found['what']} {found['got']}" if found else cell.reason
    return cell.state == "FAIL" and not cell.elsewhere and bool(_RAISED.search(said))


def _said(cell: Cell) -> str:
    """What failed, without the dtypes and numbers of the case."""
    found = cell.counterexample
    return _VARIES.sub("", found["what"] if found else cell.reason)


def _words(claim: str, value: Any, stated: Mapping[str, Any]) -> str:
    if claim == "dtypes":
        left = [name for name in stated.get(claim, _ALL_DTYPES) if name not in value]
        return f"raises for {' and '.join(left)}"
    if claim == "reductions":
        return f"offers {' and '.join(value)} only"
    return _IN_WORDS[claim]


def _shown(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, (list, tuple)) else repr(value)
