"""Options of the suite's own tests."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seeds N` for test_variants.py, `--matrix` and `--matrix-write` for test_mutants.py."""
    parser.addoption("--seeds", type=int, default=1, help="seeds for test_variants.py")
    parser.addoption("--matrix", action="store_true", help="print the outcome of the kill matrix")
    parser.addoption("--matrix-write", action="store_true", help="write docs/matrix.md")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds 0 to N − 1 for the tests that take one; all mutants with `--matrix`, else a sixth."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))
    if "mutant" in metafunc.fixturenames:
        from .mutants import MUTANTS

        every = metafunc.config.getoption("--matrix")
        metafunc.parametrize("mutant", [*MUTANTS][:: 1 if every else 6])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Write the page before the test that compares it."""
    if session.config.getoption("--matrix-write") and not hasattr(session.config, "workerinput"):
        from .suite import kill_matrix

        kill_matrix.DOCUMENT.write_text(kill_matrix.document(), encoding="utf-8")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `--matrix`, every line of the suite that makes a finding was reached by a mutant."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(session.config, "workerinput") or reporter is None:
        return
    reports = [r for r in reporter.stats.get("passed", []) if "test_mutant_dies[" in r.nodeid]
    if not reports or not session.config.getoption("--matrix"):
        return
    from .mutants import MUTANTS
    from .suite import kill_matrix

    if len(reports) < len(MUTANTS):
        return
    made = [value for r in reports for key, value in r.user_properties if key == "found at"]
    missed = kill_matrix.unreached(made)
    if missed:
        reporter.section("lines that make a finding, and that no mutant leads to")
        reporter.write_line("\n".join(missed))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The kill matrix of this run, if asked for."""
    if not config.getoption("--matrix"):
        return
    from .suite import kill_matrix

    kills = [
        kill_matrix.Kill(
            report.nodeid.partition("[")[2].rstrip("]"),
            state == "passed",
            dict(report.user_properties).get("seconds to the kill", 0.0),
        )
        for state in ("passed", "failed")
        for report in terminalreporter.stats.get(state, [])
        if report.when == "call" and "test_mutant_dies[" in report.nodeid
    ]
    terminalreporter.section("kill matrix")
    terminalreporter.write_line(kill_matrix.summary())
    for line in kill_matrix.outcome(kills):
        terminalreporter.write_line(line)
