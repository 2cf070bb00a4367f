"""Door 1, when something ends early: the run by a signal, a process by its subject."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import wavemae.properties
from wavemae.properties import Case, Constant, Mask, Operand, Palette, Spike, Tree, conduct
from wavemae.properties.run import ledger
from wavemae.properties.subject import load_subject

SCHEMA = json.loads(
    (Path(wavemae.properties.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
)

# Waits for ever, but not in the smoke calls; who waits, and what it started, is noted.
WAITS = """
import os, pathlib, subprocess, sys, time
from wavemae.models import losses
def masked_mse(x_recon, x, mask, *, reduction="mean"):
    if "PYTEST_CURRENT_TEST" in os.environ:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        note = pathlib.Path(f"{os.getpid()}.draft")
        note.write_text(f"{os.getpid()} {child.pid}")
        note.rename(f"{os.getpid()}.waits")
        try:
            time.sleep(300)
        finally:
            child.kill()
            child.wait()
    return losses.masked_mse(x_recon, x, mask, reduction=reduction)
"""

DIES = """
import ctypes, os
from wavemae.models import losses
def masked_mse(x_recon, x, mask, *, reduction="mean"):
    if "PYTEST_CURRENT_TEST" in os.environ and {when}:
        {how}
    return losses.masked_mse(x_recon, x, mask, reduction=reduction)
"""


ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}


def alive(pid: int) -> bool:
    """Whether a process is still at work; one that ended and that nobody asked for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def report_of(file: Path) -> dict[str, Any]:
    """The one subject of a report that fits the schema."""
    report = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.validate(report, SCHEMA)
    (subject,) = report["subjects"]
    return {**subject, "interrupted_by": report["interrupted_by"]}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("0", signal.SIGTERM)])
def test_a_signal_ends_the_run_and_keeps_what_is_known(
    tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    """128 + its number; table and reports say what did not run; no process is left."""
    (tmp_path / "waits.py").write_text(WAITS)
    command = [sys.executable, "-m", "wavemae.properties", "waits.py", "--clause", "C1,C7"]
    command += ["-n", workers, "--report-json", "a.json", "--report-md", "a.md"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + 120
    while not (waiting := list(tmp_path.glob("*.waits"))) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    found = report_of(tmp_path / "a.json")
    assert found["interrupted_by"] == number.name
    assert found["violated"] == []
    assert found["totals"]["not run"] == len(found["cells"]) > 6
    assert "nothing was judged" in found["verdict"]
    assert f"verdict  {found['verdict']}" in output
    assert "not run" in (tmp_path / "a.md").read_text()
    pids = [int(pid) for file in waiting for pid in file.read_text().split()]
    assert len(pids) == 2
    assert [pid for pid in pids if alive(pid)] == []


def test_a_deadly_subject_is_named_with_its_input(tmp_path: Path) -> None:
    """The call it died in can be pasted; after three dead processes the rest is not tried."""
    dies = DIES.format(when="not mask.any()", how="ctypes.string_at(0)")
    (tmp_path / "dies.py").write_text(dies)
    command = [sys.executable, "-m", "wavemae.properties", "dies.py", "--clause", "C4,C7,C12"]
    command += ["-n", "1", "--profile", "quick", "--report-json", "a.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = report_of(tmp_path / "a.json")
    dead = [cell for cell in found["cells"] if cell["state"] == "FAIL"]
    assert len(dead) == 3
    assert "C7" in found["violated"]
    how = "exit code " if os.name == "nt" else "killed by SIGSEGV)"
    for cell in dead:
        assert "its process died" in cell["reason"]
        assert f" s ({how}" in cell["reason"]
        assert "the case at hand was masked_mse of shape" in cell["reason"]
        case = Case.from_dict(cell["counterexample"]["case"])
        assert cell["clause"] != "C7" or not case.build().mask.any(), "it dies of an empty mask"
        assert "from dies import masked_mse" in cell["counterexample"]["script"]
    rest = [cell for cell in found["cells"] if cell["state"] == "not run"]
    assert rest
    assert all("3 processes ended or hung under this target" in c["reason"] for c in rest)
    assert "    from dies import masked_mse" in done.stdout


CASES = [
    Case(),
    Case("masked_sse", None, (0, 4), grads=("x_recon", "x"), upstream=-0.5, salt=3),
    Case(shape=(1, 2), x=Operand("float16", (float("inf"), -0.0), "transposed", 1e300)),
    Case(x_recon=Operand(values=Constant(3.0)), x=Operand("float64", Palette(7, (1.0, 2.5)))),
    Case(x=Operand(values=Spike(1.0, 2.0**20, 4), edits=((1, 2.0),)), mask=Mask("bernoulli", 9)),
    Case(x=Operand(values=Tree(16, 32, 2.0**-24)), mask=Mask((True, False) * 3, layout="expanded")),
]


@pytest.mark.parametrize("case", CASES)
def test_the_ledger_gives_back_the_case(tmp_path: Path, case: Case) -> None:
    """Every field of it; a longer case that was kept before leaves no trace, and none is none."""
    kept = ledger.Ledger(tmp_path, "gw0")
    kept.note(Case(shape=(9, 9), mask=Mask((True,) * 81)))
    kept.note(case)
    assert ledger.case_of(tmp_path, "gw0") == case
    kept.note(None)
    assert ledger.case_of(tmp_path, "gw0") is None
    assert ledger.case_of(tmp_path, "gw1") is None
    kept.close()


@pytest.mark.parametrize(
    ("identifier", "when", "what"),
    [
        ("C16-own-process", "x.shape == (3, 3)", "a call did not return"),
        (
            "C3-optimised",
            "getattr(mask, 'dtype', None) is torch.uint8",
            "a bad call did not return",
        ),
    ],
)
def test_a_death_in_a_process_of_its_own_is_the_subjects(
    tmp_path: Path, identifier: str, when: str, what: str
) -> None:
    """Whether a good call dies there or a bad one, a clause is violated."""
    (tmp_path / "aborts.py").write_text(
        "import os, sys, torch\n"
        "from wavemae.models import losses\n"
        'def masked_mse(x_recon, x, mask, *, reduction="mean"):\n'
        f'    if "pytest" not in sys.modules and {when}:\n'
        "        os.abort()\n"
        "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)\n"
    )
    outcome = conduct(load_subject(str(tmp_path / "aborts.py")), identifier, "quick")
    assert outcome.state == "FAIL"
    assert outcome.violation is not None
    assert outcome.violation.what == f"in a process of its own, {what}"
    assert outcome.violation.got == "its process ended: killed by SIGABRT"
    program = outcome.violation.program()
    assert program is not None
    alone = [sys.executable, "-c", program]
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "it ended with -6" in done.stderr
    right = [*alone[:2], program.replace("from aborts import", "from wavemae.models.losses import")]
    assert subprocess.run(right, capture_output=True, check=False).returncode == 0
