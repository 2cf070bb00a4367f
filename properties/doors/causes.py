"""Failures by what is behind them: one mistake fails many properties, and is to be read once.

A cause is told by what the failures say: an exception by its type and words; anything else by the
part of the contract that broke, and by whether it breaks in plain calls or in one kind of situation
alone. A wrong value is followed by wrong sums, gradients and derivatives, which then belong to it.
This decides what is shown first and together, and nothing else: no verdict depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import Cell

# What a failure does to whoever uses the loss, worst first.
SEVERITIES = ("wrong value or gradient", "crash", "hang", "refusal", "manners", "execution")
_WRONG, _CRASH, _HANG, _REFUSAL, _MANNERS, _EXECUTION = SEVERITIES
_SITUATIONS = ("C16", "C17", "C18", "C19", "C20")
LONGEST = 40  # lines of a program that still fits on a screen
_ENDED = re.compile(
    r"its process died|.* call did not return|(?:the program gave )?(no answer) within"
)
_NUMBER = re.compile(r"the (value|gradient|\S+ derivative|result is wrong)|\w+ over \w+")
# What breaks with a part of the contract in plain calls, where that breaks: the value itself, what
# stands outside the mask, the gradient. C5 and C7 are mistakes of their own kind.
_FOLLOW = {
    "C4": ("C6", "C8", "C9", "C10", "C11", "C12", "C13"),
    "C8": ("C12", "C13"),
    "C11": ("C12", "C13"),
}
Key = tuple[str, ...]


@dataclass(frozen=True)
class Cause:
    """Failures of one target that have one thing behind them.

    Attributes:
        severity: of its first failure, one of `SEVERITIES`.
        cells: its failures, the one that shows it best first; no other state than FAIL and "also".
        following: failures that may have another cause, but are likely to go with this one.
    """

    severity: str
    cells: tuple[Cell, ...]
    following: tuple[Cell, ...] = ()

    @property
    def first(self) -> Cell:
        return self.cells[0]


def severity(cell: Cell) -> str:
    """What a failing cell is about, one of `SEVERITIES`."""
    what = _what(cell)
    if ended := _ENDED.match(what):
        return _HANG if ended[1] else _CRASH
    if _came_out(what):
        alone = cell.clause in _SITUATIONS[1:] and not cell.elsewhere
        return _EXECUTION if alone else _CRASH
    number = _number(part_of(cell))
    if _NUMBER.match(what) or 4 <= number <= 13:
        return _WRONG
    return _REFUSAL if number < 4 else _MANNERS if number <= 16 else _EXECUTION


def causes(cells: Iterable[Cell]) -> list[Cause]:
    """The causes behind the failing cells of one target, worst first.

    What is "also" joins the cause that it is a sign of; where there is none, as with an expected
    failure, it is left out.
    """
    failing = sorted((cell for cell in cells if cell.state in ("FAIL", "also")), key=order)
    groups: dict[Key, list[Cell]] = {}
    for cell in failing:
        if cell.state == "FAIL":
            groups.setdefault(key_of(cell), []).append(cell)
    leak = groups.get(("", "C8"))
    for part in ("C4", "C6"):  # NaN from outside the mask is no wrong sum
        if leak and all(_not_finite(cell) for cell in groups.get(("", part), [])):
            leak += groups.pop(("", part), [])
    for cell in failing:
        if cell.state == "also" and key_of(cell) in groups:
            groups[key_of(cell)].append(cell)
    following: dict[Key, list[Key]] = {}
    behind: set[Key] = set()
    for key in groups:
        following[key] = [other for other in _followers(key, groups) if other not in behind]
        behind.update(following[key])
    strays = [cell for cell in failing if cell.state == "also" and key_of(cell) not in groups]
    found = []
    for key, group in groups.items():
        if key in behind:
            continue
        more = [cell for follower in following[key] for cell in groups[follower]]
        signs = [] if key[0] else [c for c in strays if part_of(c) in _FOLLOW.get(key[1], ())]
        more += signs
        strays = [cell for cell in strays if cell not in signs]
        group.sort(key=lambda cell, part=key[1]: order(cell, part))  # type: ignore[misc]
        found.append(Cause(severity(group[0]), tuple(group), tuple(more)))
    return sorted(found, key=lambda cause: (SEVERITIES.index(cause.severity), order(cause.first)))


def _followers(key: Key, groups: Iterable[Key]) -> Iterator[Key]:
    """The groups that a group is likely to bring with it."""
    place, part, *_ = key
    if place or part not in _FOLLOW or len(key) > 2:
        return
    stronger = [other for other in _FOLLOW if part in _FOLLOW[other] and ("", other) in groups]
    if stronger:
        return
    for other in groups:
        if other == key or len(other) > 2:
            continue
        if other[1] in _FOLLOW[part] or (other[0] and other[1] in (part, _WRONG)):
            yield other


def order(cell: Cell, part: str = "") -> tuple[bool, bool, bool, bool, bool, int, int, str]:
    """What shows a cause best: in plain calls, with a program to be seen whole, its own clause.

    Of what should be refused, what is taken comes before what is refused with another error.
    """
    found = cell.counterexample or {}
    script = found.get("script") or ""
    return (
        cell.state != "FAIL",
        cell.elsewhere,
        bool(re.match(r"\w*(Error|Exception)\b", str(found.get("got")))),
        len(script.splitlines()) > LONGEST,
        cell.clause != (part or part_of(cell)),
        _number(cell.clause),
        len(script),
        cell.identifier,
    )


def key_of(cell: Cell) -> Key:
    """What the failures of one cause have in common: where, which part, and how, if that tells."""
    what = _what(cell)
    if ended := _ENDED.match(what):
        return "", "", ended[0]
    if said := _came_out(what):
        return "", "", said
    kind, part = severity(cell), part_of(cell)
    place = cell.clause if cell.clause in _SITUATIONS and not cell.elsewhere else ""
    if kind == _WRONG:
        return place, "C4" if part in ("C1", "C2", "C3") else _WRONG if part == place else part
    if kind == _MANNERS:
        return place, part, _plain(what)
    wrong = kind == _EXECUTION and re.search(r"the (value|gradient)", what)
    return place, _WRONG if wrong else part


def part_of(cell: Cell) -> str:
    """The clause of which a part broke."""
    return cell.part if re.fullmatch(r"C\d+", cell.part) else cell.clause


def _what(cell: Cell) -> str:
    return str(cell.counterexample["what"]) if cell.counterexample else cell.reason


def _not_finite(cell: Cell) -> bool:
    """Whether what came is NaN or infinite."""
    return bool(re.match(r"-?(nan|inf)", str((cell.counterexample or {}).get("got", ""))))


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
