"""`wavemae explain`: every clause and property in words, and what answers without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import wavemae.properties
from wavemae.properties import PROPERTIES
from wavemae.properties.doors import catalogue, explaining
from wavemae.properties.doors.remedies import REMEDIES

from wavemae.__main__ import main

ROOT = Path(__file__).parents[2]


def test_what_is_read_from_the_source_is_what_is_registered() -> None:
    """Statement, rationale and catches of every property, without importing any."""
    read = {e.id: (e.statement, e.rationale, e.catches) for e in catalogue.entries()}
    assert read == {p.id: (p.statement, p.rationale, p.catches) for p in PROPERTIES.values()}


def test_the_contract_is_in_the_package() -> None:
    """Beside an installed suite lies the root's CONTRACT.md; in a checkout it is that file."""
    installed = Path(wavemae.properties.__file__).parent
    text = (ROOT / "CONTRACT.md").read_text(encoding="utf-8")
    assert explaining.contract() == text
    if installed != ROOT / "properties":
        assert (installed / "CONTRACT.md").read_text(encoding="utf-8") == text


def test_every_clause_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Its text, why it is there, what to do, and each of its properties."""
    assert tuple(REMEDIES) == catalogue.clauses()
    for clause, remedy in REMEDIES.items():
        assert main(["explain", clause]) == 0
        said = " ".join(capsys.readouterr().out.split())
        for words in (explaining.clause_text(clause), remedy.why, remedy.do):
            assert words in said
        for entry in catalogue.entries():
            assert (f"{entry.id} {entry.statement}" in said) is (entry.clause == clause)


def test_a_clause_ends_where_the_next_begins() -> None:
    """Nothing of another clause, of a heading or of the derivation is taken for its text."""
    assert explaining.clause_text("C7").startswith("With an empty mask, with B = 0")
    assert explaining.clause_text("C10").endswith("short of overflow and underflow.")
    assert explaining.clause_text("C20").endswith("is left open.")
    assert len({explaining.clause_text(clause) for clause in REMEDIES}) == 20


def test_a_property_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """The property first, then its clause; and the command that runs it."""
    assert main(["explain", "C1-keyword-only"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("C1-keyword-only\n  `reduction` given by position raises TypeError.\n")
    assert "catches  a signature without the bare star" in said
    assert "C1-unknown-keyword" not in said
    assert said.endswith("wavemae verify TARGET -k C1-keyword-only\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c8", "did you mean C8?"),
        ("C21", "there are C1 to C20"),
        ("C8-excluded", "did you mean C8-excluded-value?"),
        ("C3-modes", "is now C3-situations"),
    ],
)
def test_an_unknown_name_is_exit_2(
    capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    """One line, which says what there is."""
    assert main(["explain", name]) == 2
    error = capsys.readouterr().err
    assert (words in error, error.count("\n")) == (True, 1)


def test_words_need_no_torch(tmp_path: Path) -> None:
    """Help, explain, compare and --list answer where nothing but the standard library is."""
    report = tmp_path / "report.json"
    report.write_text('{"schema_version": 1, "subjects": []}')
    lines = [["--help"], ["verify", "--help"], ["verify", "--list"], ["explain", "C8"]]
    lines += [["compare", str(report), str(report)]]
    program = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'pytest', 'hypothesis'): sys.modules[name] = None\n"
        "from wavemae.__main__ import main\n"
        f"for line in {lines!r}:\n"
        "    try:\n"
        "        assert main(line) == 0, line\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, line\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
