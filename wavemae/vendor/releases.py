"""The witness: the text of `losses.py` in every release, its hash, its header, what it changed."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files

from wavemae import __version__

FOLDER = "texts"
INDEX = "index.json"
MARKER = "# ---- wavemae"  # begins the last line of a header
LICENCE = "MIT"  # of every release, as SPDX has it


class Damaged(Exception):
    """The installed package does not hold what its own index says."""


@dataclass(frozen=True)
class Release:
    """One published text of the definition.

    Attributes:
        version: such as ``"0.2.0"``.
        text: `losses.py`, whole.
        header: what `wavemae vendor add` of that release put above it; empty where that release
            had no such command.
        changes: what the changelog says this release changed in the text, a line each.
    """

    version: str
    text: str
    header: str
    changes: tuple[str, ...]

    @property
    def vendored(self) -> str:
        """The file that `wavemae vendor add` writes."""
        return self.header + self.text


@functools.cache
def releases() -> tuple[Release, ...]:
    """Every release up to the installed one, oldest first.

    Raises:
        Damaged: a text is missing or has another hash than the index says, or the installed version
            is not in the list.
    """
    folder = files(__package__) / FOLDER
    try:
        entries = json.loads((folder / INDEX).read_text(encoding="utf-8"))["releases"]
        names = {entry[part] for entry in entries for part in ("text", "header") if entry[part]}
        parts = {name: (folder / name).read_bytes().decode("utf-8") for name in names}
    except (OSError, ValueError) as error:
        message = f"the list of releases cannot be read: {error}; install wavemae again"
        raise Damaged(message) from error
    for entry in entries:
        if sha256(parts[entry["text"]]) != entry["sha256"]:
            raise Damaged(
                f"the text of release {entry['version']} has another SHA-256 than the index says; "
                "install wavemae again"
            )
    if entries[-1]["version"] != __version__:
        raise Damaged(
            f"wavemae {__version__} is not in its own list of releases, which ends with "
            f"{entries[-1]['version']}; in a checkout run `python release/record.py`"
        )
    return tuple(
        Release(
            version=entry["version"],
            text=parts[entry["text"]],
            header=parts[entry["header"]] if entry["header"] else "",
            changes=tuple(entry["changes"]),
        )
        for entry in entries
    )


def sha256(text: str) -> str:
    """What `sha256sum` prints for the text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def installed() -> Release:
    """The release that is installed, the last of `releases`."""
    return releases()[-1]
