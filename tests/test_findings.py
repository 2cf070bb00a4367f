"""docs/findings.md: what it says of others still holds.

What needs other packages, or half a minute of compiling, is run by `tox run -e wild`.
"""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "findings"
PAGE = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| \[\w+\]\(findings/(\w+)\.py\) \| (\w+ [\d.]+) \|", PAGE, re.MULTILINE))
CODE = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
PATCHED = [name for name, code in CODE.items() if '"--patched" in sys.argv' in code]
IN_WILD = importlib.util.find_spec("jax") is not None
# What `tox run -e wild` installs without its dependencies is imported without its parents.
SUBJECTS = ROOT / "tests" / "wild" / "subjects"
ALONE = {
    name
    for file in SUBJECTS.glob("*.py")
    for name in re.findall(r'alone\("([\w.]+)"\)', file.read_text(encoding="utf-8"))
}
RUN = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from alone import alone
for name in sys.argv[2].split():
    alone(name)
del sys.argv[:3]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def light(name: str) -> bool:
    """Whether a program needs torch alone, and no compiler."""
    return ROWS.get(name, "").startswith("torch ") and not name.startswith("inductor")


def in_a_process(name: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a program, and what it prints."""
    imported = set(re.findall(r"^(?:from|import) (\w+)", CODE[name], re.MULTILINE))
    needed = " ".join(module for module in ALONE if module.partition(".")[0] in imported)
    command = [sys.executable, "-c", RUN, str(SUBJECTS), needed, str(FOLDER / f"{name}.py")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


pinned = pytest.mark.skipif(
    not torch.__version__.startswith("2.13."), reason="the page is about torch 2.13"
)
in_wild = pytest.mark.skipif(
    not IN_WILD, reason="other packages, or half a minute of compiling: `tox run -e wild`"
)


def test_every_program_has_its_row() -> None:
    """The table names each once."""
    assert sorted(ROWS) == sorted(CODE)
    assert len(re.findall(r"\]\(findings/", PAGE)) == len(ROWS)


def test_every_patch_stands_on_the_page() -> None:
    """What `--patched` takes out and puts in is what the page shows, line by line."""
    blocks = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == len(PATCHED)
    for block in blocks:
        lines = [
            line[1:].strip().removeprefix('if reduction_type == "sum" and ')
            for line in block.splitlines()
        ]
        assert [n for n in PATCHED if all(line in CODE[n] for line in lines)], block


@pinned
@pytest.mark.filterwarnings("ignore")  # torch deprecates parts of itself when they are used
@pytest.mark.parametrize("name", [name for name in CODE if light(name)])
def test_the_finding_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program exits with 0; with 1 torch has mended it, and the row moves down the page."""
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert not ended.value.code


@in_wild
def test_the_page_names_the_installed_versions() -> None:
    """Of each package that a row is about."""
    for row in ROWS.values():
        package, _, version = row.partition(" ")
        assert metadata.version(package).partition("+")[0] == version, package


@in_wild
@pinned
@pytest.mark.parametrize("name", [name for name in CODE if not light(name)])
def test_the_heavy_finding_stands(name: str) -> None:
    """The program exits with 0; with 1 the package has mended it, and the row moves down."""
    exit_code, printed = in_a_process(name)
    assert exit_code == 0, printed


@in_wild
@pinned
@pytest.mark.parametrize("name", PATCHED)
def test_the_patch_mends_it(name: str) -> None:
    """The program exits with 1, and without an error."""
    exit_code, printed = in_a_process(name, "--patched")
    assert (exit_code, "Traceback" in printed) == (1, False), printed
