"""docs/wild.md says what the suite finds in public implementations, and nothing else.

The whole suite, profile quick, fixed seed, on everything in the catalogue. The suite knows none
of them: when a property is added, or a version changes an answer, this says so.
"""

from __future__ import annotations

import doctest
import re
from typing import Any

import pytest

from . import page
from .catalogue import ENTRIES, entries


def states(report: dict[str, Any], name: str) -> dict[str, str]:
    """Property to state, for the implementation that the table calls `name`."""
    (entry,) = (e for e in entries() if e.subject.name == name)
    return {c["property"]: c["state"] for c in page.cells_of(report, entry)}


def test_the_page_is_the_run(report: dict[str, Any], document: str) -> None:
    """Every generated line of docs/wild.md comes out of this run again."""
    assert document == page.filled(document, report, entries())


def test_a_dozen_implementations_were_judged(report: dict[str, Any]) -> None:
    """All could be used, none in error, and each fails and keeps something."""
    assert len(entries()) == len(ENTRIES) >= 12
    assert len({entry.module.PACKAGE for entry in entries()}) >= 8
    for subject in report["subjects"]:
        assert subject["totals"]["error"] == subject["totals"]["XPASS"] == 0
        assert subject["totals"]["pass"] >= 10
        assert subject["totals"]["FAIL"] >= 1


@pytest.mark.parametrize("number", range(len(ENTRIES)), ids=ENTRIES)
def test_what_is_not_asked_has_its_reason(number: int) -> None:
    """A claim is weakened exactly where a reason stands beside it."""
    assert page.undeclared(entries()[number]) == set()


def test_what_design_expects_of_chemomae_is_found(report: dict[str, Any]) -> None:
    """By properties, not by special cases: each clause that was known to be violated is."""
    found = states(report, "chemomae")
    for identifier in (
        "C3-any-mismatch",  # broadcast in silence
        "C3-mask-dtypes",  # integer masks taken as indices
        "C5-half-range",
        "C17-fake",
        "C17-meta",
        "C18-compile",
        "C19-vmap",
    ):
        assert found[identifier] == "FAIL", identifier
    for identifier in ("C12-empty-trains", "C12-excluded-gradient"):
        assert found[identifier] == "xfail", identifier  # its docstring says so


def test_every_finding_has_its_section(document: str) -> None:
    """Each implementation is a heading of the page, with an example below it."""
    sections = re.split(r"^### ", document, flags=re.MULTILINE)[1:]
    titles = {section.partition("\n")[0]: section for section in sections}
    for entry in entries():
        (section,) = (text for title, text in titles.items() if entry.subject.name in title)
        assert ">>> " in section, entry.subject.name


def blocks() -> list[tuple[str, list[doctest.Example]]]:
    """The snippets of the page: the examples between one ```python and its end."""
    found = []
    text = page.DOCUMENT.read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        examples = doctest.DocTestParser().get_examples(block)
        found.append((f"{number}", examples))
    return found


@pytest.mark.parametrize(("number", "examples"), blocks(), ids=lambda value: str(value)[:3])
@pytest.mark.filterwarnings("default")  # what a package warns of is its own affair
def test_snippet_gives_what_stands_below_it(
    number: str, examples: list[doctest.Example], capsys: pytest.CaptureFixture[str]
) -> None:
    """Under ten lines, one package besides torch, and the output is what the page says."""
    entries()  # imports what can be imported without its package's dependencies
    lines = [line for example in examples for line in example.source.splitlines()]
    assert len(lines) < 10
    packages = {name for line in lines for name in re.findall(r"^(?:from|import) (\w+)", line)}
    assert len(packages - {"torch", "numpy"}) <= 1, packages
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    test = doctest.DocTest(examples, {}, f"snippet {number}", str(page.DOCUMENT), 0, None)
    runner.run(test, out=lambda text: None, clear_globs=True)
    assert runner.failures == 0, f"{lines}\n{capsys.readouterr().out}"
