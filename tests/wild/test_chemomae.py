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

# The properties that fail, each with words of its violation.
VIOLATED = {
    "C3-any-mismatch": "shapes (0, 0), () and (0, 0) are not refused",
    "C3-before-arithmetic": "with x_recon = good.to(torch.int64) it computed before",
    "C3-both-alike": "x_recon and x, each good.to(torch.uint8), are not refused",
    "C3-devices": "x_recon = good.to('meta') is refused with the wrong kind",
    "C3-layouts": "x_recon = good.to_sparse() is refused with the wrong kind",
    "C3-mask-dtypes": "mask = good.to(torch.uint8) is accepted",
    "C3-messages": "the message does not name",
    "C3-non-tensors": "x_recon = 1.0 is accepted",
    "C3-shapes": "x_recon = good[0] is accepted",
    "C3-value-dtypes": "x_recon = good.to(torch.int64) is accepted",
    "C5-count": "the result has the wrong dtype",
    "C5-half-range": "the value is wrong",
    "C5-result": "wrong dtype",
    "C5-upcast-first": "the value is wrong",
    "C11-extremes": "the gradient of x_recon is wrong",
    "C11-oracle": "the gradient of x_recon is wrong",
    "C12-empty-trains": "not connected to the graph",
    "C12-excluded-gradient": "the gradient of x_recon is wrong",
    "C12-excluded-second-order": "the gradient of x_recon is wrong",
    "C12-excluded-sizes": "the gradient of x_recon is wrong",
    "C12-excluded-transforms": "the gradient of x_recon is wrong",
    "C17-fake": "nonzero",
    "C17-meta": "nonzero",
    "C17-no-host-sync": "read back to the host",
    "C18-compile": "data-dependent",
    "C18-export": "data-dependent",
    "C19-grad": "RuntimeError came out: vmap",
    "C19-jvp": "RuntimeError came out: vmap",
    "C19-vmap": "RuntimeError came out: vmap",
    "C19-vmap-empty": "IndexError",
}


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


def test_half_precision_sum_overflows(report: dict[str, Any]) -> None:
    """The counterexample of C5-half-range is an infinity where the sum is finite in float32."""
    (cell,) = (c for c in report["cells"] if c["property"] == "C5-half-range")
    assert cell["counterexample"]["got"] == "inf (float16)"
    assert "inf" not in cell["counterexample"]["wanted"]
