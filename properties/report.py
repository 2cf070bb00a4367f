"""The conformance table: in the terminal, as Markdown, as JSON."""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
STATES = ("pass", "FAIL", "xfail", "XPASS", "error", "not claimed", "skipped")
BAD_STATES = ("FAIL", "XPASS", "error")


@dataclass
class Cell:
    """How one property went for one target."""

    identifier: str
    state: str
    reason: str = ""
    calls: int = 0
    examples: int = 0
    seconds: float = 0.0
    counterexample: dict[str, Any] | None = None

    @property
    def clause(self) -> str:
        return self.identifier.partition("-")[0]


@dataclass
class Table:
    """Cells by target and property; targets that could not be used have a reason instead."""

    targets: list[str]
    settings: dict[str, Any]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def add(self, target: str, cell: Cell) -> None:
        self.cells.setdefault(target, {})[cell.identifier] = cell

    def totals(self, target: str) -> dict[str, int]:
        """Number of cells in each state."""
        counted = Counter(cell.state for cell in self.cells.get(target, {}).values())
        return {state: counted[state] for state in STATES}

    def violated(self, target: str) -> list[str]:
        """Clauses with a cell that fails, in their order."""
        clauses = {c.clause for c in self.cells.get(target, {}).values() if c.state in BAD_STATES}
        return sorted(clauses, key=lambda clause: int(clause[1:]))

    def verdict(self, target: str) -> str:
        """One line on a target."""
        if target in self.unusable:
            return f"{target}: could not be used: {self.unusable[target]}"
        totals = ", ".join(f"{n} {state}" for state, n in self.totals(target).items() if n)
        violated = self.violated(target)
        words = f"violates {', '.join(violated)}" if violated else "no clause is violated"
        return f"{target}: {totals or 'nothing ran'}; {words}"

    def _rows(self) -> Iterable[tuple[str, list[str]]]:
        order: dict[str, None] = {}
        for cells in self.cells.values():
            order.update(dict.fromkeys(cells))
        for identifier in sorted(order, key=lambda i: (int(i.partition("-")[0][1:]), i)):
            row = []
            for target in self.targets:
                cell = self.cells.get(target, {}).get(identifier)
                row.append("unusable" if target in self.unusable else cell.state if cell else "")
            yield identifier, row

    def lines(self) -> Iterable[str]:
        """The table as text, then what went wrong, then a verdict for each target."""
        heads = self.targets
        widths = [max(len(head), len("not claimed")) for head in heads]
        yield f"{'property':<26}" + "".join(
            f"  {head:<{width}}" for head, width in zip(heads, widths, strict=True)
        )
        for identifier, row in self._rows():
            yield (
                f"{identifier:<26}"
                + "".join(f"  {state:<{w}}" for state, w in zip(row, widths, strict=True)).rstrip()
            )
        yield ""
        for target in self.targets:
            for cell in self.cells.get(target, {}).values():
                if cell.state not in ("pass", "not claimed"):
                    yield f"{cell.state:<6} {target} {cell.identifier}: {_line(cell.reason)}"
        for target in self.targets:
            yield self.verdict(target)

    def markdown(self) -> str:
        """The table for a README."""
        settings = ", ".join(f"{k} {v}" for k, v in self.settings.items())
        head = ["property", *self.targets]
        out = [f"Conformance to the wavemae contract ({settings}).", "", _row(head)]
        out += [_row(["---"] * len(head))]
        out += [_row([f"`{identifier}`", *row]) for identifier, row in self._rows()]
        out += ["", *(f"- {self.verdict(target)}" for target in self.targets), ""]
        return "\n".join(out)

    def as_json(self) -> dict[str, Any]:
        """The report that report.schema.json describes."""
        return {
            "schema_version": SCHEMA_VERSION,
            "suite_version": metadata.version("wavemae"),
            "python": platform.python_version(),
            "platform": f"{sys.platform} {platform.machine()}",
            **self.settings,
            "subjects": [
                {
                    "target": target,
                    "unusable": self.unusable.get(target),
                    "totals": self.totals(target),
                    "violated": self.violated(target),
                    "cells": [
                        {
                            "property": cell.identifier,
                            "clause": cell.clause,
                            "state": cell.state,
                            "reason": cell.reason,
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

    def write(self, json_file: str | None, markdown_file: str | None) -> None:
        if json_file:
            Path(json_file).write_text(json.dumps(self.as_json(), indent=1) + "\n")
        if markdown_file:
            Path(markdown_file).write_text(self.markdown())


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:157] + "..."
