"""The generated part of docs/wild.md: the table, what was not asked, and the counterexamples.

Every cell comes from the report of one run, `python -m wavemae.properties ... --report-json`.
`tox run -e wild -- --wild-write` writes the page anew; without it the tests compare.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from wavemae.properties import Case, Claims, Constant, Operand

from .catalogue import Entry

DOCUMENT = Path(__file__).parents[2] / "docs" / "wild.md"

FAMILIES = {
    "value": ("C4", "C5", "C6", "C7", "C10"),
    "exclusion": ("C8", "C9", "C12"),
    "gradient": ("C11", "C13"),
    "manners": ("C1", "C2", "C3", "C14", "C15", "C16"),
    "execution": ("C17", "C18", "C19"),
}


def fill(document: str, name: str, text: str) -> str:
    """The document with the part between `<!-- name -->` and `<!-- end -->` replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->\n)"
    found, count = re.subn(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", document, flags=re.DOTALL)
    assert count == 1, f"docs/wild.md has {count} parts called {name}"
    return found


def filled(document: str, report: dict[str, Any], entries: tuple[Entry, ...]) -> str:
    """The whole page, its generated parts as this report says."""
    document = fill(document, "table", table(report, entries))
    document = fill(document, "claims", claims(entries))
    return fill(document, "counterexamples", counterexamples(report, entries))


def cells_of(report: dict[str, Any], entry: Entry) -> list[dict[str, Any]]:
    """The cells of one implementation, in the order of the clauses."""
    (subject,) = (s for s in report["subjects"] if s["target"] == entry.target)
    assert subject["unusable"] is None, subject["unusable"]
    cells: list[dict[str, Any]] = subject["cells"]
    return sorted(cells, key=lambda c: (int(c["clause"][1:]), c["property"]))


def table(report: dict[str, Any], entries: tuple[Entry, ...]) -> str:
    """Implementation × family of clauses."""
    head = ["implementation", "what is called", *FAMILIES]
    lines = [_row(head), _row(["---"] * len(head))]
    for entry in entries:
        cells = cells_of(report, entry)
        counts = [_count([c for c in cells if c["clause"] in f]) for f in FAMILIES.values()]
        name = f"{entry.subject.name} ({entry.version})"
        lines.append(_row([name, f"`{entry.module.CALLS}`", *counts]))
    return "\n".join(lines)


def _count(cells: list[dict[str, Any]]) -> str:
    """How many of the properties that were asked fail."""
    states = [c["state"] for c in cells]
    assert set(states) <= {"pass", "FAIL", "also", "xfail", "not claimed", "skipped"}, states
    asked = len(states) - states.count("not claimed") - states.count("skipped")
    if not asked:
        return "not claimed"
    fails = states.count("FAIL")
    words = [f"**{fails}** fail"] if fails else []
    others = {"also": states.count("also"), "declared": states.count("xfail")}
    words += [f"{number} {kind}" for kind, number in others.items() if number]
    return f"{', '.join(words)} of {asked}" if words else f"all {asked} hold"


def claims(entries: tuple[Entry, ...]) -> str:
    """For each module how it is given the mask, and what was not asked of it, and why."""
    lines = []
    for module in dict.fromkeys(entry.module for entry in entries):
        subjects = [entry.subject for entry in entries if entry.module is module]
        names = ", ".join(subject.name for subject in subjects)
        lines.append(f"- **{names}**. Mask: {module.MASK}.")
        for why in dict.fromkeys(module.NOT_CLAIMED.values()):
            named = [
                f"`{claim}`{_said(getattr(subjects[0].claims, claim))}"
                for claim, reason in module.NOT_CLAIMED.items()
                if reason == why
                # said once on the page, above the list
                and claim not in ("distributed", "strict_inputs")
            ]
            lines += [f"  - {', '.join(named)}: {why}."] if named else []
        expected = subjects[0].expected_failures
        for why in dict.fromkeys(expected.values()):
            named = [f"`{p}`" for p, reason in expected.items() if reason == why]
            lines.append(f"  - declared, {', '.join(named)}: {why}.")
    return "\n".join(lines)


def _said(value: Any) -> str:
    """What is claimed instead; nothing where the claim is dropped altogether."""
    if value is False:
        return ""
    return f" = {', '.join(map(str, value)) if isinstance(value, tuple) else value}"


def undeclared(entry: Entry) -> set[str]:
    """Claims that are weakened without a reason, or reasons for claims that are not weakened."""
    default = Claims()
    weakened = {
        field.name
        for field in dataclasses.fields(Claims)
        if getattr(entry.subject.claims, field.name) != getattr(default, field.name)
    }
    return weakened ^ set(entry.module.NOT_CLAIMED)


def counterexamples(report: dict[str, Any], entries: tuple[Entry, ...]) -> str:
    """For each failure the smallest input that the suite found, and what came of it."""
    parts = []
    for entry in entries:
        failed = [c for c in cells_of(report, entry) if c["state"] in ("FAIL", "xfail")]
        parts += [
            f"<details><summary>{entry.subject.name}: {len(failed)}</summary>",
            "",
            _row(["property", "what came out", "smallest input", "got", "wanted"]),
            _row(["---"] * 5),
        ]
        for cell in failed:
            found = cell["counterexample"]
            parts.append(
                _row(
                    [
                        f"`{cell['property']}`",
                        _short(found["what"]),
                        _input(found["case"]),
                        _code(_short(found["got"])),
                        _code(_short(found["wanted"])),
                    ]
                )
            )
        parts += ["", "</details>", ""]
    return "\n".join(parts).rstrip()


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`" if text else ""


def _short(text: str) -> str:
    """One line, without places in files, numbers to six digits."""
    text = " ".join(text.split())
    text = re.sub(r"(\w+) raised at \S+ in \S+", r"\1", text)
    text = re.sub(r"-?\d+\.\d{3,}(?:e[+-]?\d+)?", lambda m: f"{float(m[0]):.6g}", text)
    return text if len(text) <= 110 else text[:107] + "..."


def _input(described: dict[str, Any] | None) -> str:
    """A case in a few words: its values where they are few, else its size, and what is special."""
    if described is None:
        return "calls of its own"
    case = Case.from_dict(described)
    inputs = case.build()
    dtypes = (case.x_recon.dtype, case.x.dtype)
    if case.count <= 4:
        words = [
            f"{name} {_values(tensor)} {dtype}"
            for name, tensor, dtype in zip(("x_recon", "x"), inputs[:2], dtypes, strict=True)
        ]
        words.append(f"mask {inputs.mask.tolist()}")
    else:
        words = [
            f"{case.shape[0]} × {case.shape[1]}",
            " and ".join(dict.fromkeys(dtypes)),
            f"{int(inputs.mask.sum())} masked",
        ]
        outside = [f"{n} {o.outside:g}" for n, o in _operands(case) if o.outside is not None]
        outside = outside or _huge([tensor.detach()[~inputs.mask] for tensor in inputs[:2]])
        words += [f"outside the mask {' and '.join(outside)}"] if outside else []
        values = [
            f"{name} {operand.values.value:g}"
            for name, operand in _operands(case)
            if isinstance(operand.values, Constant)
        ]
        words += [" and ".join(values)] if values else []
    words.append(case.effective_reduction)
    return _code(", ".join(words))


def _huge(values: list[Tensor]) -> list[str]:
    """What is said of values outside the mask whose squares may not be finite."""
    found = torch.cat([v.double().abs() for v in values])
    return [f"up to {found.max():.3g}"] if found.numel() and found.max() > 1e9 else []


def _operands(case: Case) -> tuple[tuple[str, Operand], tuple[str, Operand]]:
    return ("x_recon", case.x_recon), ("x", case.x)


def _values(tensor: Tensor) -> str:
    return str([[float(f"{v:.6g}") for v in row] for row in tensor.detach().tolist()])
