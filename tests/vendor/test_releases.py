"""The list of releases is complete, closed ones stay, and the same tree gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wavemae
from wavemae.vendor.releases import MARKER, installed, releases, sha256

ROOT = Path(__file__).parents[2]
TEXTS = "wavemae/vendor/texts"
# Of what is published, by hand: the list in the package cannot vouch for itself.
PUBLISHED = {"0.1.0": "c1b287ea521941e44056fde2991f45d5a20ee6322eb24d3d207cb82878866fd3"}


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """release/record.py, as its neighbours import it."""
    monkeypatch.syspath_prepend(str(ROOT / "release"))
    for name in ("record", "make"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import record

    return record


RECORD = f"wavemae-{wavemae.__version__}.dist-info/RECORD"
DOCUMENTS = ("CHANGELOG.md", "docs/ci.md")
CHANGELOG = """# Changelog

## [0.2.0] - unreleased

### Definition

- SHA-256 of `losses.py`: `0`; with the header of `wavemae vendor add`: `0`.

## [0.1.0] - 2026-01-01
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project: 0.1.0 is closed, 0.2.0 is being made and has the same text so far."""
    first = {"version": "0.1.0", "sha256": sha256("one\n"), "text": "0.1.0.py.txt", "header": None}
    texts = {
        "CHANGELOG.md": CHANGELOG,
        "LICENSE": "Copyright (c) 2026 somebody\n",
        "docs/ci.md": f"expected={'0' * 64}  # wavemae 0.1.0\n",
        "wavemae/__init__.py": '__version__ = "0.2.0"\n',
        "wavemae/models/losses.py": "one\n",
        f"{TEXTS}/0.1.0.py.txt": "one\n",
        f"{TEXTS}/index.json": json.dumps({"releases": [{**first, "changes": []}]}),
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("utf-8"))
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    """Replace the only such text in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_bytes(text.replace(old, new).encode("utf-8"))


def index(tree: Path) -> list[dict[str, Any]]:
    """The entries of the list of releases."""
    found: list[dict[str, Any]] = json.loads((tree / TEXTS / "index.json").read_bytes())["releases"]
    return found


def names(tree: Path) -> set[str]:
    """What lies in the folder of the texts, the list itself aside."""
    return {file.name for file in (tree / TEXTS).iterdir()} - {"index.json"}


def test_current_text_is_that_of_its_version() -> None:
    """Whoever changes losses.py records it, and raises the version if that release is closed."""
    text = (ROOT / "wavemae/models/losses.py").read_bytes().decode("utf-8")
    assert installed().version == wavemae.__version__
    assert text == installed().text, "run `python release/record.py`"


def test_nothing_is_left_to_record(record: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """List, headers, changelog and docs/ci.md agree with losses.py and its version."""
    assert (record.main(["--check"]), capsys.readouterr().out) == (0, "")


def test_published_texts_stay() -> None:
    """A release with a date has the hash that is written down here; a new one is to be added."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.findall(r"^## \[(.+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    hashes = {release.version: sha256(release.text) for release in releases()}
    assert {version: hashes[version] for version in PUBLISHED} == PUBLISHED
    assert set(dated) <= PUBLISHED.keys() | {wavemae.__version__}


def test_every_release_of_the_changelog_is_listed() -> None:
    """In its order, with its hash, and with the changes of its section Definition."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    told = re.findall(
        r"^## \[(.+?)\] - .*?^### Definition$.*?`losses\.py`: `(.*?)`",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    assert told[::-1] == [(release.version, sha256(release.text)) for release in releases()]
    for before, after in zip(releases(), releases()[1:], strict=False):
        assert before.text == after.text or after.changes
        for change in after.changes:
            assert change in " ".join(changelog.split())


def test_header_has_what_it_must() -> None:
    """Project, version, licence, copyright, hash, the command; comments only, then the text."""
    release = installed()
    lines = release.header.splitlines()
    owner = re.search(r"^Copyright \(c\) (.+)$", (ROOT / "LICENSE").read_text(), re.MULTILINE)
    assert owner
    for wanted in (
        f"vendored from wavemae {release.version}.",
        "# SPDX-License-Identifier: MIT",
        f"# SPDX-FileCopyrightText: {owner[1]}",
        f"# {hashlib.sha256(release.text.encode()).hexdigest()}",
        "wavemae vendor check",
    ):
        assert wanted in release.header
    assert all(line.startswith("#") and len(line) < 80 for line in lines)
    assert [line.startswith(MARKER) for line in lines] == [False] * (len(lines) - 1) + [True]
    assert MARKER not in release.text
    compile(release.vendored, "copy", "exec")


def test_change_is_recorded(record: ModuleType, tree: Path) -> None:
    """Another losses.py under an open version: once the changelog says what changed, all follow."""
    assert record.main([], tree) == 0
    assert names(tree) == {"0.1.0.py.txt", "0.2.0.header.txt"}
    edit(tree / "wavemae/models/losses.py", "one", "two")
    with pytest.raises(SystemExit, match=r"say how in CHANGELOG\.md"):
        record.main([], tree)
    edit(tree / "CHANGELOG.md", "`.\n\n", "`.\n- Says two,\n  not one.\n")
    before = names(tree)
    assert record.main(["--check"], tree) == 1
    assert names(tree) == before
    assert record.main([], tree) == 0
    assert record.main(["--check"], tree) == 0
    entry = index(tree)[-1]
    assert (entry["sha256"], entry["changes"]) == (sha256("two\n"), ["Says two, not one."])
    assert (tree / TEXTS / entry["text"]).read_bytes() == b"two\n"
    assert index(tree)[0]["sha256"] == sha256("one\n")
    header = (tree / TEXTS / entry["header"]).read_text(encoding="utf-8")
    vendored = sha256(f"{header}two\n")
    texts = {name: (tree / name).read_text(encoding="utf-8") for name in DOCUMENTS}
    assert [sha256("two\n") in text for text in (header, *texts.values())] == [True, True, False]
    assert [vendored in text for text in (header, *texts.values())] == [False, True, True]
    assert "  # wavemae 0.2.0\n" in (tree / "docs/ci.md").read_text(encoding="utf-8")
    edit(tree / "wavemae/models/losses.py", "two", "one")
    record.main([], tree)
    assert names(tree) == {"0.1.0.py.txt", "0.2.0.header.txt"}


def test_closed_release_is_not_rewritten(
    record: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a date in the changelog the way on is another version; text and header stay."""
    record.main([], tree)
    edit(tree / "CHANGELOG.md", "unreleased", "2026-02-02")
    monkeypatch.setattr(record, "HEADER", "# other words\n# ---- wavemae\n")
    header = tree / TEXTS / "0.2.0.header.txt"
    before = header.read_bytes()
    assert record.main(["--check"], tree) == 0
    edit(tree / "wavemae/models/losses.py", "one", "two")
    with pytest.raises(SystemExit, match="raise the version"):
        record.main([], tree)
    edit(tree / "wavemae/__init__.py", "0.2.0", "0.3.0")
    with pytest.raises(SystemExit, match=r"0\\\.3\\\.0.* matches 0 lines"):
        record.main([], tree)
    section = (
        "## [0.3.0] - unreleased\n\n### Definition\n\n- SHA-256 of `losses.py`: ``;\n  with the "
        "header of `wavemae vendor add`:\n  ``.\n- Two.\n\n"
    )
    edit(tree / "CHANGELOG.md", "## [0.2.0]", f"{section}## [0.2.0]")
    assert record.main([], tree) == 0
    assert [entry["version"] for entry in index(tree)] == ["0.1.0", "0.2.0", "0.3.0"]
    assert header.read_bytes() == before
    assert (tree / TEXTS / "0.3.0.header.txt").read_bytes().startswith(b"# other words")
    assert sha256("two\n") not in (tree / "CHANGELOG.md").read_text().partition("[0.2.0]")[2]


def test_sdist_says_nothing_of_its_making(record: ModuleType) -> None:
    """Archives of the same files by unlike people at unlike times become the same bytes."""
    import make

    def sdist(names: list[str], **circumstances: object) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                for key, value in circumstances.items():
                    setattr(member, key, value)
                archive.addfile(member, io.BytesIO(name.encode()))
        return packed.getvalue()

    one = sdist(["p/a.py", "p/b.py"], uid=1, uname="me", mode=0o600, mtime=5)
    other = sdist(["p/b.py", "p/a.py"], gid=7, gname="us", mode=0o755, mtime=1e9 + 0.25)
    assert one != other
    plain = make.without_circumstances(one, 315532800)
    assert plain == make.without_circumstances(other, 315532800)
    assert plain != make.without_circumstances(sdist(["p/a.py", "p/c.py"]), 315532800)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        assert {name: file and file.read() for name, file in files.items()} == {
            "p/a.py": b"p/a.py",
            "p/b.py": b"p/b.py",
        }


def test_two_builds_one_hash(record: ModuleType, tmp_path: Path) -> None:
    """Of this tree, in unlike circumstances; without a compiler it builds all but that one file."""
    import make

    made, differing = make.twice(ROOT, audit=False)
    assert differing == []
    (sdist,) = (content for name, content in made.items() if name.endswith(".tar.gz"))
    (whole,) = (make.members(*item) for item in made.items() if item[0].endswith(".whl"))
    with tarfile.open(fileobj=io.BytesIO(sdist)) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    environment = {**os.environ, "CC": "false", "SOURCE_DATE_EPOCH": str(make.epoch(ROOT))}
    wheel = make.made("wheel", folder, tmp_path, environment)
    less = make.members(wheel.name, wheel.read_bytes())
    native = {name for name in whole if name.endswith((".so", ".pyd"))}
    assert (whole.keys() - less.keys(), less.keys() - whole.keys()) == (native, set())
    assert {name for name in less if whole[name] != less[name]} <= {RECORD}


def test_difference_between_builds_is_told(
    record: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the part that differs; nothing is written to the folder."""
    import make

    def wheel(**parts: str) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, text in parts.items():
                archive.writestr(zipfile.ZipInfo(name), text)
        return packed.getvalue()

    one = {"p.whl": wheel(a="1", b="1"), "q.whl": b"", "r.whl": wheel(a="1", b="2")}
    other = {"p.whl": wheel(a="1", b="2"), "q.whl": b"", "r.whl": wheel(b="2", a="1")}
    builds = iter([one, other])
    monkeypatch.setattr(make, "build", lambda *_, **__: next(builds))
    _, differing = make.twice(ROOT, audit=True)
    assert differing == ["p.whl: b", "r.whl: the archive itself"]
    builds = iter([one, {"p.whl": one["p.whl"], "q.whl": b""}])
    assert make.twice(ROOT, audit=True)[1] == ["r.whl: a", "r.whl: b"]
    monkeypatch.setattr(record, "main", lambda _: 0)
    builds = iter([one, other])
    assert make.main([str(tmp_path / "dist")]) == 1
    assert not (tmp_path / "dist").exists()


def test_time_of_a_release_is_its_date(record: ModuleType, tree: Path) -> None:
    """So that the same tree gives the same bytes on any day."""
    import make

    assert make.epoch(tree) == 315532800  # 1980-01-01, while it has none
    edit(tree / "CHANGELOG.md", "unreleased", "2026-12-01")
    assert make.epoch(tree) == 1796083200


def test_tag_must_fit(record: ModuleType, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong tag, a missing date and a stale list end it before anything is built."""
    import make

    monkeypatch.setattr(record, "ROOT", tree)
    monkeypatch.setattr(record.main, "__defaults__", (None, tree))
    record.main([], tree)
    with pytest.raises(SystemExit, match=r"--tag is v9\.0, the version of the tree is"):
        make.main([str(tree / "dist"), "--tag", "v9.0"])
    with pytest.raises(SystemExit, match="has no date"):
        make.main([str(tree / "dist"), "--tag", "v0.2.0"])
    (tree / TEXTS / "stray.txt").touch()
    with pytest.raises(SystemExit, match=r"python release/record\.py"):
        make.main([str(tree / "dist")])
