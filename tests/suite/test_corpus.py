"""The corpus as it is installed: its index is what the code says, ids stay, its page is true."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from wavemae.properties import PROPERTIES, TargetError, load_subject

from wavemae.corpus import INDEX, Corpus, classes, corpus, index
from wavemae.corpus.__main__ import main
from wavemae.corpus.trial import trial

from ..mutants import MUTANTS
from ..variants import VARIANTS
from . import corpus_ids

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "corpus.md"


def test_index_is_what_the_code_says(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m wavemae.corpus --write` makes it so."""
    assert main(["--check"]) == 0, capsys.readouterr().out
    assert INDEX.read_text(encoding="utf-8") == index.text(corpus)


def test_no_place_of_this_machine_is_in_the_index() -> None:
    """Programs take the functions from the corpus, wherever it is installed."""
    assert "sys.path" not in INDEX.read_text(encoding="utf-8")


def test_a_stale_index_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that are missing, that are no more, and that are others."""
    now = index.entries()
    first, second, *rest = now
    for found, line in (
        ([second, *rest], f"{first.id} is not in the code"),
        ([*now, replace(first, id="new")], "new is not in the index"),
        ([replace(first, summary="x"), second, *rest], f"{first.id} is another in the index"),
        ([second, first, *rest], "the order of the entries is another"),
    ):
        monkeypatch.setattr(index, "entries", lambda found=found: found)
        assert index.differing() == [line]
    monkeypatch.undo()
    unseen = Corpus((replace(corpus[first.id], witness=None), *[*corpus][1:]))
    monkeypatch.setattr(index, "corpus", unseen)
    assert index.differing() == [f"{first.id} has no witness"]


def test_what_is_shipped_is_what_the_tests_run() -> None:
    """All mutants and variants, and nothing else."""
    assert {entry.id for entry in corpus.wrong} == set(MUTANTS)
    assert {entry.id for entry in corpus.right} == set(VARIANTS)
    assert len(corpus) == len(corpus.wrong) + len(corpus.right) == len(corpus.ids)


def test_ids_stay() -> None:
    """Of entries and of classes: others build on them. New ones are added to corpus_ids.py."""
    gone = set(corpus_ids.IDS.split()) - set(corpus.ids)
    assert not gone, f"removed or renamed: {sorted(gone)}"
    assert set(corpus_ids.CLASSES.split()) <= set(classes.CLASSES)
    pinned = len(corpus_ids.IDS.split())
    assert pinned == len(set(corpus_ids.IDS.split())) >= 583


def test_every_wrong_entry_is_described() -> None:
    """With a class that exists, killers that exist, and a witness by one of them."""
    assert classes.unknown({entry.id for entry in corpus.wrong}) == []
    assert {entry.bug_class for entry in corpus.wrong} == set(classes.CLASSES)
    for entry in corpus.wrong:
        assert entry.summary, entry.id
        assert set(entry.killers) <= set(PROPERTIES), entry.id
        assert entry.witness is not None, entry.id
        assert entry.witness.property in PROPERTIES, entry.id
        assert entry.witness.program or not entry.witness.shows, entry.id
        words = f"{entry.witness.what} {entry.witness.got}"
        assert not re.search(r"(?<![\w.])[/\\]\S+\.py:\d", words), f"{entry.id}: a machine's path"
    for entry in corpus.right:
        assert entry.summary, entry.id
        assert (entry.clause, entry.bug_class, entry.killers, entry.witness) == ("", "", (), None)


def test_programs_tell_wrong_from_right() -> None:
    """The witnesses' programs, of a sample, run as the index says: alone they show it, or not.

    Where chance decides, a program shows it at one time and not at another.
    """
    sure = [entry for entry in corpus.wrong if entry.bug_class != "not-deterministic"]
    sample = [entry for entry in sure if entry.clause != "C20"][::32]
    seen = {v.entry.id: v.answer for v in trial(index.seen, sample, seconds=120)}
    for entry in sample:
        assert entry.witness is not None
        if entry.witness.program:
            assert seen[entry.id] == entry.witness, entry.id
    assert sum(entry.witness is not None and entry.witness.shows for entry in sample) > 6


def test_entries_are_subjects() -> None:
    """By their ids they are targets of the suite; an id that is none is refused."""
    subject = load_subject("wavemae.corpus.subjects:mask_inverted")
    assert subject.name == "mask_inverted"
    assert corpus["in_chunks"].load().claims.distributed is False
    with pytest.raises(TargetError, match="has no attribute 'mask_reverted'"):
        load_subject("wavemae.corpus.subjects:mask_reverted")
    with pytest.raises(KeyError, match="mask_reverted"):
        corpus["mask_reverted"]


_LIGHT = """
import sys
from wavemae.corpus import corpus
print(sum(entry.wrong for entry in corpus), "torch" in sys.modules)
"""


def test_the_loop_needs_no_torch() -> None:
    """Torch is imported when functions are asked for."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _LIGHT], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == [str(len(MUTANTS)), "False"], done.stderr


def test_a_process_that_ends_or_hangs_is_a_verdict(tmp_path: Path) -> None:
    """So is one whose globals are changed; the next entry is not touched by it."""
    (tmp_path / "odd.py").write_text(_ODD, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "odd.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == [
        "reduction_by_position True the process ended with 3",
        "sse_default_is_sum True SystemExit: 4",
        "mse_default_is_batch_mean True no end after 2 s",
        "parameters_renamed True ValueError: x",
        "x_before_x_recon False fine",
    ], done.stderr


_ODD = """
import os, sys, time
from wavemae.corpus import corpus
from wavemae.corpus.trial import trial

def checker(entry):
    number = corpus.ids.index(entry.id)
    if number == 0:
        os._exit(3)
    if number == 1:
        sys.exit(4)
    if number == 2:
        time.sleep(60)
    if number == 3:
        raise ValueError("x")
    return "fine"

if __name__ == "__main__":
    for v in trial(checker, [*corpus][:5], seconds=2):
        print(v.entry.id, v.blamed, v.reason or v.answer)
"""


def test_examples_of_the_page_run() -> None:
    """Every `>>>` in docs/corpus.md."""
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted >= 4
    assert found.failed == 0


def test_program_of_the_page_runs(tmp_path: Path) -> None:
    """measure.py, on every fifth entry: it finds some, and blames nobody who is right."""
    (program,) = re.findall(r"```python\n# measure.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "measure.py").write_text(
        program.replace("trial(checker)", "trial(checker, [*corpus][::5])"), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "measure.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    first, *clauses = done.stdout.splitlines()
    words = rf"found [1-9]\d* of {len(MUTANTS)}, false alarms: \[\]"
    assert re.fullmatch(words, first), done.stderr
    assert len(clauses) == 20


def test_command_of_the_page_finds_it(tmp_path: Path) -> None:
    """The target that the page names is blamed by the clause that the page names."""
    (line,) = re.findall(
        r"^python -m wavemae.properties (\S+) --clause (\S+)$", PAGE.read_text(), re.M
    )
    command = [
        "-m",
        "wavemae.properties",
        line[0],
        "--clause",
        line[1],
        "--profile",
        "quick",
        "-n0",
    ]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-I", *command, "--report-json", str(report)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout
    (subject,) = json.loads(report.read_text())["subjects"]
    assert subject["violated"] == [line[1]]
