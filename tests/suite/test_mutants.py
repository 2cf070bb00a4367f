"""Every wrong implementation is noticed by the properties that it names."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from wavemae.properties import conduct

from ..mutants import MUTANTS
from . import kill_matrix


def test_mutant_dies(
    mutant: str, record_property: Callable[[str, Any], None], request: pytest.FixtureRequest
) -> None:
    """The properties named as killers fail on it, in the quick profile or else the default.

    Without `--matrix`, as in CI, a sixth of the mutants is run, and the first killer alone.
    """
    found = MUTANTS[mutant]
    subject = found.subject
    every = request.config.getoption("--matrix")
    for number, identifier in enumerate(found.killed_by if every else found.killed_by[:1]):
        started = time.monotonic()
        with kill_matrix.findings() as made:
            outcome = conduct(subject, identifier, "quick")
            if outcome.state != "FAIL":
                outcome = conduct(subject, identifier, "default")
        assert outcome.state == "FAIL", f"{identifier} does not notice {mutant}: {found.bug}"
        assert outcome.violation is not None
        assert outcome.violation.what
        for line in dict.fromkeys(made):
            record_property("found at", line)
        if number == 0:
            record_property("seconds to the kill", time.monotonic() - started)


def test_matrix_has_no_holes() -> None:
    """All clauses have properties and mutants; every property is described and kills a mutant."""
    assert [f"C{n + 1}" for n in range(len(kill_matrix.CLAUSES))] == list(kill_matrix.CLAUSES)
    assert kill_matrix.holes() == []


def test_page_shows_the_matrix() -> None:
    """docs/matrix.md is what the code says; `tox run -e matrix -- --matrix-write` writes it."""
    assert kill_matrix.DOCUMENT.read_text(encoding="utf-8") == kill_matrix.document()
