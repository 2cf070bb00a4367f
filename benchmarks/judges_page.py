"""From verdicts to docs/judges.md and its picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from wavemae.properties import clauses

from wavemae.corpus import Corpus, Entry

from .judges_checks import CHECKS

mpl.rcParams.update({"svg.hashsalt": "wavemae", "svg.fonttype": "none"})

ALL = "all of these"
_GREW = """\
Read the suite's rows for what they are. Wrong losses and properties grew up together: one that no
property found has led to a new property, so that the suite finds them by construction, and a
figure below all would be a defect. What the rows above them show is how much of what can go wrong
passes tests that one would be content with. How the suite does on code that it had never seen is in
[wild.md](wild.md)."""
SUITE = {"quick": "suite, quick", "default": "suite, default"}


@dataclass(frozen=True)
class Judge:
    """A check and what it did.

    Attributes:
        name: as the tables show it.
        given: the wrong entries that it was run on: all, if the run was not ended early.
        found: those of them that it finds.
        asked: how many right ones it was run on.
        blamed: those of them that it blames, and why.
        seconds: on the definition.
    """

    name: str
    given: frozenset[str]
    found: frozenset[str]
    asked: int
    blamed: dict[str, str]
    seconds: float

    @property
    def rate(self) -> float:
        """The share of those it was run on that it finds."""
        return len(self.found) / max(len(self.given), 1)

    @property
    def words(self) -> str:
        """How many it finds of how many."""
        return f"{len(self.found)} of {len(self.given)}"

    def share(self, group: frozenset[str]) -> str:
        """How many of these it finds, and of how many where it was not run on all of them."""
        found, given = len(group & self.found), len(group & self.given)
        return str(found) if given == len(group) else f"{found} of {given}"


def judges(run: dict[str, Any], entries: Corpus) -> list[Judge]:
    """The usual checks, all of them together, and the suite, in this order; those that were run."""
    one = {name: _judge(name, check, entries) for name, check in run["checks"].items()}
    usual = [one[name] for name in CHECKS]
    given = usual[0].given.intersection(*(judge.given for judge in usual))
    together = Judge(
        ALL,
        given,
        given & usual[0].found.union(*(judge.found for judge in usual)),
        min(judge.asked for judge in usual),
        {name: why for judge in usual for name, why in judge.blamed.items()},
        sum(judge.seconds for judge in usual),
    )
    return [*usual, together, *(one[profile] for profile in SUITE if one[profile].given)]


def _judge(name: str, check: dict[str, Any], entries: Corpus) -> Judge:
    verdicts = check["entries"]
    wrong = {entry.id for entry in entries.wrong}
    known = {"fused", *(entry.id for entry in entries.right)}
    right = {i: verdict for i, verdict in verdicts.items() if i in known}
    blamed = {i: verdict["reason"] for i, verdict in right.items() if verdict["blamed"]}
    given = frozenset(wrong & set(verdicts))
    found = frozenset(i for i in given if verdicts[i]["blamed"])
    return Judge(SUITE.get(name, name), given, found, len(right), blamed, check["seconds"])


def by_clause(entries: Iterable[Entry]) -> dict[str, frozenset[str]]:
    """The wrong entries of each clause."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        found.setdefault(entry.clause, set()).add(entry.id)
    return {clause: frozenset(found[clause]) for clause in sorted(found, key=_number)}


def _subjects() -> dict[str, str]:
    """What each clause is about, in the words of its file."""
    names = sorted(file.stem for file in Path(clauses.__file__).parent.glob("c[0-9]*.py"))
    return {f"C{int(name[1:3])}": name[4:].replace("_", " ") for name in names}


def _number(clause: str) -> int:
    return int(clause.removeprefix("C"))


def summary(run: dict[str, Any], entries: Corpus) -> str:
    """Each judge in one line."""
    return _table(
        ["check", "wrong losses found", "right losses blamed", "seconds"],
        (
            [
                judge.name,
                judge.words,
                f"{len(judge.blamed)} of {judge.asked}",
                _seconds(judge.seconds),
            ]
            for judge in judges(run, entries)
        ),
    )


def _seconds(seconds: float) -> str:
    """Two digits; the clock that is read knows hundredths."""
    if seconds < 0.01:
        return "< 0.01"
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    cells = [list(head)]
    cells += [["---"] * len(cells[0]), *(list(line) for line in lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def write(run: dict[str, Any], entries: Corpus, folder: Path) -> None:
    """The page and its picture."""
    (folder / "judges.md").write_text(page(run, entries), encoding="utf-8")
    picture(run, entries).savefig(folder / "judges.svg", metadata={"Date": None})


def page(run: dict[str, Any], entries: Corpus) -> str:
    """docs/judges.md."""
    found = judges(run, entries)
    return "\n".join(
        (
            _head(run, entries, found),
            summary(run, entries),
            "## By clause\n\nFound, of the wrong losses that break the clause.\n",
            _shares(found, by_clause(entries.wrong)),
            "## By bug class\n\nThe classes are those of the corpus: [corpus.md](corpus.md).\n",
            _shares(
                [j for j in found if j.name == ALL or j.name in SUITE.values()], _classes(entries)
            ),
            _blamed(found),
            _missed(found, entries),
            _method(run),
        )
    )


def _head(run: dict[str, Any], entries: Corpus, found: list[Judge]) -> str:
    one = {judge.name: judge for judge in found}
    wrong = len(entries.wrong)
    best = max((one[name] for name in CHECKS), key=lambda judge: judge.rate)
    together, plain, steep = one[ALL], one["assert_close"], one["with gradients"]
    said = [
        f"`assert_close` on a random batch finds {plain.words} wrong losses; with "
        f"gradients, {steep.words}.",
        f"The best of the usual checks, {best.name}, finds {best.words}. All of them "
        f"together find {together.words}: {len(together.given - together.found)} wrong losses "
        "pass everything.",
        f"Of right losses the usual checks blame {len(together.blamed)} of {together.asked}.",
    ]
    for judge in found[len(CHECKS) + 1 :]:
        said.append(
            f"The {judge.name.replace('suite, ', '')} profile of the suite finds "
            f"{judge.words}, and blames {len(judge.blamed)} of {judge.asked} right "
            "losses."
        )
    if len(together.given) < wrong:
        said.append(
            f"This run was ended early: the checks together were asked of {len(together.given)} of "
            "the wrong losses, spread evenly, and figures below say of how many."
        )
    lines = "\n".join(textwrap.fill(f"- {text}", 100, subsequent_indent="  ") for text in said)
    rows_of_the_suite = "The suite was not run yet." if len(found) == len(CHECKS) + 1 else _GREW
    return f"""# What the usual tests miss

Why a property suite, and not four lines of `assert_close`? Here the checks that such a loss usually
gets, and the suite, are put before the {wrong} wrong losses of this repository, each with one
mistake, and before {together.asked} right ones, which nobody should blame.

{lines}

{rows_of_the_suite}

![Share of the wrong losses of each clause that each check finds](judges.svg)

Written by `python -m benchmarks.judges --write` and not edited; torch {run["machine"]["torch"]},
Python {run["machine"]["python"]}, {run["machine"]["system"]}.
"""


def _classes(entries: Corpus) -> dict[str, frozenset[str]]:
    names = sorted({entry.bug_class for entry in entries.wrong})
    return {
        name: frozenset(entry.id for entry in entries.wrong if entry.bug_class == name)
        for name in names
    }


def _shares(found: list[Judge], groups: dict[str, frozenset[str]]) -> str:
    return _table(
        ["", "wrong", *(judge.name for judge in found)],
        (
            [name, str(len(own)), *(judge.share(own) for judge in found)]
            for name, own in groups.items()
        ),
    )


def _blamed(found: list[Judge]) -> str:
    lines = [
        f"- {judge.name} blames `{name}`: {why or 'without a word'}"
        for judge in found
        if judge.name != ALL
        for name, why in judge.blamed.items()
    ]
    return "\n".join(["## Right losses that are blamed\n", *(lines or ["None."]), ""])


def _missed(found: list[Judge], entries: Corpus) -> str:
    lines = []
    for judge in found:
        missed = [e.id for e in entries.wrong if e.id in judge.given - judge.found]
        if judge.name in SUITE.values():
            lines.append(f"- {judge.name}: {', '.join(f'`{i}`' for i in missed) or 'none'}.")
    return "\n".join(["## Wrong losses that the suite misses\n", *lines, ""])


def _method(run: dict[str, Any]) -> str:
    checks = _table(
        ["check", "what it asks", "from"],
        ([check.name, check.asks, check.source] for check in CHECKS.values()),
    )
    return f"""## The checks

Each is written in `benchmarks/judges_checks.py` as its users write it; the reference is the one
that one writes in a minute. Each passes the definition and finds its textbook mutant
(`tests/suite/test_judges.py`).

{checks}
All reductions of both functions are asked, and the defaults, also where the source has one only.

## How it is measured

- A check runs on a loss in a process of its own, on one thread. It has found the loss if it
  raises, or if the loss ends the process or keeps it for a minute; for a profile of the suite, five
  and ten minutes.
- A wrong loss is found by the suite when any property fails. Its killers are asked first and the
  first finding ends it, which saves hours and changes no figure here. On right losses every
  property is run, in the default profile on every twelfth of them, since one takes minutes
  (`tox run -e soundness` runs all of them under ten seeds, in the quick profile).
- Seconds are of processor time, on the definition, which passes: the median of five processes,
  without the start of Python and the import of torch; of the suite one process with all properties,
  one after another, and what it starts. The command spreads them over the cores
  ([benchmarks.md](benchmarks.md)).
- Wrong losses are the `wrong` entries of `wavemae.corpus`, from `tests/mutants`; right ones are its
  `right` entries, from `tests/variants`, and `wavemae.fused`.
- The figures but for the seconds come out the same in every run on one machine.
"""


def picture(run: dict[str, Any], entries: Corpus) -> Figure:
    """Share found, each judge a row and each clause a column."""
    found = judges(run, entries)
    groups = by_clause(entries.wrong)
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panel = figure.subplots()
    shares = [
        [len(own & judge.found) / max(len(own & judge.given), 1) for own in groups.values()]
        for judge in found
    ]
    panel.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for row, judge in enumerate(found):
        for column, own in enumerate(groups.values()):
            color = "white" if shares[row][column] > 0.45 else "0.25"
            place, count = (column + 0.5, row + 0.5), str(len(own & judge.found))
            panel.annotate(count, place, ha="center", va="center", color=color, fontsize=7)
        words = f"{judge.words}, {_seconds(judge.seconds)} s"
        weight = "bold" if judge.name in SUITE.values() else "normal"
        panel.annotate(
            words, (len(groups) + 0.2, row + 0.5), va="center", weight=weight, annotation_clip=False
        )
    heads = [f"{clause} {subject}" for clause, subject in _subjects().items() if clause in groups]
    places = [n + 0.5 for n in range(len(heads))]
    panel.set_xticks(places, heads, fontsize=8, rotation=45, ha="left")
    panel.set_yticks([n + 0.5 for n in range(len(found))], [judge.name for judge in found])
    panel.invert_yaxis()
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_xlim(0, len(groups) + 3.6)
    panel.set_title("Wrong losses found, by the clause that they break", fontsize=11)
    return figure
