"""Clause × property × mutant: which wrong implementation each property must notice.

`pytest tests/suite/test_mutants.py --matrix` runs every killer and prints how that went; with
`--matrix-write` the table in docs/matrix.md is written anew.
"""

from __future__ import annotations

import ast
import contextlib
import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wavemae.properties
from wavemae.properties import PROPERTIES, Violation

from ..mutants import MUTANTS

_ROOT = Path(__file__).parents[2]
_HOUSE = Path(wavemae.properties.__file__).parent
DOCUMENT = _ROOT / "docs" / "matrix.md"
CLAUSES = tuple(re.findall(r"^- \*\*(C\d+)\*\*", (_ROOT / "CONTRACT.md").read_text(), re.MULTILINE))

_HEAD = """# The matrix: clause × property × mutant

Each property checks one clause and is seen to fail: at least one wrong implementation in
`tests/mutants` names it as the property that must notice. `tox run -e matrix` runs every pair
named here, prints the count, and fails if a mutant lives or a cell is empty; the tests keep this
page equal to the code.
"""


@dataclass(frozen=True)
class Kill:
    """How a mutant ended, and the seconds until its first killer struck."""

    mutant: str
    died: bool
    seconds: float


@contextlib.contextmanager
def findings() -> Iterator[list[str]]:
    """The lines of the suite at which violations are made meanwhile, "judge/contract.py:101"."""
    found: list[str] = []
    plainly = Violation.__init__

    def told(self: Violation, *arguments: Any, **named: Any) -> None:
        frame: Any = sys._getframe(1)
        while frame and (not _in_house(frame) or frame.f_code.co_name == "fail"):
            frame = frame.f_back
        if frame:
            file = Path(frame.f_code.co_filename).relative_to(_HOUSE)
            found.append(f"{file}:{frame.f_lineno}")
        plainly(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Violation, "__init__", told)
        yield found


def _in_house(frame: Any) -> bool:
    return Path(frame.f_code.co_filename).is_relative_to(_HOUSE)


def lines_that_find() -> dict[str, range]:
    """Where the suite makes a finding: file and first line, with the lines of the statement.

    That `Contract.fail` makes is found where that is called. Ports are programs and no mutants, and
    what a call does outside is found in another process: test_ports.py and test_outside.py lead to
    those lines.
    """
    found = {}
    elsewhere = {*(_HOUSE / "ports").rglob("*.py"), _HOUSE / "judge" / "outside.py"}
    for file in sorted({*_HOUSE.rglob("*.py")} - elsewhere):
        nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
        fails = [n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == "fail"]
        inner = {id(node) for fail in fails for node in ast.walk(fail)}
        for node in nodes:
            if not isinstance(node, ast.Call) or id(node) in inner:
                continue
            name = ast.unparse(node.func)
            if name == "Violation" or (name.endswith(".fail") and "pytest" not in name):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                found[f"{file.relative_to(_HOUSE)}:{node.lineno}"] = lines
    return found


def unreached(made: Iterable[str]) -> list[str]:
    """Lines that make a finding, and that no mutant led to."""
    hit = {(file, int(line)) for file, _, line in (place.rpartition(":") for place in made)}
    return [
        place
        for place, lines in lines_that_find().items()
        if not any((place.rpartition(":")[0], line) in hit for line in lines)
    ]


def holes() -> list[str]:
    """What the matrix lacks: clauses without property, properties without clause text or mutant."""
    found = []
    named = {identifier for mutant in MUTANTS.values() for identifier in mutant.killed_by}
    for clause in CLAUSES:
        if clause not in {prop.clause for prop in PROPERTIES.values()}:
            found.append(f"{clause} has no property")
        if clause not in {mutant.clause for mutant in MUTANTS.values()}:
            found.append(f"{clause} has no mutant")
    for prop in PROPERTIES.values():
        if prop.clause not in CLAUSES:
            found.append(f"{prop.id} names no clause")
        if prop.id not in named:
            found.append(f"{prop.id} kills no mutant")
        for field in ("statement", "rationale", "catches"):
            if not getattr(prop, field).strip():
                found.append(f"{prop.id} has no {field}")
    found += [
        f"{identifier} is no property, yet it must kill" for identifier in named - {*PROPERTIES}
    ]
    found += [f"{m.name} names no killer" for m in MUTANTS.values() if not m.killed_by]
    return found


def document() -> str:
    """The page docs/matrix.md."""
    lines = [_HEAD, summary(), ""]
    for clause in CLAUSES:
        lines += [f"## {clause}", "", "| property | what must hold | catches | mutants |"]
        lines += ["| --- | --- | --- | --- |"]
        for prop in PROPERTIES.values():
            if prop.clause == clause:
                killed = [m.name for m in MUTANTS.values() if prop.id in m.killed_by]
                cells = f"`{prop.id}`", prop.statement, prop.catches, ", ".join(killed)
                lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def summary() -> str:
    """The size of the matrix in one line."""
    pairs = sum(len(mutant.killed_by) for mutant in MUTANTS.values())
    clauses = {prop.clause for prop in PROPERTIES.values()}
    return (
        f"{len(clauses)} clauses, {len(PROPERTIES)} properties, {len(MUTANTS)} mutants, {pairs} "
        "pairs of a mutant and a property that must notice it."
    )


def outcome(kills: Iterable[Kill]) -> list[str]:
    """What a run of the killers showed."""
    done = list(kills)
    dead = [kill for kill in done if kill.died]
    lines = [f"{len(dead)} of {len(done)} mutants killed by the properties they name"]
    lines += [f"  lives: {kill.mutant}" for kill in done if not kill.died]
    if dead:
        seconds = sorted(kill.seconds for kill in dead)
        lines.append(
            f"time to the kill: median {statistics.median(seconds):.2f} s, "
            f"nine in ten within {seconds[int(0.9 * (len(seconds) - 1))]:.2f} s"
        )
    return [*lines, *(f"hole: {hole}" for hole in holes())]
