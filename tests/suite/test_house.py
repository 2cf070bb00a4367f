"""The rooms under properties/: imports run one way, and a clause is found by its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import wavemae.properties

HOUSE = Path(wavemae.properties.__file__).parent
FILES = sorted(file.relative_to(HOUSE) for file in HOUSE.rglob("*.py"))
# A room may import from its own floor and those below.
FLOORS = (
    ("ending", "inputs", "sources", "targets"),
    ("judge", "ports", "subject"),
    ("ranks", "vectors"),
    ("clauses",),
    ("run",),
    ("doors",),
    ("__init__", "__main__", "subcommands"),
)


def floor(room: str) -> int:
    """The number of a room's floor; a module at the top is a room of its own."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imported(file: Path) -> Iterator[str]:
    """Every room that a file imports from, and "wavemae" where it names that."""
    parts = file.with_suffix("").parts
    for node in ast.walk(ast.parse((HOUSE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("wavemae"))
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from [str(node.module)] * str(node.module).startswith("wavemae")
        elif isinstance(node, ast.ImportFrom):
            package = parts[: len(parts) - node.level]
            for alias in node.names:
                yield (*package, *(node.module or alias.name).split("."))[0]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_run_one_way(file: Path) -> None:
    """From the doors down to the inputs, by relative imports; no implementation is imported."""
    own = file.with_suffix("").parts[0]
    above = {room for room in imported(file) if "wavemae" in room or floor(room) > floor(own)}
    assert not above


def test_imports_are_seen() -> None:
    """The command reaches into rooms; what a file imports from its own room counts too."""
    assert set(imported(Path("__main__.py"))) == {"doors", "run"}
    assert {"judge", "inputs", "clauses"} <= set(imported(Path("clauses/c06_accuracy.py")))


_PRIVATE = re.compile(r"torch\._[^_]|torch\.\w+\._[^_]|\._version\b|\._backward_hooks\b")


def test_private_names_of_torch_lie_in_one_file() -> None:
    """Where torch changes what it does not promise, one file is to mend."""
    using = [
        str(file) for file in FILES if _PRIVATE.search((HOUSE / file).read_text(encoding="utf-8"))
    ]
    assert using == ["inputs/internals.py"]


def test_a_clause_is_found_by_its_number() -> None:
    """c01 to c20, each with the properties of its own clause and no others; one file, or two."""
    files = sorted((HOUSE / "clauses").glob("c*.py"))
    first = [file.name[:4] for file in files if not file.stem.endswith("_situations")]
    assert first == [f"c{number:02}_" for number in range(1, 21)]
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        ids = [
            str(ast.literal_eval(c.args[0]))
            for c in calls
            if ast.unparse(c.func) in ("prop", "situation", "together")
        ]
        assert ids
        assert {name.partition("-")[0] for name in ids} == {f"C{int(file.name[1:3])}"}


def test_rooms_are_small() -> None:
    """About 300 lines a file; a clause whose situations outgrow that has a file for them."""
    lines = {str(file): (HOUSE / file).read_text(encoding="utf-8").count("\n") for file in FILES}
    assert {file: count for file, count in lines.items() if count > 340} == {}
