"""`wavemae explain`: a clause or a property in words, without importing any."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from ..clauses.renamed import RENAMED
from . import catalogue
from .catalogue import Entry
from .remedies import REMEDIES

_WIDTH = 88


class Unknown(Exception):
    """There is no such clause or property; the message says what there is."""


def contract() -> str:
    """The text of CONTRACT.md, which lies beside the package, or above it in a checkout."""
    house = Path(__file__).parents[1]
    file = house / "CONTRACT.md"
    return (file if file.is_file() else house.parent / "CONTRACT.md").read_text(encoding="utf-8")


def clause_text(clause: str) -> str:
    """What CONTRACT.md says of a clause, in one paragraph."""
    found = re.search(rf"^- \*\*{clause}\*\* (.*?)(?=^- \*\*C|^#|\Z)", contract(), re.DOTALL | re.M)
    if found is None:
        raise Unknown(f"CONTRACT.md has no clause {clause}")
    return " ".join(found[1].split())


def explained(name: str) -> list[str]:
    """The lines on a clause, "C8", or on a property, "C8-excluded-value".

    Raises:
        Unknown: there is no such thing; renamed properties are told by their names of today.
    """
    entries = [entry for entry in catalogue.entries() if name in (entry.clause, entry.id)]
    if not entries:
        raise Unknown(_nearest(name))
    return list(_lines(name, entries))


def _lines(name: str, entries: list[Entry]) -> Iterator[str]:
    clause = entries[0].clause
    remedy = REMEDIES[clause]
    one = name != clause
    if one:
        yield from _of_property(entries[0])
        yield ""
    yield f"{clause} of the contract"
    yield from _wrapped(clause_text(clause))
    yield from ["", "Why it is there", *_wrapped(remedy.why)]
    yield from ["", "When it fails", *_wrapped(remedy.do)]
    if not one:
        yield from ["", "Its properties"]
        for entry in entries:
            yield from _of_property(entry, "  ")
    option = f"-k {name}" if one else f"--clause {clause}"
    yield from ["", f"To run {'it' if one else 'them'}:  wavemae verify TARGET {option}"]


def _of_property(entry: Entry, indent: str = "") -> Iterator[str]:
    yield indent + entry.id
    yield from _wrapped(entry.statement, indent + "  ")
    yield from _wrapped(entry.rationale, indent + "  ", "why      ")
    yield from _wrapped(entry.catches, indent + "  ", "catches  ")


def _wrapped(text: str, indent: str = "  ", head: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent + head,
        subsequent_indent=indent + " " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _nearest(name: str) -> str:
    """That there is no such name, and which there are."""
    if name in RENAMED:
        return f"the property {name!r} is now {' and '.join(RENAMED[name])}"
    known = catalogue.clauses()
    ids = [entry.id for entry in catalogue.entries()]
    close = difflib.get_close_matches(name, ids, n=1, cutoff=0.6)
    same = [each for each in (*known, *ids) if each.lower() == name.lower()]
    meant = [*same, *close]
    advice = f"did you mean {meant[0]}?" if meant else f"there are {known[0]} to {known[-1]}, and"
    rest = "" if meant else " what `wavemae verify --list` lists"
    return f"there is no clause or property {name!r}; {advice}{rest}"
