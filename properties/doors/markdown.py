"""A report as Markdown: for a job's summary, or a file in a repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

# Before these a state has a reason that a reader wants to see.
EXPLAINED = ("FAIL", "XPASS", "error", "xfail", "skipped", "not run")
# A name_with_underscores is left as it is, as Markdown does.
_SPECIAL = re.compile(r"[\\`*|~\[\]#!]|\b_|_\b")


def summary(report: dict[str, Any]) -> str:
    """Verdicts, what went wrong and why, what was judged, and the table, as GitHub shows it."""
    settings = ", ".join(f"{name} {report[name]}" for name in ("torch", "device", "profile", "seed"))
    out = [
        f"Conformance to the contract of wavemae {report['suite_version']} ({settings}).",
        "",
        *(f"- {text(subject['verdict'])}" for subject in report["subjects"]),
        "",
    ]
    for subject in report["subjects"]:
        out += _explained(subject)
    out += [*_table(report["subjects"]), ""]
    out += [f"Run on {report['date']}, Python {report['python']}, {report['platform']}.", ""]
    if report["narrowed_by"]:
        out += [f"Only {text(', '.join(report['narrowed_by']))}.", ""]
    for subject in report["subjects"]:
        for source in subject["sources"]:
            name = PurePath(source["file"]).name
            out.append(f"- {text(subject['target'])}: {code(name)}, SHA-256 `{source['sha256']}`")
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


def _explained(subject: dict[str, Any]) -> Iterable[str]:
    """Each property that did not simply pass, with its reason; a program where there is one."""
    cells = [cell for cell in subject["cells"] if cell["state"] in EXPLAINED]
    if cells:
        yield from (f"### {text(subject['target'])}", "")
    seen = set()
    for cell in cells:
        key = (cell["state"], cell["reason"])
        if cell["state"] == "not run" and key in seen:
            continue  # once is enough
        seen.add(key)
        yield f"- {cell['state']} `{cell['property']}`: {text(cell['reason'])}"
        yield from (f"  {line}".rstrip() for line in _found(cell["counterexample"]))
    if cells:
        yield ""
    also = [f"`{cell['property']}`" for cell in subject["cells"] if cell["state"] == "also"]
    if also:
        yield from (f"Seen in {', '.join(also)} too.", "")


def _found(example: dict[str, Any] | None) -> Iterable[str]:
    if example is None:
        return
    got, wanted, bound = (code(example[name]) for name in ("got", "wanted", "bound"))
    yield f"got {got}, wanted {wanted}, allowed {bound}"
    yield ""
    if example["script"]:
        yield from ("<details><summary>A program that shows it</summary>", "")
        yield from (*block(example["script"]), "", "</details>", "")
    yield f"again: {code(example['again'])}"


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


def by_clause(identifier: str) -> tuple[int, str]:
    """What a property is sorted by: its clause's number, then its name."""
    return int(identifier.partition("-")[0][1:]), identifier


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
