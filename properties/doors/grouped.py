"""The cells of a report in the order in which people read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# What each state means, those first that a reader looks for first.
MEANING = {
    "FAIL": "the clause is violated",
    "XPASS": "expected to fail, and passes",
    "error": "the property could not judge",
    "also": "a sign of a failure that another property has found",
    "xfail": "fails, as was expected",
    "not run": "the run ended before",
    "skipped": "cannot be asked on this machine",
    "not claimed": "the subject does not promise it",
    "pass": "holds",
}


@dataclass(frozen=True)
class Group:
    """Cells with one cause, or else in one state.

    Attributes:
        kind: a severity for a cause, and a state else.
        says: what broke, or what the state means.
        cells: the one that shows it best first.
        following: cells that may have another cause, but are likely to go with this one; none is
            in two groups.
    """

    kind: str
    says: str
    cells: list[dict[str, Any]]
    following: list[dict[str, Any]] = field(default_factory=list)


def told(subject: dict[str, Any]) -> Iterable[Group]:
    """What a report says of a subject apart from "pass" and "not claimed", causes first."""
    left = {c["property"]: c for c in subject["cells"] if c["state"] not in ("pass", "not claimed")}
    for cause in subject["causes"]:
        cells, following = (
            [left.pop(identifier) for identifier in cause[which] if identifier in left]
            for which in ("properties", "following")
        )
        yield Group(cause["severity"], cause["what"], cells, following)
    for state, meaning in MEANING.items():
        cells = [cell for cell in left.values() if cell["state"] == state]
        cells.sort(key=lambda cell: by_clause(cell["property"]))
        if cells:
            yield Group(state, meaning, cells)


def by_clause(identifier: str) -> tuple[int, str]:
    """What a property is sorted by: its clause's number, then its name."""
    return int(identifier.partition("-")[0][1:]), identifier
