"""Write the current `losses.py` into the list of releases, the witness of `wavemae vendor check`.

    python release/record.py [--check]

Run it after every change of `wavemae/models/losses.py`, of the version or of the section
"Definition" in CHANGELOG.md. It writes `wavemae/vendor/texts`, and the hashes where CHANGELOG.md
and docs/ci.md give them. `--check` writes nothing and exits with 1 where something would change. A
release that has a date in CHANGELOG.md is closed: its text is never replaced, raise the version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INDEX = "wavemae/vendor/texts/index.json"

# Ruff's file-level noqa is itself a finding of PGH004; yapf reads only the last line of a comment.
HEADER = """\
# masked_sse and masked_mse, vendored from wavemae {version}.
# SPDX-FileCopyrightText: {copyright}
# SPDX-License-Identifier: MIT
# SHA-256 of all that stands below this header:
# {sha256}
# Check it: `pip install wavemae`, then `wavemae vendor check` on this file.
# Do not edit it; `wavemae vendor update` brings the next release.
# Reformatted, it would no longer be the text that was verified:
# fmt: off
# autopep8: off
# isort: skip_file
# ruff: noqa
# ruff: noqa: PGH004
# flake8: noqa
# pylint: skip-file
# mypy: ignore-errors
# ---- wavemae: byte for byte below this line. yapf: disable
"""


def version(root: Path) -> str:
    """`wavemae.__version__`, read from the source."""
    return _only(r'^__version__ = "([^"]+)"$', root / "wavemae" / "__init__.py")


def date(root: Path, release: str) -> str | None:
    """The day in the changelog's heading of that release; None while it has none.

    Raises:
        SystemExit: the changelog has no such heading.
    """
    heading = rf"^## \[{re.escape(release)}\] - (.+)$"
    day = _only(heading, root / "CHANGELOG.md")
    return day if re.fullmatch(r"\d{4}-\d\d-\d\d", day) else None


def changes(root: Path, release: str) -> list[str]:
    """The bullets of the section "Definition" of that release in the changelog, a line each.

    The first of them, which gives the hashes, is left out.
    """
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.split(rf"^## \[{re.escape(release)}\].*$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
    parts = re.split(r"^### Definition$", section, flags=re.MULTILINE)
    if len(parts) != 2:
        sys.exit(f"CHANGELOG.md: {release} has no section `### Definition`")
    bullets = re.split(
        r"^- ", re.split(r"^###", parts[1], flags=re.MULTILINE)[0], flags=re.MULTILINE
    )
    lines = [" ".join(bullet.split()) for bullet in bullets[1:]]
    first = (
        r"SHA-256 of `losses\.py`: `[^`]*`(; with the header of `wavemae vendor add`: `[^`]*`)?\."
    )
    if not lines or not re.fullmatch(first, lines[0]):
        sys.exit(f"CHANGELOG.md: Definition of {release} does not begin with its SHA-256")
    return lines[1:]


def recorded(root: Path) -> dict[str, str]:
    """Every file that records the current state: its path below the root, and its text.

    Raises:
        SystemExit: the release is closed and the text is another, or the text changed and the
            changelog does not say how.
    """
    current = version(root)
    folder = (root / INDEX).parent
    text = (root / "wavemae" / "models" / "losses.py").read_bytes().decode("utf-8")
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    index = json.loads((root / INDEX).read_text(encoding="utf-8"))
    entries: list[dict[str, Any]] = index["releases"]
    before = [entry for entry in entries if entry["version"] != current]
    old = next((entry for entry in entries if entry["version"] == current), None)
    day = date(root, current)
    if old and old["sha256"] != digest and day:
        sys.exit(
            f"losses.py is not the text of {current}, which CHANGELOG.md dates {day}: raise the "
            "version in wavemae/__init__.py and give the new one a section in CHANGELOG.md"
        )
    same = next((entry for entry in reversed(before) if entry["sha256"] == digest), None)
    told = changes(root, current)
    if before and before[-1]["sha256"] != digest and not told:
        sys.exit(
            f"losses.py differs from that of {before[-1]['version']}: say how in CHANGELOG.md, "
            f"section Definition of {current}, a bullet for each change"
        )
    entry = {
        "version": current,
        "sha256": digest,
        "text": same["text"] if same else f"{current}.py.txt",
        "header": f"{current}.header.txt",
        "changes": told,
    }
    header = HEADER.format(
        version=current,
        sha256=digest,
        copyright=_only(r"^Copyright \(c\) (.+)$", root / "LICENSE"),
    )
    if old and day:  # what a closed release wrote above its copies stays what it wrote
        header = (folder / old["header"]).read_text(encoding="utf-8")
    vendored = hashlib.sha256((header + text).encode("utf-8")).hexdigest()
    index = {"releases": [*before, entry]}
    texts = folder.relative_to(root).as_posix()
    return {
        f"{texts}/{entry['text']}": text,
        f"{texts}/{entry['header']}": header,
        INDEX: json.dumps(index, indent=2, ensure_ascii=False) + "\n",
        "CHANGELOG.md": _with_hash(
            rf"(^## \[{re.escape(current)}\].*?^- SHA-256 of `losses\.py`: `)[^`]*"
            r"(`;\s+with the header of `wavemae vendor add`:\s+`)[^`]*(`)",
            rf"\g<1>{digest}\g<2>{vendored}\g<3>",
            root / "CHANGELOG.md",
        ),
        "docs/ci.md": _with_hash(
            r"[0-9a-f]{64}(  # wavemae )\S+", rf"{vendored}\g<1>{current}", root / "docs" / "ci.md"
        ),
    }


def _unlisted(root: Path, index: dict[str, Any]) -> list[Path]:
    """What lies beside the texts and is none of theirs, such as that of an earlier draft."""
    listed = {entry[part] for entry in index["releases"] for part in ("text", "header")}
    folder = (root / INDEX).parent
    return sorted(file for file in folder.iterdir() if file.name not in listed | {"index.json"})


def _with_hash(pattern: str, hash_there: str, file: Path) -> str:
    """The text of a document, the first match replaced."""
    text = file.read_text(encoding="utf-8")
    changed, count = re.subn(pattern, hash_there, text, count=1, flags=re.MULTILINE | re.DOTALL)
    if not count:
        sys.exit(f"{file.name} does not give the SHA-256: nothing matches {pattern}")
    return changed


def _only(pattern: str, file: Path) -> str:
    """What the one match in the file captures."""
    found: list[str] = re.findall(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    if len(found) != 1:
        sys.exit(f"{file.name}: {pattern} matches {len(found)} lines, one is wanted")
    return found[0]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write what differs, or with `--check` only name it."""
    parser = argparse.ArgumentParser(description="Record losses.py as the text of its version.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args(arguments).check
    files = recorded(root)
    stale = []
    for name, text in files.items():
        file = root / name
        if not file.exists() or file.read_bytes() != text.encode("utf-8"):
            stale.append(name)
            if not check:
                file.write_bytes(text.encode("utf-8"))
    for file in _unlisted(root, json.loads(files[INDEX])):
        stale.append(f"{file.relative_to(root).as_posix()}, to be gone")
        if not check:
            file.unlink()
    for name in stale:
        print(f"{'stale' if check else 'written'}: {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
