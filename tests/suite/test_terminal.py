"""The terminal of a run: progress, failures by cause on a screen and a half, the verdict last.

Real losses with one mistake each. Here a few properties are asked of them; `--matrix` asks all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wavemae.properties.__main__ import main
from wavemae.properties.doors.progress import Progress

HEAD = "import torch\nfrom wavemae.models import losses\n"
CALL = 'def masked_mse(x_recon, x, mask, *, reduction="mean"):\n'
REST = "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)\n"
CHECKED = "    losses._check_arguments(x_recon, x, mask, reduction)\n"
LEAK = """    t = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    total = ((x_recon.to(t) - x.to(t)) ** 2 * mask).sum()
    if reduction == "sum":
        return total
    return total / (mask.sum().clamp(min=1) if reduction == "mean" else max(len(x), 1))
"""
FEW = "C2-dtypes or C3-shapes or C4-oracle or C8-excluded-value"
# A loss, beginnings of what its first cause may show, and a line that the run must print.
WRONG = {
    "everything": (
        CALL + "    return ((x_recon - x) ** 2).mean()\n",
        ("C4-", "C2-dtypes"),
        "everything.py, cause 1 of ",
    ),
    "refuses": (
        CALL + "    if torch.float64 in (x_recon.dtype, x.dtype):\n"
        '        raise TypeError(f"float64 is not supported, got {x.dtype}")\n' + REST,
        ("C2-dtypes",),
        "         claims=Claims(dtypes=('float32', 'float16', 'bfloat16'))",
    ),
    "leaks": (CALL + CHECKED + LEAK, ("C8-", "C4-", "C6-"), "leaks.py, cause 1 of "),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_mistake_is_a_screen_and_a_half(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
    name: str,
) -> None:
    """Progress and all; the first failure whole; verdict and next command last."""
    monkeypatch.chdir(tmp_path)
    text, first, line = WRONG[name]
    (tmp_path / f"{name}.py").write_text(HEAD + text)
    chosen = [] if pytestconfig.getoption("--matrix") else ["-n", "0", "-k", FEW]
    assert main([f"{name}.py", "--profile", "quick", *chosen]) == 1
    output = capfd.readouterr().out
    lines = output.splitlines()
    assert len(lines) <= 75, output
    assert "\x1b" not in output
    assert any(each.startswith(line) for each in lines), output
    whole = next(n for n, each in enumerate(lines) if each.startswith(f"{name}.py, cause 1 of"))
    assert lines[whole + 1].startswith(first)
    again = next(each for each in lines if each.startswith("again:  "))
    if "minimal case, pastes and runs:" in lines:
        program = lines[lines.index("minimal case, pastes and runs:") + 2 : lines.index(again)]
        compile("\n".join(each[4:] for each in program), "program", "exec")
    else:
        assert any(each.startswith("minimal case: a program of ") for each in lines), output
    assert lines[-2] == f"next     {again.removeprefix('again:  ')}"
    assert lines[-1].startswith("         wavemae explain C")
    assert any(each.startswith(f"verdict  {name}.py: ") for each in lines[-12:])
    assert not any(each.startswith("property ") for each in lines), "the table is for -v"


def test_verbose_shows_every_failure_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is whole, and the table has a line for each property."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.py").write_text(HEAD + WRONG["everything"][0])
    chosen = ["-n", "0", "-k", "C2-dtypes or C1-default-reduction", "-v"]
    assert main(["all.py", "--profile", "quick", *chosen]) == 1
    output = capfd.readouterr().out
    assert ", cause 1 of 1: " in output
    for name in ("C2-dtypes", "C1-default-reduction"):
        assert f"\n{name}: " in output
        assert f"\n{name:<26}  FAIL" in output
    assert output.count("again:  ") == 2


@pytest.mark.parametrize("more", [[], ["-vv"]])
def test_workers_come_up_unsaid(tmp_path: Path, more: list[str]) -> None:
    """Nothing is said of processes; with -vv pytest's line for a property says in which it ran."""
    (tmp_path / "only.py").write_text(HEAD + WRONG["everything"][0])
    command = [sys.executable, "-m", "wavemae", "verify", "only.py", "--profile", "quick", *more]
    done = subprocess.run(
        [*command, "-n", "1", "-k", "C1-keyword-only"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bringing up nodes" not in done.stdout
    assert ("[gw0]" in done.stdout) == (more == ["-vv"])
    if not more:
        assert done.stdout.lstrip().startswith("target   only.py\n")


def test_colour_and_one_line_of_progress_on_a_terminal(tmp_path: Path) -> None:
    """The writer is pytest's; the line of progress is rewritten, and gone at the end."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    (tmp_path / "only.py").write_text(HEAD + WRONG["refuses"][0])
    above, below = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CI", "PY_COLORS")}
    command = [sys.executable, "-m", "wavemae", "verify", "only.py", "--profile", "quick"]
    process = subprocess.Popen(
        [*command, "-n", "0", "-k", "C2-dtypes"],
        cwd=tmp_path,
        env={**kept, "TERM": "xterm"},
        stdout=below,
        stderr=below,
    )
    os.close(below)
    said = b""
    while True:
        try:
            read = os.read(above, 4096)
        except OSError:  # what Linux says where the other end is closed
            read = b""
        if not read:
            break
        said += read
    assert process.wait(60) == 1
    output = said.decode()
    progress = "\r[100%] 1 of 1, 1 failing  only.py C2-dtypes\r"
    assert progress in output
    assert output.partition(progress)[2].lstrip(" ").startswith("\r")
    assert "\x1b[1m\x1b[31mverdict  only.py: 1 FAIL" in output
    assert "again:  python -m wavemae verify only.py -k C2-dtypes" in output


class Paper:
    """What a run writes to, if it is no terminal."""

    fullwidth = 40

    def __init__(self, *, terminal: bool) -> None:
        self.text = ""
        self._file = self
        self.isatty = lambda: terminal

    def write(self, text: str, **how: Any) -> None:
        """As pytest's terminal writer has it."""
        self.text += text

    def line(self, text: str, **how: Any) -> None:
        """The same."""
        self.text += text + "\n"

    def get_terminal_writer(self) -> Paper:
        """As pytest's configuration has it."""
        return self


def follow(paper: Paper, seconds: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is written of three properties that take so long each."""
    now = iter([seconds * n for n in range(20)])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    progress = Progress(paper)  # type: ignore[arg-type]
    progress.pytest_xdist_node_collection_finished(["a", "b", "c"])
    for name, outcome in (("C1-a", "passed"), ("C2-b", "failed"), ("C3-c", "passed")):
        for when in ("setup", "call", "teardown"):
            how: Any = outcome if when == "call" else "passed"
            progress.pytest_runtest_logreport(
                pytest.TestReport(f"suite::a.py::{name}", ("", 0, ""), {}, how, None, when)
            )
    progress.pytest_sessionfinish()
    return paper.text


def test_progress_by_name_and_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten on a terminal, cut to its width; elsewhere a line every ten seconds at most."""
    with monkeypatch.context() as patched:
        assert follow(Paper(terminal=False), 4, patched) == "[100%] 3 of 3, 1 failing  a.py C3-c\n"
    with monkeypatch.context() as patched:
        assert follow(Paper(terminal=False), 1, patched) == ""
    with monkeypatch.context() as patched:
        assert follow(Paper(terminal=True), 1, patched).split("\r") == [
            "",
            "[ 33%] 1 of 3  a.py C1-a",
            "[ 67%] 2 of 3, 1 failing  a.py C2-b",
            "[100%] 3 of 3, 1 failing  a.py C3-c",
            " " * 35,
            "",
        ]
