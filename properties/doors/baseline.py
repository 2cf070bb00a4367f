"""What differs between two reports: what fails newly, what is fixed, what is as it was."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .report import SCHEMA_VERSION

_FAILING = ("FAIL", "also", "XPASS")
_UNJUDGED = ("error", "not run")
# What makes two reports differ that is not the loss, by the report's key.
_SETTINGS = {
    "suite_version": "wavemae",
    "profile": "profile",
    "seed": "seed",
    "torch": "torch",
    "device": "device",
    "python": "python",
    "platform": "platform",
}


class Unreadable(Exception):
    """A file is no report; the message says why."""


class Row(NamedTuple):
    """Properties of one target that have the same to be said: `word` is what became of them."""

    word: str
    target: str
    said: str
    properties: list[str]


@dataclass
class Difference:
    """What became of the properties of one target, by id.

    Attributes:
        target: as the newer report has it.
        newly: failing now, and not before; with the words under which it is told: its cause, or
            else its state and reason, the same for all of one clause and state.
        fixed: failing before, and judged and not failing now.
        unchanged: failing before and now.
        unasked: failing before, and not judged now; with the state of now.
        unjudged: judged before and not failing, and now something that could not be judged.
    """

    target: str
    newly: dict[str, str] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unasked: dict[str, str] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)


@dataclass
class Comparison:
    """Two reports side by side.

    Attributes:
        notes: what differs besides the losses, a line each.
        targets: the differences, in the order of the newer report.
    """

    notes: list[str]
    targets: list[Difference]

    def exit_code(self) -> int:
        """1 where something newly fails, 2 where something is no longer judged, 0 else."""
        if any(each.newly for each in self.targets):
            return 1
        return 2 if any(each.unjudged for each in self.targets) else 0

    def rows(self) -> Iterator[Row]:
        """What became of the properties, a row for what has the same to be said."""
        for each in self.targets:
            for word, told in (("newly", each.newly), ("unjudged", each.unjudged)):
                for said in dict.fromkeys(told.values()):
                    yield Row(word, each.target, said, [i for i in told if told[i] == said])
            for word, names in (
                ("fixed", each.fixed),
                ("still", each.unchanged),
                ("unasked", [*each.unasked]),
            ):
                if names:
                    yield Row(word, each.target, "", names)

    def counts(self) -> Iterator[str]:
        """The summary of each target."""
        for each in self.targets:
            counts = (
                f"{len(each.newly)} newly failing",
                f"{len(each.fixed)} fixed",
                f"{len(each.unchanged)} failing as before",
                *([f"{len(each.unasked)} no longer asked"] if each.unasked else []),
            )
            yield f"{each.target}: {', '.join(counts)}"

    def lines(self, most: int | None = None) -> Iterator[str]:
        """What is to be read, the summary of each target last; no row of more lines than `most`."""
        yield from (f"note     {note}" for note in self.notes)
        for row in self.rows():
            said = f" {textwrap.shorten(row.said, 150, placeholder=' ...')}:" if row.said else ""
            yield from textwrap.wrap(
                f"{row.target}{said} {', '.join(row.properties)}",
                100,
                initial_indent=f"{row.word:<8} ",
                subsequent_indent=" " * 11,
                break_long_words=False,
                break_on_hyphens=False,
                max_lines=most,
                placeholder=" ... (-v has all)",
            )
        yield from (f"compared {counted}" for counted in self.counts())

    def as_json(self) -> dict[str, Any]:
        """What the reports of the newer run say of it: what is not as it was, and how much is."""
        kept = ("newly", "unjudged", "fixed")
        rows = [row._asdict() for row in self.rows() if row.word in kept]
        return {"rows": rows, "counts": [*self.counts()]}


def read(file: str) -> dict[str, Any]:
    """A report of this schema version or an older one.

    Raises:
        Unreadable: there is none in the file.
    """
    try:
        found: Any = json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise Unreadable(f"{file!r} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Unreadable(f"{file!r} is no JSON; name what --report-json wrote") from None
    version = found.get("schema_version") if isinstance(found, dict) else None
    if not isinstance(version, int) or not isinstance(found.get("subjects"), list):
        raise Unreadable(f"{file!r} is no report of this suite; name what --report-json wrote")
    if version > SCHEMA_VERSION:
        raise Unreadable(
            f"{file!r} has schema version {version}, and this wavemae reads up to "
            f"{SCHEMA_VERSION}; it was written by wavemae {found.get('suite_version')}"
        )
    report: dict[str, Any] = found
    return report


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """What differs between two reports.

    Targets are matched by name; where each report has one, that one, whatever it is called.
    """
    before = {subject["target"]: subject for subject in old["subjects"]}
    now = {subject["target"]: subject for subject in new["subjects"]}
    notes = [
        f"{name} {old.get(key)} before, {new.get(key)} now"
        for key, name in _SETTINGS.items()
        if old.get(key) != new.get(key)
    ]
    for words, report in (("before", old), ("now", new)):
        if report.get("narrowed_by") and old.get("narrowed_by") != new.get("narrowed_by"):
            notes.append(f"{words} only {', '.join(report['narrowed_by'])}")
        if report.get("interrupted_by"):
            notes.append(f"the run {words} was ended by {report['interrupted_by']}")
    if len(before) == len(now) == 1 and before.keys() != now.keys():
        (one,), (other,) = before, now
        notes.append(f"{one} before, {other} now")
        before = {other: before[one]}
    notes += [f"{name} is in the older report only" for name in before if name not in now]
    notes += [f"{name} is in the newer report only" for name in now if name not in before]
    empty: dict[str, Any] = {"cells": []}
    found = [_difference(name, before.get(name, empty), now[name]) for name in now]
    for name, subject in now.items():
        if subject.get("unusable"):
            notes.append(f"{name} could not be used: {subject['unusable']}")
    return Comparison(notes, found)


def _difference(target: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    before = {cell["property"]: cell["state"] for cell in old["cells"]}
    found = Difference(target)
    causes = _causes(new)
    alike: dict[tuple[str, str, bool], str] = {}
    if new.get("unusable"):
        found.unjudged["all"] = "could not be used, and was judged before"
    for cell in new["cells"]:
        identifier, state = cell["property"], cell["state"]
        was = before.pop(identifier, "")
        if state in _FAILING and was in _FAILING:
            found.unchanged.append(identifier)
        elif state in _FAILING:
            key = identifier.partition("-")[0], state, bool(was)
            said = causes.get(identifier) or alike.setdefault(key, f"{state}, {cell['reason']}")
            found.newly[identifier] = said + ("" if was else " (not asked before)")
        elif state in _UNJUDGED:
            if was != state:
                found.unjudged[identifier] = f"{state}, and was judged before"
        elif was in _FAILING and state in ("pass", "xfail"):
            found.fixed.append(identifier)
        elif was in _FAILING:
            found.unasked[identifier] = state
    found.unasked.update(
        dict.fromkeys((i for i in before if before[i] in _FAILING), "not selected")
    )
    return found


def _causes(subject: Mapping[str, Any]) -> dict[str, str]:
    """By property, the cause that it belongs to, in words; older reports have none."""
    found = {}
    for cause in subject.get("causes", ()):
        said = f"{cause['severity']}, {cause['what']}"
        found.update(dict.fromkeys(cause["properties"], said))
        found.update(dict.fromkeys(cause["following"], f"{said}; may go with it"))
    return found
