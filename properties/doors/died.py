"""What is told of a property whose process died: how it ended, and in which call."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from .. import ending
from ..run import trial

if TYPE_CHECKING:
    from ..inputs.cases import Case
    from .report import Cell


def end_of(node: Any, patience: float = 2.0) -> str:
    """How a worker ended, in brackets, as far as execnet lets one ask its process."""
    process: Any = getattr(getattr(node.gateway, "_io", None), "popen", None)
    try:
        return f" ({ending.told(process.wait(patience))})"
    except (AttributeError, TypeError, subprocess.TimeoutExpired):
        return ""


def reason(seconds: float, limit: float | None, end: str) -> str:
    """Why there is no verdict, after so many seconds of those that a property has."""
    if limit and seconds >= float(limit):
        return f"no answer within {float(limit):g} s; its process was ended"
    return f"its process died after {seconds:.1f} s{end}"


def told(cell: Cell, case: Case | None, imports: str, again: str) -> str:
    """The whole text; the cell gets the case that was at hand, where it is known."""
    from ..inputs.window import window

    if case is None:
        cell.reason += "; the property makes its own calls, so the input is not known"
        return f"{cell.identifier}: {cell.reason}\n\nagain:  {again}"
    # Properties also call it on variations of a case, and in ways of their own.
    script = case.script(imports)
    if trial.exit_code(script) == 0:
        lines = [
            "# This call alone returns; in the way of the property it is made by",
            f"# {again}",
        ]
        script = "\n".join([*lines, script])
    cell.reason += f"; the case at hand was {_summary(case)}"
    cell.counterexample = {
        "what": cell.reason,
        "got": "no answer",
        "wanted": "an answer",
        "bound": "exact",
        "case": case.to_dict(),
        "tensors": window(case),
        "script": script,
        "again": again,
    }
    program = [f"    {line}".rstrip() for line in script.splitlines()]
    return "\n".join([f"{cell.identifier}: {cell.reason}", "", *program, "", f"again:  {again}"])


def _summary(case: Case) -> str:
    """A case in a line."""
    reduction = f", reduction={case.reduction!r}" if case.reduction else ""
    bits = case.mask.bits
    mask = bits if isinstance(bits, str) else "".join("01"[bit] for bit in bits)
    return (
        f"{case.function} of shape {case.shape}, {case.x_recon.dtype} and {case.x.dtype}, "
        f"mask {mask}{reduction}"
    )
