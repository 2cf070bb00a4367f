"""From a clause's number to its paragraph, its properties and its mutants is one step each."""

from __future__ import annotations

import ast
from pathlib import Path

import wavemae.properties

from .. import mutants
from ..mutants import MUTANTS
from . import kill_matrix

CLAUSES = Path(wavemae.properties.__file__).parent / "clauses"
MIRROR = Path(mutants.__file__).parent


def registered(file: Path) -> dict[str, str]:
    """The mutants that a file defines, each with the clause that it breaks."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return {name: MUTANTS[name].clause for name in names if name in MUTANTS}


def test_a_clause_has_a_paragraph_a_file_and_a_mirror() -> None:
    """C1 to C20 in CONTRACT.md; cNN_NAME.py in properties/clauses and in tests/mutants."""
    found = sorted(file.name for file in CLAUSES.glob("c[0-9]*.py"))
    files = [name for name in found if not name.endswith("_situations.py")]
    assert sorted(file.name for file in MIRROR.glob("c[0-9]*.py")) == files
    assert [f"C{int(name[1:3])}" for name in files] == list(kill_matrix.CLAUSES)


def test_a_mutant_stands_in_the_file_of_its_clause() -> None:
    """Every mutant, and none elsewhere."""
    found = {file: registered(file) for file in sorted(MIRROR.glob("c[0-9]*.py"))}
    for file, clauses in found.items():
        assert set(clauses.values()) == {f"C{int(file.name[1:3])}"}, file.name
    assert set().union(*found.values()) == set(MUTANTS)
