"""The command `wavemae`: its names, its help, its complaints, and output that goes nowhere."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wavemae
from wavemae import __main__ as command
from wavemae.vendor.releases import installed

SCRIPTS = Path(sys.executable).parent


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The line, run by a shell that finds this environment's programs first."""
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a copy."""
    (tmp_path / "losses.py").write_bytes(installed().vendored.encode("utf-8"))
    return tmp_path


def test_one_command_by_two_names(tmp_path: Path) -> None:
    """`wavemae` and `python -m wavemae`; the version is the package's."""
    for name in ("wavemae", "python -m wavemae"):
        done = shell(f"{name} --version", tmp_path)
        assert (done.stdout, done.stderr) == (f"wavemae {wavemae.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "explain",
        "compare",
        "vendor",
        "vendor add",
        "vendor check",
        "vendor diff",
        "vendor update",
    ],
)
def test_help(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Fits a screen, says what a file is wanted for, and what each exit code means."""
    with pytest.raises(SystemExit) as ended:
        command.main([*arguments.split(), "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert len(said.splitlines()) < 24
    assert said.startswith(f"usage: wavemae {arguments}".rstrip())
    if arguments:
        assert "Exit code 0: " in said
        assert "1: " in said
        assert "2: " in said
    if "PATH" in said:
        assert re.search(r"^  PATH +\w", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ["usage: wavemae ", "{verify,explain,compare,vendor}", "COMMAND"]),
        ("vend", ["'vend'", "vendor"]),
        ("vendor", ["usage: wavemae vendor ", "{add,check,diff,update}"]),
        ("vendor chek losses.py", ["'chek'", "check"]),
        ("vendor check", ["usage: wavemae vendor check ", "PATH"]),
        ("vendor add one.py two.py", ["usage: wavemae vendor add ", "two.py"]),
        ("vendor check --verif losses.py", ["usage: wavemae vendor check ", "--verif"]),
        ("vendor update --forc losses.py", ["usage: wavemae vendor update ", "--forc"]),
        ("explain", ["usage: wavemae explain ", "NAME"]),
        ("explain C8 C9", ["usage: wavemae explain ", "C9"]),
        ("compare old.json", ["usage: wavemae compare ", "NEW"]),
    ],
)
def test_complaint_shows_what_would_be_right(
    arguments: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the usage of that very command, and the word that is wrong; no abbreviations."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments.split())
    out, said = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert [word for word in words if word not in said] == []


def test_another_subcommand_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its `run` returns is the exit code, and Ctrl-C is 130 without a traceback."""

    def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        parser = commands.add_parser("other")
        parser.add_argument("--stop", action="store_true")
        parser.set_defaults(run=run, parser=parser)

    def run(parsed: argparse.Namespace) -> int:
        if parsed.stop:
            raise KeyboardInterrupt
        return 7

    monkeypatch.setattr(command, "_SUBCOMMANDS", (add_to,))
    assert command.main(["other"]) == 7
    assert command.main(["other", "--stop"]) == 130


def test_modules_here_are_found_by_both_names(tmp_path: Path) -> None:
    """The script finds what lies in the working directory, as `python -m` does."""
    (tmp_path / "mine.py").touch()
    for name in ("wavemae", "python -m wavemae"):
        done = shell(f"unset PYTHONSAFEPATH; {name} verify mine:LOSS -n 0", tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            f"{name.removeprefix('python -m ')} verify: mine has no attribute 'LOSS' (asked for by "
            "'mine:LOSS')\n"
        )


def test_streams_that_are_closed(folder: Path) -> None:
    """The exit code is what it would be, and nothing is printed where it was not asked for."""
    for line, code in {"losses.py >&-": 0, "losses.py >&- 2>&- <&-": 0, "no.py 2>&-": 2}.items():
        done = shell(f"wavemae vendor check {line}", folder)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written(folder: Path) -> None:
    """Exit code 2 and a line on it: whoever keeps the output must not take it for whole."""
    done = shell("wavemae vendor check losses.py > /dev/full", folder)
    assert done.returncode == 2
    assert done.stderr == (
        "wavemae: the output cannot be written: [Errno 28] No space left on device\n"
    )


def test_reader_that_leaves_is_no_error(folder: Path) -> None:
    """As `head` does: no traceback, and no exit code that says all is well."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "wavemae", "vendor", "check", "losses.py"],
        cwd=folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
