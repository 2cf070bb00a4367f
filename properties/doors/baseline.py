"""What differs between two reports: what fails newly, what is fixed, what is as it was."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class Difference:
    """What became of the properties of one target, by id.

    Attributes:
        target: as the newer report has it.
        newly: failing now, and not before; the reason is that of now.
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

    def lines(self) -> Iterator[str]:
        """What is to be read, the summary of each target last."""
        yield from (f"note     {note}" for note in self.notes)
        for each in self.targets:
            for identifier, reason in each.newly.items():
                yield f"newly    {each.target} {identifier}: {_line(reason)}"
            yield from _listed("fixed", each.target, each.fixed)
            yield from _listed("still", each.target, each.unchanged)
            yield from _listed("unasked", each.target, each.unasked)
            for identifier, state in each.unjudged.items():
                yield f"unjudged {each.target} {identifier}: {state}, and was judged before"
        for each in self.targets:
            counts = (
                f"{len(each.newly)} newly failing",
                f"{len(each.fixed)} fixed",
                f"{len(each.unchanged)} failing as before",
                *([f"{len(each.unasked)} no longer asked"] if each.unasked else []),
            )
            yield f"compared {each.target}: {', '.join(counts)}"


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
    if new.get("unusable"):
        found.unjudged["all"] = "could not be used"
    for cell in new["cells"]:
        identifier, state = cell["property"], cell["state"]
        was = before.pop(identifier, "")
        if state in _FAILING and was in _FAILING:
            found.unchanged.append(identifier)
        elif state in _FAILING:
            found.newly[identifier] = cell["reason"] + ("" if was else " (not asked before)")
        elif state in _UNJUDGED:
            if was != state:
                found.unjudged[identifier] = state
        elif was in _FAILING and state in ("pass", "xfail"):
            found.fixed.append(identifier)
        elif was in _FAILING:
            found.unasked[identifier] = state
    found.unasked.update(
        dict.fromkeys((i for i in before if before[i] in _FAILING), "not selected")
    )
    return found


def _listed(word: str, target: str, names: Iterable[str]) -> list[str]:
    """Names in as few lines as they need."""
    text = f"{target} {', '.join(names)}" if names else ""
    return textwrap.wrap(
        text, 100, initial_indent=f"{word:<9}", subsequent_indent=" " * 11, break_on_hyphens=False
    )


def _line(text: str) -> str:
    return textwrap.shorten(text, 150, placeholder=" ...")
