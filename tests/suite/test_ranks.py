"""Ranks are started, asked and ended by the suite; whatever a subject does, none is left."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from wavemae.properties import Claims, Subject, SuiteError, conduct, load_subject
from wavemae.properties.inputs.cases import Case
from wavemae.properties.ranks import processes, serving
from wavemae.properties.ranks.jobs import Job

from wavemae.models.losses import masked_mse, masked_sse

from ..mutants import MUTANTS

DEFINITION = Subject("the definition", masked_sse, masked_mse)
needs_ranks = pytest.mark.skipif(
    processes.unavailable(DEFINITION) is not None, reason=str(processes.unavailable(DEFINITION))
)

WRONG = """
import os
import time

import torch
from torch import distributed
from wavemae.models import losses


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    if not hasattr(x_recon, "to_local"):
        return losses.masked_mse(x_recon, x, mask, reduction=reduction)
    {mistake}
"""
MISTAKES = {
    "value": "return 2 * losses.masked_mse(x_recon, x, mask, reduction=reduction)",
    "gradient": "return losses.masked_mse(x_recon, x.detach(), mask, reduction=reduction)",
    "raises on one rank": "1 / (1 - distributed.get_rank())\n"
    "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)",
}
ASKED = """
import os, signal, time
from wavemae.properties import load_subject
from wavemae.properties.ranks import processes

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with processes.Ranks(load_subject("wavemae.models.losses"), 2) as asked:
        print(*asked.pids, flush=True)
        time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Whether there is such a process, one that has ended and waits to be noticed aside."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids: list[int]) -> bool:
    """Whether all of them have ended within five seconds."""
    end = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@needs_ranks
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises_on_one_rank", "rank 1 raises: RuntimeError: this rank is not the first"),
        ("hangs_on_one_rank", "rank 1 gives no answer: after 11 s it is in hangs_on_one_rank"),
        ("exits_on_one_rank", "rank 1 ends its process: exit code 3"),
        ("one_collective_too_many", "rank 0 ends its process"),
        ("returns_early_where_nothing_is_masked", "rank 0 waited 10 s for the others"),
        ("refuses_dtensors", "every rank raises: TypeError"),
    ],
)
def test_the_rank_at_fault_is_named(name: str, words: str) -> None:
    """Soon, whatever the others wait for, and what each of them did stands beside it."""
    mutant, started = MUTANTS[name], time.monotonic()
    subject = Subject(name, mutant.masked_sse, mutant.masked_mse)
    outcome = conduct(subject, "C20-two-ranks", "quick")
    assert time.monotonic() - started < 40
    assert outcome.violation is not None
    assert words in outcome.violation.what
    assert all(f"rank {rank} " in outcome.violation.got for rank in (0, 1))
    assert outcome.violation.case is not None
    assert multiprocessing.active_children() == []


def _ends_once(*tensors: Tensor, reduction: Any = "mean") -> Tensor:
    if hasattr(tensors[0], "to_local") and distributed.get_rank() == 1:
        try:
            Path(os.environ["ENDED_ONCE"]).touch(exist_ok=False)
        except FileExistsError:
            pass  # by ranks before these
        else:
            os.abort()
    return masked_mse(*tensors, reduction=reduction)


@needs_ranks
def test_a_rank_that_ends_once_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a right loss did once; what ends ranks twice is `exits_on_one_rank`."""
    monkeypatch.setenv("ENDED_ONCE", str(tmp_path / "ended"))
    subject = Subject("ends once", masked_mse=_ends_once)
    assert conduct(subject, "C20-two-ranks", "quick").state == "pass"
    assert (tmp_path / "ended").exists()
    assert multiprocessing.active_children() == []


@needs_ranks
def test_a_rank_that_ended_meanwhile_is_started_anew() -> None:
    """It can be sent nothing more."""
    job = Job(Case("masked_mse", "mean", (2, 3)), (2,), (("Shard(0)",),) * 3)
    with processes.Ranks(DEFINITION, 2) as asked:
        first = asked.pids
        os.kill(first[0], signal.SIGKILL)
        assert gone(first[:1])
        answers = asked.ask(job)
        assert [answer.fault for answer in answers] == ["", ""]
        assert not set(first) & set(asked.pids)


@needs_ranks
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_ranks_end_with_their_parent(sent: signal.Signals, tmp_path: Path) -> None:
    """Killed or interrupted, it leaves none behind, and they say nothing of it."""
    file = tmp_path / "asks.py"
    file.write_text(ASKED)
    parent = subprocess.Popen(
        [sys.executable, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # who is killed leaves a folder behind
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    if sent == signal.SIGKILL:
        parent.kill()
    else:
        os.killpg(parent.pid, sent)  # as a terminal does, to the ranks as well
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == -sent
    assert gone(pids)
    assert errors.count("Traceback") == (0 if sent == signal.SIGKILL else 1)


@needs_ranks
def test_ranks_that_fail_to_meet_are_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subject was not called yet: an error of the run, with what the ranks said."""
    monkeypatch.setattr(serving, "loopback", lambda: "no-such-interface")
    with pytest.raises(SuiteError, match=r"2 ranks did not meet: rank 0 ends its process"):
        processes.Ranks(DEFINITION, 2)
    assert multiprocessing.active_children() == []


@needs_ranks
def test_ranks_that_are_spawned_load_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes cannot be forked, each rank finds the subject by its target."""
    monkeypatch.setattr(processes, "start_method", lambda: "spawn")
    subject = load_subject("wavemae.models.losses")
    outcome = conduct(subject, "C20-unlike-placements", "quick")
    assert (outcome.state, outcome.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("what", "value", "reason"),
    [
        ("torch.__version__", "2.8.1", "DTensor is asked from torch 2.9 on, this is 2.8.1"),
        ("torch.distributed.is_available", lambda: False, "built without torch.distributed"),
        ("torch.distributed.is_gloo_available", lambda: False, "built without gloo"),
        (
            "wavemae.properties.ranks.processes.start_method",
            lambda: "spawn",
            "define its functions at a",
        ),
    ],
)
def test_where_ranks_cannot_be_had_it_says_why(
    what: str, value: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The properties are skipped with the reason in words, which is not "not claimed"."""
    monkeypatch.setattr(what, value)
    local = Subject("local", masked_mse=lambda *given, **named: masked_mse(*given, **named))
    outcome = conduct(local, "C20-two-ranks", "quick")
    assert outcome.state == "skipped"
    assert reason in outcome.reason
    unclaimed = Subject("unclaimed", masked_mse=masked_mse, claims=Claims(distributed=False))
    assert conduct(unclaimed, "C20-two-ranks").state == "not claimed"


def test_on_another_device_it_says_why() -> None:
    """Ranks work on the CPU."""
    outcome = conduct(DEFINITION, "C20-two-ranks", device="cuda")
    assert outcome.state == "skipped"
    assert "this run is on cuda" in outcome.reason


def test_the_command_shows_the_reason(tmp_path: Path) -> None:
    """Skipped is no failure beside what was judged; screen and report say the reason."""
    report = tmp_path / "report.json"
    program = (
        "import sys; from torch import distributed; from wavemae.properties.__main__ import main\n"
        "distributed.is_gloo_available = lambda: False\n"
        f"sys.exit(main(['-k', 'C20 or C7-empty', '-n', '0', '--report-json', {str(report)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "C20-two-ranks and 2 more: this torch is built without gloo" in done.stdout
    (subject,) = json.loads(report.read_text())["subjects"]
    assert subject["totals"]["skipped"] == 3
    states = {cell["property"]: cell["state"] for cell in subject["cells"]}
    assert {state for name, state in states.items() if name != "C7-empty"} == {"skipped"}
    assert states["C7-empty"] == "pass"


@needs_ranks
@pytest.mark.parametrize("name", MISTAKES)
def test_the_program_shows_the_finding(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pastes and runs on ranks of its own, fails on the subject, and not on a right loss."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the subject's folder, as the program says
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG.format(mistake=MISTAKES[name]))
    outcome = conduct(load_subject(str(wrong)), "C20-two-ranks", "quick")
    assert outcome.violation is not None
    program = outcome.violation.script
    assert program is not None
    shown = tmp_path / "shown.py"
    shown.write_text(program)
    done = subprocess.run([sys.executable, str(shown)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "ProcessRaisedException" in done.stderr
    line = next(line for line in program.splitlines() if line.startswith("from wrong"))
    shown.write_text(program.replace(line, "from wavemae import masked_mse"))
    done = subprocess.run([sys.executable, str(shown)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rank ") >= 2


@needs_ranks
@pytest.mark.skipif(not distributed.is_available(), reason="there is no process group")
def test_no_group_is_left_in_this_process() -> None:
    """The process that asks never joins one, so that nothing else can meet it."""
    threads = torch.get_num_threads()
    assert conduct(DEFINITION, "C20-unlike-placements", "quick").state == "pass"
    assert not distributed.is_initialized()
    assert torch.get_num_threads() == threads
