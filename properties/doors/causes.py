"""Failures by what is behind them: one mistake fails many properties, and is to be read once.

A cause is told by what the failures say: an exception by its type and words, anything else by the
part of the contract that broke, by how, and by whether it breaks in plain calls or in one kind of
situation alone. It decides what is shown first and nothing else; no verdict depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import Cell

# What a failure does to whoever uses the loss, worst first.
SEVERITIES = ("wrong value or gradient", "crash", "refusal", "manners", "execution")
_SITUATIONS = ("C16", "C17", "C18", "C19", "C20")
_ENDED = re.compile(r"(its process died|no answer within)")
_WRONG = re.compile(r"the (value|gradient)")


@dataclass(frozen=True)
class Cause:
    """Failures of one target that have one thing behind them.

    Attributes:
        severity: the worst of its cells, one of `SEVERITIES`.
        what: what broke, in words.
        cells: its failures, the one that shows it best first.
    """

    severity: str
    what: str
    cells: tuple[Cell, ...]

    @property
    def first(self) -> Cell:
        return self.cells[0]


def severity(cell: Cell) -> str:
    """What a failing cell is about, one of `SEVERITIES`."""
    what = _what(cell)
    if _ENDED.match(what):
        return "crash"
    if _came_out(what):
        alone = cell.clause in _SITUATIONS[1:] and not cell.elsewhere
        return "execution" if alone else "crash"
    number = _number(_part(cell))
    if _WRONG.match(what) or 4 <= number <= 13:
        return "wrong value or gradient"
    return "refusal" if number < 4 else "manners" if number <= 16 else "execution"


def causes(cells: Iterable[Cell]) -> list[Cause]:
    """The causes behind the failing cells of one target, worst first.

    What is "also" joins the cause that it is a sign of; where all of a cause is "also", as with an
    expected failure, it is none of those returned.
    """
    groups: dict[tuple[str, ...], list[Cell]] = {}
    strays = []
    failing = sorted(cells, key=_order)
    for cell in failing:
        if cell.state == "FAIL":
            groups.setdefault(_key(cell), []).append(cell)
    for cell in failing:
        if cell.state == "also":
            groups.get(_key(cell), strays).append(cell)
    for cell in strays:  # the same part, otherwise put
        parts = (group for key, group in groups.items() if key[:2] == _key(cell)[:2])
        next(parts, []).append(cell)
    found = [_cause(group) for group in groups.values()]
    return sorted(found, key=lambda cause: (SEVERITIES.index(cause.severity), _order(cause.first)))


def _cause(cells: list[Cell]) -> Cause:
    worst = min((severity(cell) for cell in cells), key=SEVERITIES.index)
    return Cause(worst, _what(cells[0]), tuple(cells))


def _order(cell: Cell) -> tuple[bool, bool, int, str]:
    """What shows a cause best comes first: what fails, in plain calls, under an early clause."""
    return cell.state != "FAIL", cell.elsewhere, _number(cell.clause), cell.identifier


def _key(cell: Cell) -> tuple[str, ...]:
    """What the failures of one cause have in common."""
    what = _what(cell)
    if ended := _ENDED.match(what):
        return "", ended[1]
    if said := _came_out(what):
        return "", said
    alone = cell.clause in _SITUATIONS and not cell.elsewhere
    place = cell.clause if alone else ""
    return place, _part(cell), _plain(what)


def _part(cell: Cell) -> str:
    """The clause of which a part broke."""
    return cell.part if re.fullmatch(r"C\d+", cell.part) else cell.clause


def _what(cell: Cell) -> str:
    return str(cell.counterexample["what"]) if cell.counterexample else cell.reason


def _came_out(what: str) -> str:
    """Type and words of the exception that a failure tells of, without what differs by case."""
    found = re.match(r"(\w+) came out: (.*)", what, re.DOTALL)
    return f"{found[1]}: {_plain(found[2])}" if found else ""


def _plain(words: str) -> str:
    """The words without what differs from case to case: dtypes, numbers, which input it is."""
    words = re.sub(
        r"(torch\.)?\b(bfloat16|float\d+|bfloat|half|double|float)\b", "dtype", words, flags=re.I
    )
    words = re.sub(r"0x[0-9a-f]+|[-+]?\d[\w.+-]*", "#", words)
    words = re.sub(r"#(, ?#)*,?", "#", words)
    return re.sub(r"\bx_recon\b", "x", words)[:120]


def _number(clause: str) -> int:
    return int(clause[1:])
