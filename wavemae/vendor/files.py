"""Reading and writing copies: whole or not at all, and never over what somebody wrote.

A process that is killed in between leaves the file as it was or as it was to be; beside it may lie
a `.NAME.XXXXXXXX.tmp`, which nothing reads, or an `.orig` with what the file holds.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

LARGEST = 1 << 20  # bytes; a copy has a hundredth of that


class Unusable(Exception):
    """A path that cannot be read as a copy, or written; the message says why, without the path."""


class Changed(Exception):
    """The file is no longer the one that was read, or appeared meanwhile."""


def read(path: Path) -> str:
    """The text of a file, its line ends as they are.

    Raises:
        Unusable: there is none, it is no regular file, it is empty, larger than `LARGEST`, or no
            text in UTF-8.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise Unusable(f"is a folder; name the file in it, for example {path / 'losses.py'}")
        if not stat.S_ISREG(state.st_mode):
            raise Unusable("is not a regular file")
        if state.st_size > LARGEST:
            raise Unusable(f"has {state.st_size} bytes; a copy has about 10000")
        content = path.read_bytes()
    except FileNotFoundError:
        link = "is a symbolic link to a file that" if path.is_symlink() else ""
        raise Unusable(f"{link} does not exist".strip()) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise Unusable(f"cannot be read: {_reason(error)}") from error
    if not content:
        raise Unusable("is empty")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from None
    if "\0" in text:
        raise Unusable(f"is no text: byte {content.index(0)} is null")
    return text


def create(path: Path, text: str) -> None:
    """Write a new file; it appears whole, and never in place of another.

    Raises:
        Unusable: the folder does not exist, or cannot be written to.
        Changed: the path is taken.
    """
    with _beside(path, text) as temporary:
        try:
            os.link(temporary, path)  # unlike a rename, refuses where something stands
        except FileExistsError:
            raise Changed("has appeared meanwhile") from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):  # the best that is left: a file may still appear after this
                raise Changed("has appeared meanwhile") from None
            os.replace(temporary, path)


def replace(path: Path, text: str, *, judged: str, keep: bool = False) -> Path | None:
    """Put the text in place of the file in one step; it keeps its mode and, if allowed, its owner.

    Args:
        path: what is replaced.
        text: what it will hold.
        judged: what it held when it was judged.
        keep: whether to keep the old file beside it.

    Returns:
        What the old file is called now: `path.orig`, or `.orig.1` and so on where that is taken.

    Raises:
        Unusable: it is a symbolic link, or cannot be replaced.
        Changed: it no longer holds what was judged.
    """
    if path.is_symlink():
        raise Unusable(f"is a symbolic link; name the file itself, {path.resolve()}")
    with _beside(path, text) as temporary:
        _liken(temporary, path)
        aside = _kept(path, judged) if keep else None
        try:
            if read(path) != judged:
                raise Changed("was changed meanwhile; nothing was replaced")
            os.replace(temporary, path)
        except (OSError, Unusable, Changed):  # raised before it was replaced: it needs no .orig
            if aside:
                aside.unlink()
            raise
    return aside


def _kept(path: Path, text: str) -> Path:
    """Give the file, which holds that text, a second name that is free."""
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.orig" + (f".{number}" if number else ""))
        try:
            os.link(path, aside)  # so that what is still written to it is not lost either
        except FileExistsError:
            number += 1
            continue
        except OSError:  # a file system without hard links
            try:
                create(aside, text)
            except Changed:  # the name is taken
                number += 1
                continue
            _liken(aside, path)
        _settle(path.parent)
        return aside


def _liken(new: Path, old: Path) -> None:
    """Give a file the mode of another, and its group and owner where the system allows it."""
    state = old.stat()
    if sys.platform != "win32":
        for user, group in ((-1, state.st_gid), (state.st_uid, -1)):
            with contextlib.suppress(OSError):
                os.chown(new, user, group)
    os.chmod(new, stat.S_IMODE(state.st_mode))


def _settle(folder: Path) -> None:
    """See that the names in a folder outlast a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _beside(path: Path, text: str) -> Iterator[Path]:
    """A new file with the text in the same folder, gone afterwards unless it was renamed."""
    if not path.parent.is_dir():
        raise Unusable(f"cannot be written: there is no folder {path.parent}; make it first")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            # Opened this way it gets the mode that the user's umask gives any new file.
            with open(temporary, "xb") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        except (OSError, ValueError) as error:
            raise Unusable(f"cannot be written: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()


def _reason(error: OSError | ValueError) -> str:
    """The system's words, without the path, which the caller has."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
