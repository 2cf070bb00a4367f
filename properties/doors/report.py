"""What is known of a run, and the report that holds it; screen.py shows it on the terminal."""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import catalogue, causes, markdown, page

if TYPE_CHECKING:
    from .baseline import Comparison

SCHEMA_VERSION = 2
STATES = ("pass", "FAIL", "also", "xfail", "XPASS", "error", "not claimed", "skipped", "not run")
BAD_STATES = ("FAIL", "XPASS", "error")
_JUDGED = ("pass", "FAIL", "also", "xfail", "XPASS")


@dataclass
class Cell:
    """How one property went for one target.

    `part` is the clause of which a part broke, where several are asked; `elsewhere` says that it
    breaks in plain calls too, so that it is another property's finding.
    """

    identifier: str
    state: str
    reason: str = ""
    calls: int = 0
    examples: int = 0
    seconds: float = 0.0
    counterexample: dict[str, Any] | None = None
    part: str = ""
    elsewhere: bool = False

    @property
    def clause(self) -> str:
        return self.identifier.partition("-")[0]

    @property
    def owner(self) -> str:
        """The clause that a failure counts for, the part's where plain calls break it too."""
        return causes.part_of(self) if self.elsewhere else self.clause


@dataclass
class Table:
    """What is known of a run.

    Attributes:
        targets: as given on the command line.
        settings: torch's version, device, profile, seed.
        of: how many properties the suite has.
        narrowing: the words on the command line that may leave some out.
        cells: by target and property.
        sources: by target, the SHA-256 of each file that it came from.
        unusable: by target, why it could not be used.
        changed: by target, a file of it that changed while it was judged.
        interrupted_by: the name of the signal that ended the run, if one did.
        date: when it began, in UTC.
    """

    targets: list[str]
    settings: dict[str, Any]
    of: int = 0
    narrowing: list[str] = field(default_factory=list)
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    interrupted_by: str | None = None
    date: str = field(default_factory=lambda: _now())

    def add(self, target: str, cell: Cell) -> None:
        self.cells.setdefault(target, {})[cell.identifier] = cell

    def settle(self) -> None:
        """Once all is known: what fails in plain calls too is "also" where that has its own row.

        Where it has none, one of each kind stays a FAIL: nothing that was found is lost.
        """
        for cells in self.cells.values():
            failing = [cell for cell in cells.values() if cell.state == "FAIL"]
            owned = any(not cell.elsewhere for cell in failing)
            expected = {cell.clause for cell in cells.values() if cell.state == "xfail"}
            shown: set[causes.Key] = set()
            for cell in sorted(failing, key=causes.order):
                key = causes.key_of(cell)
                if cell.elsewhere and (owned or cell.part in expected or key in shown):
                    cell.state = "also"
                elif cell.elsewhere:
                    shown.add(key)

    def totals(self, target: str) -> dict[str, int]:
        """Number of cells in each state."""
        counted = Counter(cell.state for cell in self.cells.get(target, {}).values())
        return {state: counted[state] for state in STATES}

    def violated(self, target: str) -> list[str]:
        """Clauses that own a failure, in their order."""
        return self._clauses(target, "FAIL")

    def _cells_in(self, target: str, state: str) -> list[Cell]:
        return [cell for cell in self.cells.get(target, {}).values() if cell.state == state]

    def _clauses(self, target: str, state: str) -> list[str]:
        clauses = {cell.owner for cell in self._cells_in(target, state)}
        return sorted(clauses, key=lambda clause: int(clause[1:]))

    def exit_code(self) -> int:
        """1 for a FAIL or an XPASS; 2 where something could not be judged; 0 else."""
        cells = [cell for row in self.cells.values() for cell in row.values()]
        if any(cell.state in ("FAIL", "XPASS") for cell in cells):
            return 1
        judged = all(cell.state not in ("error", "not run") for cell in cells)
        return 0 if judged and self.whole() else 2

    def whole(self) -> bool:
        """Whether every target was used as it is, and something of it judged."""
        judged = all(self._judged(target) for target in self.targets)
        return judged and not (self.unusable or self.changed or self.interrupted_by)

    def _judged(self, target: str) -> bool:
        """Whether any property was run on the target and came to a judgement."""
        return any(cell.state in _JUDGED for cell in self.cells.get(target, {}).values())

    def verdict(self, target: str) -> str:
        """One line on a target."""
        if target in self.unusable:
            return f"{target}: could not be used: {self.unusable[target]}"
        totals = self.totals(target)
        words = []
        if violated := self.violated(target):
            words.append(f"violates {', '.join(violated)}")
        if unexpected := self._clauses(target, "XPASS"):
            words.append(f"passes what was expected to fail in {', '.join(unexpected)}")
        if totals["error"]:
            words.append(f"{totals['error']} could not be judged")
        if target in self.changed:
            words.append(f"{self.changed[target]} changed while it was judged, so this holds of no")
            words[-1] += " version of it"
        if not words:
            words.append("no clause is violated" if self._judged(target) else "nothing was judged")
        if sum(totals.values()) < self.of:
            words.append(f"{sum(totals.values())} of {self.of} properties selected")
        counted = ", ".join(f"{n} {state}" for state, n in totals.items() if n)
        return f"{target}: {counted or 'nothing ran'}; {'; '.join(words)}"

    def as_json(self) -> dict[str, Any]:
        """The report that report.schema.json describes."""
        statements = {entry.id: entry.statement for entry in catalogue.entries()}
        return {
            "schema_version": SCHEMA_VERSION,
            "date": self.date,
            "suite_version": _version(),
            "python": platform.python_version(),
            "platform": f"{sys.platform} {platform.machine()}",
            **self.settings,
            "properties": self.of,
            "narrowed_by": self.narrowing,
            "interrupted_by": self.interrupted_by,
            "subjects": [
                {
                    "target": target,
                    "sources": [
                        {"file": file, "sha256": digest}
                        for file, digest in self.sources.get(target, {}).items()
                    ],
                    "unusable": self.unusable.get(target),
                    "totals": self.totals(target),
                    "violated": self.violated(target),
                    "verdict": self.verdict(target),
                    "causes": [
                        {
                            "severity": cause.severity,
                            "what": (cause.first.counterexample or {}).get("what")
                            or cause.first.reason,
                            "properties": [cell.identifier for cell in cause.cells],
                            "following": [cell.identifier for cell in cause.following],
                        }
                        for cause in causes.causes(self.cells.get(target, {}).values())
                    ],
                    "cells": [
                        {
                            "property": cell.identifier,
                            "clause": cell.clause,
                            "statement": statements.get(cell.identifier, ""),
                            "state": cell.state,
                            "reason": cell.reason,
                            "part": cell.part,
                            "elsewhere": cell.elsewhere,
                            "calls": cell.calls,
                            "examples": cell.examples,
                            "seconds": round(cell.seconds, 3),
                            "counterexample": cell.counterexample,
                        }
                        for cell in self.cells.get(target, {}).values()
                    ],
                }
                for target in self.targets
            ],
        }

    def write(
        self,
        json_file: str | None,
        markdown_file: str | None,
        html_file: str | None = None,
        compared: Comparison | None = None,
    ) -> None:
        """Write the reports that are asked for, each made from the one that JSON holds.

        Those for people say what differs from the baseline too, where there is one.
        """
        report = self.as_json()
        differs = compared.as_json() if compared is not None else None
        for file, made in (
            (json_file, lambda: json.dumps(report, indent=1) + "\n"),
            (markdown_file, lambda: markdown.summary(report, differs)),
            (html_file, lambda: page.html(report, differs)),
        ):
            if file:
                # A subject's words may hold what UTF-8 cannot write.
                Path(file).write_text(made(), encoding="utf-8", errors="backslashreplace")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _version() -> str:
    return metadata.version("wavemae")
