"""What is said of all properties, read from the source: importing them takes seconds."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

_CLAUSES = Path(__file__).parents[1] / "clauses"


@dataclass(frozen=True)
class Entry:
    """What is said of a property before any is imported."""

    id: str
    statement: str
    rationale: str
    catches: str

    @property
    def clause(self) -> str:
        return self.id.partition("-")[0]


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every property that one of `_REGISTERING` registers, in the order of the clauses."""
    register = _tree(_CLAUSES / "situations.py")
    shared = _constants(register)
    default = next(
        value.values[1]  # `rationale or "..."`
        for node in ast.walk(register)
        if isinstance(node, ast.keyword) and node.arg == "rationale"
        if isinstance(value := node.value, ast.BoolOp)
    )
    found = []
    for file in sorted(_CLAUSES.glob("c*.py")):
        tree = _tree(file)
        named = {**shared, **_constants(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _REGISTERING:
                said = {word.arg: word.value for word in node.keywords}
                identifier, *statement = node.args
                words = (
                    identifier,
                    statement[0] if statement else said["statement"],
                    said.get("rationale", default),
                    said["catches"],
                )
                found.append(Entry(*(_text(word, named) for word in words)))
    return tuple(sorted(found, key=lambda entry: (int(entry.clause[1:]), entry.id)))


_REGISTERING = ("prop", "situation", "together")


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _constants(tree: ast.Module) -> dict[str, str]:
    """The names in a module that are given a text."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def _text(word: ast.expr, named: dict[str, str]) -> str:
    return named[word.id] if isinstance(word, ast.Name) else str(ast.literal_eval(word))


def clauses() -> tuple[str, ...]:
    """The clauses that some property asks for."""
    return tuple(dict.fromkeys(entry.clause for entry in entries()))


def lines(chosen: tuple[str, ...] = ()) -> list[str]:
    """Id, clause and statement of every property, or of those of the chosen clauses."""
    kept = [entry for entry in entries() if not chosen or entry.clause in chosen]
    width = max(len(entry.id) for entry in kept)
    return [f"{entry.id:<{width}}  {entry.clause:<3}  {entry.statement}" for entry in kept]
