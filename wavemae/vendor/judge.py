"""What a file is, compared with every release: one of them, an edited one, or none of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from .difference import Difference, NotPython, difference, shares_code, taken
from .releases import LICENCE, MARKER, Release, releases

_CLAIM = re.compile(r"^[ \t]*#.*?\bvendored from wavemae (\d[\w.+!-]*\w)", re.MULTILINE)
_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # as PEP 263 has it
_LICENCE = re.compile(r"^[ \t]*#.*SPDX-License-Identifier:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
# Python ends a line at a CR too: code can stand behind one that looks like a part of a comment.
_COMMENTS = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?\n)*")
_OURS = 0.5  # of a release's lines, for a text without a header and without a function of ours


class Kind(Enum):
    """What a file can be; the value is how it is said."""

    RELEASE = "the text of a release"
    HEADER = "a release below an edited header"
    LINE_ENDS = "a release with other line ends"
    FORMATTED = "a release, reformatted"
    DOCUMENTED = "the code of a release, with other docstrings or comments"
    MODIFIED = "modified"
    UNKNOWN = "of a release that is not known here"
    FOREIGN = "not ours"


@dataclass
class Finding:
    """What a file is.

    Attributes:
        kind: what it is.
        release: the release that it is, or is nearest to; None if it is not ours.
        versions: all releases whose text it has; empty unless it has the text of one.
        above: comment lines of its owner's that stand above header and text; they are allowed.
        bare: whether it has no header.
        claim: the version that its header names.
        notes: what else there is to say, a line each.
    """

    kind: Kind
    release: Release | None
    versions: tuple[str, ...] = ()
    above: str = ""
    bare: bool = False
    claim: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def unmodified(self) -> bool:
        """Whether nothing is lost when it is replaced: a release, line ends aside."""
        return self.kind in (Kind.RELEASE, Kind.LINE_ENDS)

    @property
    def newer(self) -> tuple[Release, ...]:
        """Releases after the one it is, or is nearest to, whose text is another."""
        if self.release is None:
            return ()
        known = releases()
        later = known[known.index(self.release) + 1 :]
        return later if later and later[-1].text != self.release.text else ()


def judge(text: str) -> Finding:
    """Say what a text is. What its header says of itself is compared, not believed."""
    found = exact(text)
    if found:
        return found
    plain = (
        text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
    )
    found = exact(plain)
    if found:
        found.kind = Kind.LINE_ENDS
        found.notes = _line_ends(text)
        return found
    comments, body = _split(plain)
    claimed = _CLAIM.search(comments)
    claim = claimed.group(1) if claimed else None
    found = _whole(plain) or _nearest(plain, body, claim)
    found.claim, found.bare = claim, not claim and MARKER not in comments
    if claim and claim not in {release.version for release in releases()}:
        found.kind = Kind.UNKNOWN
    return found


def exact(text: str) -> Finding | None:
    """The release that the text is, byte for byte, whether or not with its header."""
    for release in reversed(releases()):
        for whole in dict.fromkeys((release.vendored, release.text)):
            above = text.removesuffix(whole)
            versions = _versions(release)
            if text.endswith(whole) and _only_comments(above) and not _untrue(above, versions):
                bare = whole == release.text
                return Finding(Kind.RELEASE, release, versions, above, bare)
    return None


def _only_comments(above: str) -> bool:
    """Whether the lines are comments of the owner's own: no code, nothing of our header."""
    if not above:
        return True
    ours = {line for release in releases() for line in release.header.splitlines()}
    ours = {line for line in ours if not _LICENCE.match(line)}  # anyone may say that
    lines = above.split("\n")
    coding = [found for line in lines[:2] if (found := _CODING.match(line))]
    return (
        _COMMENTS.fullmatch(above) is not None
        and not any(line in ours or line.startswith(MARKER) for line in lines)
        and all(found.group(1).lower() in ("utf-8", "utf8") for found in coding)
    )


def _untrue(comments: str, versions: tuple[str, ...]) -> list[str]:
    """What comments above a release's text say of it that is not so, a line each."""
    claims = dict.fromkeys(_CLAIM.findall(comments))
    licences = dict.fromkeys(_LICENCE.findall(comments))
    return [
        *(
            f"the header says {claim}; the text is that of {' and '.join(versions)}"
            for claim in claims
            if claim not in versions
        ),
        *(
            f"the header says that the licence is {licence}; it is {LICENCE}"
            for licence in licences
            if licence != LICENCE
        ),
    ]


def _versions(release: Release) -> tuple[str, ...]:
    """All releases with that text."""
    return tuple(other.version for other in releases() if other.text == release.text)


def _split(text: str) -> tuple[str, str]:
    """The comments at the head of the text, to the end of a header if it has one, and the rest."""
    comments = _COMMENTS.match(text)
    end = comments.end() if comments else 0
    marker = re.search(rf"^{MARKER}[^\n]*\n", text[:end], re.MULTILINE)
    end = marker.end() if marker else end
    return text[:end], text[end:]


def _whole(text: str) -> Finding | None:
    """A release that stands unchanged in the text, with more around it than its header."""
    for release in reversed(releases()):
        above, unchanged, below = text.partition(release.text)
        if not unchanged or (above and not above.endswith("\n")):
            continue
        versions = _versions(release)
        if below or not _COMMENTS.fullmatch(above):
            first, count = above.count("\n") + 1, release.text.count("\n")
            found = Finding(Kind.MODIFIED, release)
            found.notes = [
                f"the whole text of release {release.version} stands in it, unchanged, in lines "
                f"{first} to {first + count - 1}, with other code around it"
            ]
            return found
        return Finding(Kind.HEADER, release, versions, notes=_untrue(above, versions))
    return None


def _nearest(text: str, body: str, claim: str | None) -> Finding:
    """The release from which the text was made, if it was, and what was done to it."""
    texts = {release.text: release for release in releases()}  # of equal texts the newest
    shares = {release: _share(release.text, text) for release in reversed(texts.values())}
    nearest = max(shares, key=lambda release: (claim in _versions(release), shares[release]))
    ours = claim is not None or shares[nearest] >= _OURS
    try:
        differences = {release: difference(release.text, body) for release in shares}
        ours = ours or any(shares_code(release.text, body) for release in shares)
        notes = differences[nearest].lines()
    except NotPython as error:
        differences = {}
        notes = [f"not valid Python: {error}"]
    for kind, fits in _SAME.items():
        for release, found in differences.items():
            if fits(found):
                return Finding(kind, release, notes=found.lines())
    if ours:
        return Finding(Kind.MODIFIED, nearest, notes=notes)
    modules = taken(nearest.text, body) if differences else {}
    return Finding(
        Kind.FOREIGN,
        None,
        notes=[
            f"it imports {' and '.join(names)} from {module}: the file of that is to be checked"
            for module, names in modules.items()
        ],
    )


_SAME: dict[Kind, Callable[[Difference], bool]] = {
    Kind.FORMATTED: lambda found: found.same_code and found.same_words,
    Kind.DOCUMENTED: lambda found: found.same_code,
}


def _share(release: str, text: str) -> float:
    """How many of the release's lines, blank ones aside, stand in the text."""
    lines = {line.strip() for line in release.splitlines()} - {""}
    return len(lines & {line.strip() for line in text.splitlines()}) / len(lines)


def _line_ends(text: str) -> list[str]:
    """How the ends of the lines, and of the file, differ from those of a release."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    told = {
        "it begins with a byte order mark": text.startswith("\ufeff"),
        "its lines end with CR LF": "\r\n" in text,
        "some of its lines end with CR": "\r" in text.replace("\r\n", ""),
        "its last line has no end": not lines.endswith("\n"),
        "blank lines stand at its end": lines.endswith("\n\n"),
    }
    return [words for words, so in told.items() if so]
