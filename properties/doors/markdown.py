"""A report as Markdown: for a job's summary, or a file in a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from .escapes import printable
from .grouped import by_clause, told

# A name_with_underscores is left as it is, as Markdown does.
_SPECIAL = re.compile(r"[\\`*|~\[\]#!]|\b_|_\b")


def summary(report: dict[str, Any], compared: dict[str, Any] | None = None) -> str:
    """Verdicts, what went wrong and why, what was judged, and the table, as GitHub shows it.

    `compared` is `Comparison.as_json`, where there is a baseline.
    """
    report, compared = printable(report), printable(compared)
    settings = ", ".join(
        f"{name} {report[name]}" for name in ("torch", "device", "profile", "seed")
    )
    out = [
        f"Conformance to the contract of wavemae {report['suite_version']} ({settings}).",
        "",
        *(f"- {text(subject['verdict'])}" for subject in report["subjects"]),
        "",
        *(_compared(compared) if compared is not None else ()),
    ]
    for subject in report["subjects"]:
        out += _explained(subject)
    out += [*_table(report["subjects"]), ""]
    ended = f"; ended by {report['interrupted_by']}" if report["interrupted_by"] else ""
    out += [f"Run on {report['date']}, Python {report['python']}, {report['platform']}{ended}.", ""]
    if report["narrowed_by"]:
        out += [f"Only {text(', '.join(report['narrowed_by']))}.", ""]
    for subject in report["subjects"]:
        for source in subject["sources"]:
            file = code(source["file"])
            out.append(f"- {text(subject['target'])}: {file}, SHA-256 `{source['sha256']}`")
    return "\n".join([*out, ""])


def text(words: str) -> str:
    """Words as they are to be read, in one line: nothing in them is markup."""
    line = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\g<0>", line)


def code(words: str) -> str:
    """Words as code, in one line, whatever backticks they hold."""
    line = " ".join(words.split())
    fence = _fence(line, 1)
    pad = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else ""


def block(program: str) -> list[str]:
    """Lines of a block of Python."""
    fence = _fence(program, 3)
    return [f"{fence}python", *program.splitlines(), fence]


def _fence(words: str, least: int) -> str:
    runs = [len(run) for run in re.findall("`+", words)]
    return "`" * max([least, *(run + 1 for run in runs)])


def _compared(compared: dict[str, Any]) -> Iterable[str]:
    """What differs from the baseline."""
    yield from ("### Compared with the baseline", "")
    yield from (f"- {text(counted)}" for counted in compared["counts"])
    for row in compared["rows"]:
        names = ", ".join(f"`{name}`" for name in row["properties"])
        said = " ".join(filter(None, (row["target"], row["said"])))
        yield f"- **{row['word']}** {text(said)}: {names}"
    yield ""


def _explained(subject: dict[str, Any]) -> Iterable[str]:
    """Each property that did not simply pass, by cause, the first of a cause with a program."""
    groups = list(told(subject))
    if groups:
        yield from (f"### {text(subject['target'])}", "")
    for group in groups:
        yield from (f"**{group.kind}**: {text(group.says)}", "")
        yield from _listed(group.cells)
        if group.following:
            yield from ("", "May go with it:", "", *_listed(group.following))
        yield ""
        yield from _found(group.cells[0])


def _listed(cells: list[dict[str, Any]]) -> Iterable[str]:
    """A line for each reason, with the properties that gave it."""
    for (state, reason), alike in groupby(cells, lambda cell: (cell["state"], cell["reason"])):
        names = ", ".join(f"`{cell['property']}`" for cell in alike)
        yield f"- {state} {names}: {text(reason)}"


def _found(cell: dict[str, Any]) -> Iterable[str]:
    """What came and what was wanted, a program, and the command that runs it again."""
    example = cell["counterexample"]
    if example is None:
        return
    got, wanted, bound = (code(example[name]) for name in ("got", "wanted", "bound"))
    yield f"`{cell['property']}` got {got}, wanted {wanted}, allowed {bound}."
    yield ""
    if example["script"]:
        yield from ("<details><summary>A program that shows it</summary>", "")
        yield from (*block(example["script"]), "", "</details>", "")
    yield from (f"Again: {code(example['again'])}", "")


def _table(subjects: list[dict[str, Any]]) -> Iterable[str]:
    states: dict[str, list[str]] = {}
    for number, subject in enumerate(subjects):
        for cell in subject["cells"]:
            row = states.setdefault(cell["property"], [""] * len(subjects))
            row[number] = cell["state"]
    yield _row(["property", *(text(subject["target"]) for subject in subjects)])
    yield _row(["---"] * (len(subjects) + 1))
    for identifier in sorted(states, key=by_clause):
        yield _row([f"`{identifier}`", *states[identifier]])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
