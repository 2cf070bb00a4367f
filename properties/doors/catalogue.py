"""The names and statements of all properties, read from the source: importing takes seconds."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """What is said of a property before any is imported."""

    id: str
    statement: str

    @property
    def clause(self) -> str:
        return self.id.partition("-")[0]


def _entry(identifier: ast.expr, statement: ast.expr) -> Entry:
    return Entry(ast.literal_eval(identifier), ast.literal_eval(statement))


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every property that `prop` or `situation` registers, in the order of the clauses."""
    found = []
    for file in sorted((Path(__file__).parents[1] / "clauses").glob("c*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name == "prop":
                said = {k.arg: k.value for k in node.keywords}
                found.append(_entry(node.args[0], said["statement"]))
            elif name == "situation":
                found.append(_entry(*node.args))
    return tuple(sorted(found, key=lambda entry: (int(entry.clause[1:]), entry.id)))


def clauses() -> tuple[str, ...]:
    """The clauses that some property asks for."""
    return tuple(dict.fromkeys(entry.clause for entry in entries()))


def lines(chosen: tuple[str, ...] = ()) -> list[str]:
    """Id, clause and statement of every property, or of those of the chosen clauses."""
    kept = [entry for entry in entries() if not chosen or entry.clause in chosen]
    width = max(len(entry.id) for entry in kept)
    return [f"{entry.id:<{width}}  {entry.clause:<3}  {entry.statement}" for entry in kept]
