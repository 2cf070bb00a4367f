"""docs/guide.md: each of its files is run as the guide says, and ends as the guide says.

What needs a compiler or JAX takes minutes and is run by `tox run -e wild`, which has both.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE, re.DOTALL))
EXITS = dict(re.findall(r"`python -m wavemae.properties (\w+\.py):SUBJECT` exits with (\d)", GUIDE))
SEVERAL = re.findall(r"`wavemae verify ((?:\w+\.py:\w+ ?)+)` exits with 0", GUIDE)
NAMED = re.findall(r"`wavemae verify (named\.py:\w+)`", GUIDE)
HEAVY = ("cpp_kernel.py", "jax_loss.py")
in_wild = importlib.util.find_spec("jax") is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the guide."""
    made = tmp_path_factory.mktemp("guide")
    for name, text in FILES.items():
        (made / name).write_text(text, encoding="utf-8")
    return made


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python in that folder."""
    environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(folder / "extensions")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def verify(folder: Path, name: str, *options: str) -> dict[str, Any]:
    """The suite on one file, quick; its exit code is that of the guide."""
    report = folder / f"{name}.json"
    command = ["-m", "wavemae.properties", f"{name}:SUBJECT", "--profile", "quick", "-n", "2"]
    done = run(folder, *command, *options, "--report-json", str(report))
    assert done.returncode == int(EXITS[name]), done.stdout + done.stderr
    (subject,) = json.loads(report.read_text())["subjects"]
    found: dict[str, Any] = subject
    return found


def test_every_file_is_run() -> None:
    """The guide says of each subject how it ends, and each has a test here."""
    subjects = {name for name, text in FILES.items() if "= Subject(" in text}
    targets = [target for line in SEVERAL for target in line.split()] + NAMED
    assert subjects == {*EXITS, *(target.partition(":")[0] for target in targets)}
    assert {*EXITS} == {"kernel.py", "keep.py", "multiply.py", *HEAVY}
    assert len(targets) == 4


@pytest.mark.parametrize("name", ["kernel.py", "keep.py"])
def test_right_losses_are_green(folder: Path, name: str) -> None:
    """Exit code 0, and most of the properties were run."""
    totals = verify(folder, name)["totals"]
    assert totals["pass"] >= 50
    assert totals["pass"] + totals["not claimed"] == sum(totals.values())


def test_the_common_formula_is_not(folder: Path) -> None:
    """The clauses that the guide names are among the violated ones."""
    found = verify(folder, "multiply.py", "--clause", "C7,C8,C12")
    assert {"C7", "C8", "C12"} == set(found["violated"])


def test_adapters_are_green(folder: Path) -> None:
    """Other names, other reductions, another mask: a few properties that an adapter could break."""
    (line,) = SEVERAL
    few = "C1-default-reduction or C2-dtypes or C10-symmetric"
    chosen = ["-k", few, "--profile", "quick", "-n", "0"]
    done = run(folder, "-m", "wavemae", "verify", *line.split(), *NAMED, *chosen)
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_names_are_found(folder: Path) -> None:
    """The guide's file without our names is answered by the function that it has, and exit 2."""
    done = run(folder, "-m", "wavemae", "verify", "spectra.py")
    assert done.returncode == 2
    assert "it has reconstruction_error(x_recon" in done.stderr
    assert 'SUBJECT = Subject("reconstruction_error", masked_mse=spectra.' in done.stderr


@pytest.mark.skipif(not in_wild, reason="minutes, and JAX: run by `tox run -e wild`")
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_losses_are_green(folder: Path, name: str) -> None:
    """The same for C++, compiled once before as the guide says, and for JAX."""
    if name == "cpp_kernel.py":
        done = run(folder, name)
        assert done.returncode == 0, done.stderr
    assert verify(folder, name)["totals"]["pass"] >= 40


def test_the_test_file_of_the_guide_passes(folder: Path) -> None:
    """One test for each property; here those of one clause."""
    done = run(
        folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "C8", "test_my_loss.py"
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_script_of_the_guide_says_what_it_found(folder: Path) -> None:
    """Its verdict, and a program that is one."""
    done = run(folder, "check.py")
    assert done.returncode == 0, done.stderr
    assert "loss: 3 FAIL; violates C7, C8; 3 of " in done.stdout
    program = done.stdout[done.stdout.rindex("from math import nan") :]
    (folder / "shown.py").write_text(FILES["check.py"].split("claims =")[0] + program)
    assert "AssertionError: the value changes" in run(folder, "shown.py").stderr


def test_vendored_copy_is_verified_by_one_line(tmp_path: Path) -> None:
    """The line for a copy, as the guide gives it; tests/vendor/test_docs.py runs the others."""
    (line,) = re.findall(r"^python -m wavemae.properties (\S+losses\.py)$", GUIDE, re.MULTILINE)
    copy = tmp_path / line
    copy.parent.mkdir(parents=True)
    assert run(tmp_path, "-m", "wavemae", "vendor", "add", line).returncode == 0
    command = ["-m", "wavemae.properties", line, "--profile", "quick", "-n", "2", "-k", "C4 or C12"]
    done = run(tmp_path, *command)
    assert done.returncode == 0, done.stdout + done.stderr
