"""What the suite finds in a public package with this very interface: chemomae 0.2.4.

Its `masked_sse` and `masked_mse` square before they select, index by the mask, and check nothing.
The outcome is pinned by property, and comes from the properties alone: the suite knows no
implementation. When a property is added, or a version of torch changes an answer, this says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

TARGET = "chemomae.models.losses"
"""The properties that fail, each with what its violation says."""
VIOLATED = {}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of the command, as a user would make it, default profile."""
    file = tmp_path_factory.mktemp("wild") / "report.json"
    command = [sys.executable, "-m", "wavemae.properties", TARGET, "--report-json", str(file)]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1, done.stdout + done.stderr
    (subject,) = json.loads(file.read_text())["subjects"]
    found: dict[str, Any] = subject
    return found


def test_violated_and_kept(report: dict[str, Any]) -> None:
    """Exactly the pinned properties fail; all the others hold."""
    failed = {c["property"] for c in report["cells"] if c["state"] == "FAIL"}
    assert failed == set(VIOLATED)
    assert {c["state"] for c in report["cells"]} == {"pass", "FAIL"}


@pytest.mark.parametrize("identifier", VIOLATED)
def test_violation_says_what_is_wrong(report: dict[str, Any], identifier: str) -> None:
    """The reason in the report is the known one, and a program shows it."""
    (cell,) = (c for c in report["cells"] if c["property"] == identifier)
    assert VIOLATED[identifier] in cell["reason"]
    assert cell["counterexample"]["script"] is None or TARGET in cell["counterexample"]["script"]
