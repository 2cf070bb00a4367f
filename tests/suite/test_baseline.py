"""Baselines: what newly fails, what is fixed, what is as it was, and what else differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wavemae.properties.__main__ import main as verify
from wavemae.properties.doors import baseline

from wavemae.__main__ import main

WRONG = """
from wavemae.models import losses
def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return losses.masked_mse(x_recon, x, mask, reduction=reduction) + ({})
"""


def report(target: str = "a.py", /, states: dict[str, str] | None = None, **said: Any) -> Any:
    """A report with these states by property, as JSON has it."""
    cells = [
        {"property": name, "clause": name.partition("-")[0], "state": state, "reason": "wrong"}
        for name, state in (states or {}).items()
    ]
    subject = {"target": target, "unusable": None, "cells": cells}
    settings = {"suite_version": "1", "torch": "2", "profile": "quick", "seed": 0, "device": "cpu"}
    return {"schema_version": 1, **settings, "subjects": [subject], **said}


def kinds(old: str, new: str) -> list[str]:
    """In which lists a property is that went from one state to another."""
    before, now = ({"C4-oracle": s} if s else {} for s in (old, new))
    (found,) = baseline.compare(report("a", before), report("a", now)).targets
    return [kind for kind, names in vars(found).items() if kind != "target" and names]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("pass", "FAIL", ["newly"]),
        ("", "FAIL", ["newly"]),
        ("not claimed", "FAIL", ["newly"]),
        ("xfail", "FAIL", ["newly"]),
        ("pass", "also", ["newly"]),
        ("xfail", "XPASS", ["newly"]),
        ("FAIL", "FAIL", ["unchanged"]),
        ("also", "FAIL", ["unchanged"]),
        ("FAIL", "pass", ["fixed"]),
        ("FAIL", "xfail", ["fixed"]),
        ("FAIL", "not claimed", ["unasked"]),
        ("FAIL", "", ["unasked"]),
        ("FAIL", "error", ["unjudged"]),
        ("pass", "not run", ["unjudged"]),
        ("not run", "not run", []),
        ("pass", "pass", []),
        ("pass", "skipped", []),
    ],
)
def test_every_change_of_state(old: str, new: str, kind: list[str]) -> None:
    """What fails and did not, even where it was not asked, is new; what is not judged says so."""
    assert kinds(old, new) == kind


def test_exit_codes_of_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where nothing newly fails, 1 where something does, 2 where it cannot be told."""
    files = {}
    for name, state in {"good": "pass", "bad": "FAIL", "broken": "error"}.items():
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(json.dumps(report("a.py", {"C4-oracle": state})))
    for old, new, code in (
        ("good", "bad", 1),
        ("bad", "good", 0),
        ("bad", "bad", 0),
        ("good", "broken", 2),
    ):
        assert main(["compare", str(files[old]), str(files[new])]) == code
    assert capsys.readouterr().out.splitlines()[:2] == [
        "newly    a.py FAIL, wrong: C4-oracle",
        "compared a.py: 1 newly failing, 0 fixed, 0 failing as before",
    ]


def test_what_else_differs_is_said() -> None:
    """Another suite, torch, profile or seed; fewer properties; another name of the one target."""
    old = report(
        "a.py", {"C4-oracle": "FAIL"}, suite_version="0", torch="1", profile="deep", seed=3
    )
    new = report("b.py", {"C4-oracle": "FAIL"}, narrowed_by=["--clause C4"])
    lines = list(baseline.compare(old, new).lines())
    assert [line for line in lines if line.startswith("note")] == [
        "note     wavemae 0 before, 1 now",
        "note     profile deep before, quick now",
        "note     seed 3 before, 0 now",
        "note     torch 1 before, 2 now",
        "note     now only --clause C4",
        "note     a.py before, b.py now",
    ]
    assert lines[-1] == "compared b.py: 0 newly failing, 0 fixed, 1 failing as before"


def test_what_has_one_cause_is_one_row() -> None:
    """Seventy properties: a row for the cause, what may go with it, and each clause and state."""
    names = [f"C4-a{n}" for n in range(40)] + [f"C12-b{n}" for n in range(27)]
    states = dict.fromkeys(names, "FAIL") | {"C16-x": "FAIL", "C16-y": "FAIL", "C18-z": "also"}
    new = report("a.py", states)
    (subject,) = new["subjects"]
    cause = {"severity": "crash", "what": "no", "properties": names[:40], "following": names[40:]}
    subject["causes"] = [cause]
    found = baseline.compare(report("a.py", dict.fromkeys(states, "pass") | {"C1-f": "FAIL"}), new)
    rows = {(row.word, row.said): row.properties for row in found.rows()}
    assert rows == {
        ("newly", "crash, no"): names[:40],
        ("newly", "crash, no; may go with it"): names[40:],
        ("newly", "FAIL, wrong"): ["C16-x", "C16-y"],
        ("newly", "also, wrong"): ["C18-z"],
        ("unasked", ""): ["C1-f"],
    }
    whole, cut = [*found.lines()], [*found.lines(3)]
    assert all(any(name in line for line in whole) for name in names)
    assert len(cut) == 3 + 3 + 1 + 1 + 1 + 1
    assert whole[0].startswith("newly    a.py crash, no: C4-a0, C4-a1, ")
    assert cut[2].endswith(" ... (-v has all)")
    assert max(map(len, whole)) <= 100


def test_what_can_be_judged_no_longer_is_one_row() -> None:
    """As where a run ended early."""
    names = [f"C4-a{n}" for n in range(3)]
    old, new = (report("a.py", dict.fromkeys(names, state)) for state in ("pass", "not run"))
    assert next(iter(baseline.compare(old, new).lines())) == (
        "unjudged a.py not run, and was judged before: C4-a0, C4-a1, C4-a2"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is no JSON"),
        ("[]", "is no report of this suite"),
        ('{"schema_version": 99, "subjects": [], "suite_version": "9"}', "written by wavemae 9"),
    ],
)
def test_no_report_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    """One line that says what is wrong with which file, from `compare` and from `verify`."""
    file = tmp_path / "old.json"
    if text is not None:
        file.write_text(text)
    assert main(["compare", str(file), str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wavemae compare: ")
    assert (words in error, error.count("\n")) == (True, 1)
    assert verify(["--baseline", str(file)]) == 2
    assert (words if text else "--write-baseline makes it") in capsys.readouterr().err


def test_a_baseline_is_made_kept_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Today's failures pass; a new one does not, and is the only one told; a fixed one is said."""
    monkeypatch.chdir(tmp_path)
    options = ["--profile", "quick", "-n", "0", "-k", "C4-oracle or C7-empty"]
    baseline = ["--baseline", "base.json"]
    guarded = ["was.py", *options, *baseline]
    Path("was.py").write_text(WRONG.format("0 if mask.any() else 1"))
    assert verify(["was.py", *options]) == 1
    assert verify(guarded) == 2  # there is none yet
    assert verify([*guarded, "--write-baseline"]) == 0
    capfd.readouterr()
    assert verify(guarded) == 0
    output = capfd.readouterr().out
    assert "C7-empty" in output.partition("still")[2]
    assert "cause 1" not in output
    guarded[0] = "is.py"  # this process has imported the other one
    Path("is.py").write_text(WRONG.format("1 if mask.any() else 0"))
    assert verify([*guarded, "--report-md", "a.md", "--report-html", "a.html"]) == 1
    output = capfd.readouterr().out
    assert "note     was.py before, is.py now" in output
    assert "newly    is.py wrong value or gradient, the value is wrong: C4-oracle" in output
    assert output.index("\nnewly ") < output.index("\ncompared ") < output.index("\nverdict ")
    assert "fixed    is.py C7-empty" in output
    assert output.count("cause 1 of 1") == 1
    text = Path("a.md").read_text()
    assert "\n- is.py: 1 newly failing, 1 fixed, 0 failing as before\n- **newly** is.py " in text
    assert text.index("- **fixed** is.py: `C7-empty`\n") < text.index("- FAIL `C4-oracle`")
    page = Path("a.html").read_text()
    assert page.index("<strong>newly</strong>") < page.index('<section aria-label="is.py">')
    assert "<li><strong>fixed</strong> is.py: <code>C7-empty</code></li>" in page
    assert verify([*guarded, "--write-baseline"]) == 0
    assert verify(guarded) == 0
