"""What is said of a finding: one sentence, and below it what to do."""

from __future__ import annotations

import shlex
from pathlib import Path

from .judge import Finding, Kind
from .releases import installed, releases

_SAID = {
    Kind.RELEASE: "the text of {}, unchanged",
    Kind.HEADER: "the text of {}, below a header that was edited",
    Kind.LINE_ENDS: "the text of {}, with other line ends",
    Kind.FORMATTED: "the text of {}, reformatted: code, docstrings and comments are the same",
    Kind.DOCUMENTED: "the code of {}, with other docstrings or comments",
    Kind.MODIFIED: "modified, nearest to {}",
    Kind.FOREIGN: "not ours: next to nothing in common with any release",
}


def sentence(found: Finding) -> str:
    """What the file is, in one line."""
    current = installed().version
    if found.kind is Kind.UNKNOWN:
        return f"says it is wavemae {found.claim}, which wavemae {current} does not know"
    names = found.versions or ((found.release.version,) if found.release else ())
    parts = [_SAID[found.kind].format(f"release{'s'[: len(names) - 1]} {' and '.join(names)}")]
    if found.bare and found.kind is Kind.RELEASE:
        parts.append("without a header")
    if found.above:
        parts.append("below comments of your own")
    if found.newer:
        parts.append(f"older than the installed {current}")
    return "; ".join(parts)


def changes(found: Finding) -> list[str]:
    """What the changelog says of each release after the one that the file is, or is nearest to."""
    return [f"{release.version}: {change}" for release in found.newer for change in release.changes]


def advice(found: Finding, path: Path) -> list[str]:
    """What to do about it, a line each."""
    if found.kind is Kind.UNKNOWN:
        known = ", ".join(release.version for release in releases())
        return [
            f"known here: {known}",
            f"to check it: pip install wavemae=={found.claim}",
        ]
    if found.kind is Kind.FOREIGN:
        return [f"whether it keeps the contract: python -m wavemae.properties {_quoted(path)}"]
    if found.kind is Kind.RELEASE:
        return [f"to bring it there: {command('update', path)}"] if found.newer else []
    if found.kind is Kind.LINE_ENDS:
        return [
            f"to mend it: {command('update', path)}",
            f"where git rewrites line ends: put `{path.name} text eol=lf` into .gitattributes",
        ]
    return [
        f"to see all: {command('diff', path)}",
        f"to undo all: {command('update --force', path)}",
    ]


def command(action: str, path: Path) -> str:
    """What to type for that action on that file."""
    return f"wavemae vendor {action} {_quoted(path)}"


def _quoted(path: Path) -> str:
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
