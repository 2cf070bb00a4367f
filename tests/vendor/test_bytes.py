"""A changed byte is noticed, wherever it is; no sequence of commands loses an edit."""

from __future__ import annotations

import ast
import shutil
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wavemae.__main__ import main
from wavemae.vendor import files
from wavemae.vendor.judge import Kind, exact, judge
from wavemae.vendor.releases import installed, releases
from wavemae.vendor.words import sentence

COPY = installed().vendored.encode("utf-8")
BARE = installed().text.encode("utf-8")
OLD = releases()[0].text.encode("utf-8")
TEXTS = {release.text.encode("utf-8") for release in releases()}
PATHS = ("losses.py", "other.py")


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with one of them flipped in some bits, taken out, or put in."""
    position = draw(st.integers(0, len(whole) - 1))
    how = draw(st.sampled_from(["flip", "delete", "insert"]))
    before, byte, after = whole[:position], whole[position], whole[position + 1 :]
    if how == "delete":
        return before + after
    other = draw(st.integers(1, 255))
    if how == "flip":
        return before + bytes([byte ^ other]) + after
    return before + bytes([other, byte]) + after


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(changed(COPY) | changed(BARE))
def test_any_changed_byte_is_noticed(content: bytes) -> None:
    """Flipped, deleted or inserted, anywhere: it is no release, or cannot be read.

    A line that is blank or a comment may come to stand above it, and then that is said.
    """
    assume(content not in (COPY, BARE))  # such as one of two equal bytes, put in beside the other
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.py"
        path.write_bytes(content)
        try:
            found = judge(files.read(path))
        except files.Unusable:
            return
    if found.kind is Kind.RELEASE:
        assert "below comments of your own" in sentence(found)
        assert content in (found.above.encode() + COPY, found.above.encode() + BARE)
        assert found.above.startswith(("#", "\n"))


PIECES = ["#", "ours", " ", "\t", "\n", "\r", "\r\n", "\f", "\v", "\x1a", "\x85", "\u2028", "\\"]
PIECES += ["\ufeff", "x = 1", ";", "'''", "coding: utf-7", "coding=latin-1", "coding: utf-8"]


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), min_size=1, max_size=3),
    st.booleans(),
)
def test_what_may_stand_above_is_nothing_to_python(comments: list[str], bare: bool) -> None:
    """Where it is still a release, Python itself parses the file to the same program."""
    above = "".join(f"#{comment}\n" for comment in comments)
    content = above.encode() + (BARE if bare else COPY)
    found = exact(content.decode())
    if found:
        assert ast.dump(ast.parse(content)) == ast.dump(ast.parse(BARE))


def test_every_flipped_bit_of_the_text_is_noticed() -> None:
    """The lowest bit of each byte in turn, without exception."""
    text = installed().text
    for position, character in enumerate(text):
        flipped = text[:position] + chr(ord(character) ^ 1) + text[position + 1 :]
        assert exact(flipped) is None, position


class Histories(RuleBasedStateMachine):
    """Commands and edits in any order, on two files of one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.edits: set[bytes] = set()  # each must be found somewhere
        self.count = 0

    def teardown(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder)

    def run(self, *arguments: str, name: str) -> int:
        """One command on one of the files."""
        return main(["vendor", *arguments, str(self.folder / name)])

    @rule(name=st.sampled_from(PATHS))
    def add(self, name: str) -> None:
        """It is there afterwards; as it was if it was there before."""
        path = self.folder / name
        before = path.read_bytes() if path.exists() else None
        code = self.run("add", name=name)
        assert path.read_bytes() == (COPY if before is None else before)
        assert code == 0 or before is not None

    @rule(name=st.sampled_from(PATHS), place=st.integers(0, 300), below=st.booleans())
    def edit(self, name: str, place: int, below: bool) -> None:
        """A line that nobody else would write, as code or as a comment, somewhere in the file."""
        path = self.folder / name
        if not path.exists():
            return
        self.count += 1
        edit = f"edit_{self.count} = 0\n".encode() if below else f"# edit {self.count}.\n".encode()
        lines = path.read_bytes().splitlines(keepends=True)
        where = place % (len(lines) + 1)
        path.write_bytes(b"".join([*lines[:where], edit, *lines[where:]]))
        self.edits.add(edit.strip())

    @rule(name=st.sampled_from(PATHS), text=st.sampled_from([COPY, BARE, OLD]), crlf=st.booleans())
    def copy_by_hand(self, name: str, text: bytes, crlf: bool) -> None:
        """A new file, where there is none, of any release and with either line end."""
        path = self.folder / name
        if not path.exists():
            path.write_bytes(text.replace(b"\n", b"\r\n") if crlf else text)

    @rule(name=st.sampled_from(PATHS), aside=st.sampled_from(["", ".orig", ".orig.1"]))
    def rename(self, name: str, aside: str) -> None:
        """Whoever moves a file over another has overwritten that himself: only to a free name."""
        path, target = self.folder / name, self.folder / f"{name}{aside or '.mine'}"
        if path.exists() and not target.exists():
            path.rename(target)

    @rule(name=st.sampled_from(PATHS), force=st.booleans())
    def update(self, name: str, force: bool) -> None:
        """The installed release with exit code 0, or all as it was with another."""
        path = self.folder / name
        before = path.read_bytes() if path.exists() else None
        code = self.run("update", *(["--force"] if force else []), name=name)
        if code == 0:
            assert path.read_bytes().endswith(COPY)
        else:
            assert (path.read_bytes() if path.exists() else None) == before

    @rule(name=st.sampled_from(PATHS), action=st.sampled_from(["check", "diff"]))
    def look(self, name: str, action: str) -> None:
        """Looking changes nothing, and 0 means a release's text below comments at most."""
        path = self.folder / name
        before = path.read_bytes() if path.exists() else None
        code = self.run(action, name=name)
        assert (path.read_bytes() if path.exists() else None) == before
        if before is None:
            assert code == 2
        elif before in {COPY, *TEXTS}:
            assert code == 0
        elif code == 0:
            assert before.endswith(tuple(TEXTS))
            assert b"edit_" not in before

    @invariant()
    def no_edit_is_lost(self) -> None:
        """Each edit stands in some file, and no temporary file is left."""
        names = [path.name for path in self.folder.iterdir()]
        assert [name for name in names if name.endswith(".tmp")] == []
        everything = b"".join(path.read_bytes() + b"\n" for path in self.folder.iterdir())
        assert [edit for edit in self.edits if edit not in everything] == []


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, database=None, derandomize=True
)
