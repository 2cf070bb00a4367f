"""docs/ci.md, its first part: the lines are run, on a loss that keeps its faults, and a worse one.

tests/vendor/test_docs.py runs the lines on vendored copies.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wavemae

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8").partition("## A vendored copy")[0]
ACCEPT, CHECK = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
JOB, HOOK = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STEPS = re.findall(r"^ +- run: (?:>-\n)?((?:.+\n)(?: {10}.+\n)*)", JOB, re.MULTILINE)
# The whole suite takes a minute: the same lines, on one clause.
FEW = "--profile quick --clause C7 -n 0"
RIGHT = "from wavemae.models.losses import masked_mse\n"
WRONG = """
from wavemae.models import losses
def masked_mse(x_recon, x, mask, *, reduction="mean"):
    found = losses.masked_mse(x_recon, x, mask, reduction=reduction)
    return found if mask.any() else found + float("nan")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the loss that the page speaks of."""
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "losses.py").write_text(RIGHT, encoding="utf-8")
    return tmp_path


def shell(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell, in which what is under test is installed already; it ends where a line fails."""
    kept = [line for line in lines.splitlines() if not line.startswith("pip install")]
    assert kept != lines.splitlines()
    short = re.sub(r"(--profile quick)?$", f" {FEW}", "\n".join(kept))
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    summary = str(folder / "summary.md")
    return subprocess.run(
        ["sh", "-e", "-c", short],
        cwd=folder,
        env={**os.environ, "PATH": scripts, "GITHUB_STEP_SUMMARY": summary},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_page_names_this_release() -> None:
    """Each installation is of the version that the page is about."""
    named = re.findall(r'pip install "wavemae\[properties\]==([\d.]+)"', PAGE)
    assert named == [wavemae.__version__] * 3


def test_the_lines_stay_quiet_until_something_changes(project: Path) -> None:
    """The job fails on a loss that got worse; accepted, the lines and the hook pass."""
    install, verify = STEPS
    (entry,) = re.findall(r"^ +entry: (.*)$", HOOK, re.MULTILINE)
    assert shell(ACCEPT, project).returncode == 0
    (project / "mypkg" / "losses.py").write_text(WRONG, encoding="utf-8")
    done = shell(install + " ".join(verify.split()), project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "C7-empty" in done.stdout
    assert "`C7-empty`" in (project / "summary.md").read_text(encoding="utf-8")
    assert "<title>mypkg/losses.py" in (project / "report.html").read_text(encoding="utf-8")
    (project / "report.json").replace(project / "wavemae.json")  # a report is a baseline
    for lines in (CHECK, install + entry):
        done = shell(lines, project)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 newly failing" in done.stdout
    assert (project / "wavemae.html").is_file()


def test_the_hook_is_for_one_file() -> None:
    """Its pattern fits the file that its command names, and no other."""
    (pattern,) = re.findall(r"^ +files: (.*)$", HOOK, re.MULTILINE)
    assert re.search(pattern, "mypkg/losses.py")
    assert not re.search(pattern, "mypkg/losses_py.txt")
