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


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every property that a `@prop(...)` in `clauses/` registers, in the order of the clauses."""
    found = []
    for file in sorted((Path(__file__).parents[1] / "clauses").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "@prop(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "prop":
                        said = {k.arg: k.value for k in call.keywords}
                        found.append(
                            Entry(
                                ast.literal_eval(call.args[0]),
                                ast.literal_eval(said["statement"]),
                            )
                        )
    return tuple(sorted(found, key=lambda entry: (int(entry.clause[1:]), entry.id)))


def clauses() -> tuple[str, ...]:
    """The clauses that some property asks for."""
    return tuple(dict.fromkeys(entry.clause for entry in entries()))


def lines(chosen: tuple[str, ...] = ()) -> list[str]:
    """Id, clause and statement of every property, or of those of the chosen clauses."""
    kept = [entry for entry in entries() if not chosen or entry.clause in chosen]
    width = max(len(entry.id) for entry in kept)
    return [f"{entry.id:<{width}}  {entry.clause:<3}  {entry.statement}" for entry in kept]
