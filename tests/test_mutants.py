"""Every wrong implementation is noticed by the properties that it names.

`--kill-matrix FILE` (see conftest.py) writes which property killed which mutant, as Markdown.
"""

from __future__ import annotations

import pytest
from wavemae.properties import PROPERTIES, Subject, conduct

from .mutants import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_dies(name: str) -> None:
    """Each property named as killer fails on it, in the quick profile or else the default."""
    mutant = MUTANTS[name]
    assert mutant.killed_by, f"{name} names no property that must kill it"
    subject = Subject(name, mutant.masked_sse, mutant.masked_mse)
    for identifier in mutant.killed_by:
        outcome = conduct(subject, identifier, "quick")
        if outcome.state != "FAIL":
            outcome = conduct(subject, identifier, "default")
        assert outcome.state == "FAIL", f"{identifier} does not notice {name}: {mutant.bug}"
        assert outcome.violation is not None
        assert outcome.violation.what


def test_every_property_kills_a_mutant() -> None:
    """A property that no mutant names could never be seen to fail."""
    named = {identifier for mutant in MUTANTS.values() for identifier in mutant.killed_by}
    assert named == set(PROPERTIES), set(PROPERTIES) ^ named


def test_every_clause_has_mutants_and_properties() -> None:
    """C1 to C19; C20 needs several processes and is tested on its own."""
    clauses = {f"C{number}" for number in range(1, 20)}
    assert {prop.clause for prop in PROPERTIES.values()} == clauses
    assert {mutant.clause for mutant in MUTANTS.values()} == clauses
