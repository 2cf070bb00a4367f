"""What the docs say of vendored copies is run: shell lines, the hook, the guide's commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wavemae
from wavemae.vendor.releases import installed

ROOT = Path(__file__).parents[2]
CI = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8").partition("## A vendored copy")[2]
CI = CI.partition("\n## ")[0]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8").partition("# Vendor the")[2]
HOOKS = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", CI, re.MULTILINE | re.DOTALL)
EDITS = {
    "code": lambda text: text.replace(".square()", ".abs()", 1),
    "docstring": lambda text: text.replace("spectrum", "Spectrum", 1),
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "last byte": lambda text: text[:-1],
    "code below": lambda text: f"{text}import os\n",
    "cut short": lambda text: text[:100],
    "no marker": lambda text: text.replace("# ---- ", "# "),
    "code in the header": lambda text: text.replace("# fmt", "import os\n# fmt", 1),
    "code behind a CR": lambda text: text.replace("# fmt", "# ours\rimport os\n# fmt", 1),
    "encoding": lambda text: f"# coding: utf-7\n{text}",
    "nothing": lambda text: "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the copy that the docs speak of."""
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "losses.py").write_bytes(installed().vendored.encode("utf-8"))
    return tmp_path


def shell(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A POSIX shell as CI runs it: it ends with the first line that fails."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-e", "-c", lines],
        cwd=folder,
        env={**os.environ, "PATH": scripts},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def as_run_here(block: str) -> str:
    """The block without its installation: what is under test is installed already."""
    lines = [line for line in block.splitlines() if not line.startswith("pip install")]
    return "\n".join(lines)


def test_docs_have_two_ways_in_shell() -> None:
    """With the package, and with sha256sum in two lines; both name the current release."""
    with_package, without = BLOCKS
    assert "wavemae vendor check mypkg/losses.py" in with_package
    assert "wavemae" not in without.replace("# wavemae", "")
    assert len(without.splitlines()) == 2
    named = re.findall(r"(?:wavemae==|rev: v|  # wavemae )([\d.]+\d)", CI)
    assert named == [wavemae.__version__] * 3


@pytest.mark.parametrize("block", BLOCKS, ids=["package", "sha256sum"])
def test_shell_lines_pass_on_a_copy(block: str, project: Path) -> None:
    """Exit code 0 on what `wavemae vendor add` wrote."""
    done = shell(as_run_here(block), project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("block", BLOCKS, ids=["package", "sha256sum"])
def test_shell_lines_fail_on_an_edited_copy(block: str, edit: str, project: Path) -> None:
    """Another exit code, whatever was edited and wherever, in the header too."""
    edited = EDITS[edit](installed().vendored)
    (project / "mypkg" / "losses.py").write_bytes(edited.encode("utf-8"))
    assert shell(as_run_here(block), project).returncode == (1 if edited or "sum" in block else 2)


@pytest.mark.parametrize("block", BLOCKS, ids=["package", "sha256sum"])
def test_shell_lines_fail_without_a_copy(block: str, project: Path) -> None:
    """A copy that is gone is not taken for one that is right."""
    (project / "mypkg" / "losses.py").unlink()
    assert shell(as_run_here(block), project).returncode > 0


def test_shell_lines_without_a_header(project: Path) -> None:
    """As the docs say: for a plain copy, and for none else, the changelog has another hash."""
    _, block = BLOCKS
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    text, vendored = re.findall(r"`([0-9a-f]{64})`", changelog)[:2]
    assert f"={vendored} " in block
    plain = block.replace(vendored, text)
    for content, codes in ((installed().text, (1, 0)), (installed().vendored, (0, 1))):
        (project / "mypkg" / "losses.py").write_bytes(content.encode("utf-8"))
        assert tuple(shell(lines, project).returncode for lines in (block, plain)) == codes


def test_hook_runs_from_a_bare_checkout(project: Path) -> None:
    """Its entry needs nothing but Python: run in isolation, on a checkout that is not installed."""
    (entry,) = re.findall(r"^  entry: (.+)$", HOOKS, re.MULTILINE)
    assert re.search(r"^  language: script$", HOOKS, re.MULTILINE)
    assert re.search(r"^- id: (\S+)$", HOOKS, re.MULTILINE)[1] in CI  # type: ignore[index]
    script, *arguments = entry.split()
    assert os.access(ROOT / script, os.X_OK)
    assert (ROOT / script).read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")
    checkout = project / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "wavemae", checkout / "wavemae", ignore=ignored)
    for copy, code in (("mypkg/losses.py", 0), ("mypkg/moved.py", 2), (str(ROOT / script), 1)):
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(checkout / script), *arguments, copy],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr


def test_commands_of_the_guide_run(tmp_path: Path) -> None:
    """In their order, in a folder with a package; the suite's line is run by test_guide.py."""
    (tmp_path / "mypkg").mkdir()
    lines = re.findall(r"^wavemae vendor .*$", GUIDE, re.MULTILINE)
    assert [line.split()[2] for line in lines] == ["add", "check"]
    done = shell("\n".join(lines), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mypkg" / "losses.py").read_bytes() == installed().vendored.encode("utf-8")
