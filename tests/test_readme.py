"""What README says is true: its examples run, its commands are those of CI, its files exist."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_examples_run() -> None:
    """Every `>>>` in README gives what stands below it."""
    found = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


def test_ci_runs_the_command_of_readme() -> None:
    """`.ci/run` and README cannot drift apart."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert [c.rpartition("/")[2] for c in commands] == ["tox run -e verify", "tox run"]
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_linked_files_exist() -> None:
    """No link to a file of the repository leads nowhere."""
    links = re.findall(r"\]\(([^)h][^)]*)\)", README)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_picture_is_what_its_script_draws() -> None:
    """The SVG is regenerated, not edited."""
    script = runpy.run_path(str(ROOT / "docs" / "masked_spectrum.py"))
    assert (ROOT / "docs" / "masked_spectrum.svg").read_text() == script["picture"]()
