"""The one run of the suite on everything in the catalogue, and the option that writes the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import page
from .catalogue import ENTRIES, entries, target

AT_ONCE = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--wild-write` writes docs/wild.md; `--wild-report FILE` takes an earlier run's report."""
    parser.addoption("--wild-write", action="store_true", help="write docs/wild.md")
    parser.addoption("--wild-report", metavar="FILE", help="a report to use instead of a run")


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[str, Any]:
    """The report of the command, as a user would make it, on a few packages at a time.

    All are imported at once before anything else, within a minute; seventeen can take longer.
    """
    given = pytestconfig.getoption("--wild-report")
    if given:
        found: dict[str, Any] = json.loads(Path(given).read_text())
        return found
    folder, reports = tmp_path_factory.mktemp("wild"), []
    for start in range(0, len(ENTRIES), AT_ONCE):
        file = folder / f"report_{start}.json"
        targets = [target(name) for name in ENTRIES[start : start + AT_ONCE]]
        command = [sys.executable, "-m", "wavemae.properties", *targets, "--profile", "quick"]
        command += ["--report-json", str(file)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800)
        assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
        reports.append(json.loads(file.read_text()))
    found = {**reports[0], "subjects": [s for report in reports for s in report["subjects"]]}
    (folder / "report.json").write_text(json.dumps(found))
    return found


@pytest.fixture(scope="session")
def document(report: dict[str, Any], pytestconfig: pytest.Config) -> str:
    """docs/wild.md as it is, or with --wild-write as this run says."""
    text = page.DOCUMENT.read_text(encoding="utf-8")
    if pytestconfig.getoption("--wild-write"):
        text = page.filled(text, report, entries())
        page.DOCUMENT.write_text(text, encoding="utf-8")
    return text
