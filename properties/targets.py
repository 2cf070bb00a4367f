"""Where a target is, as far as one can tell without importing anything."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import pkgutil
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

_DEEPEST, _MOST_SEEN = 3, 5000  # levels and entries that are looked at for a lost file
_UNLIKELY = frozenset(["node_modules", "build", "dist", "venv", "env", "__pycache__"])
COMMAND = "command:"  # what a target begins with that is a program, and not Python


def split(target: str) -> tuple[str, str, str]:
    """(place, ":", attribute); a colon in a Windows drive is part of the place."""
    place, colon, attribute = target.rpartition(":")
    if not colon or "/" in attribute or "\\" in attribute:
        return target, "", ""
    return place, colon, attribute


def fault(target: str) -> str | None:
    """Why the target leads nowhere, in words, or None where only an import can tell."""
    if target.startswith(COMMAND):
        return _no_program(target.removeprefix(COMMAND))
    place, colon, attribute = split(target)
    if not target.strip():
        return "a target is empty; name a module or a file"
    if colon and not (place and all(part.isidentifier() for part in attribute.split("."))):
        return (
            f"{target!r} needs a module or a file before the colon and the name of a Subject after"
        )
    path = Path(place)
    if place.endswith(".py"):
        if path.is_dir():
            return f"{place!r} is a folder; name a .py file in it"
        if not path.is_file():
            beside = _meant(place, map(str, path.parent.glob("*.py")))
            return f"there is no file {place!r}{beside or _file_elsewhere(path)}"
        if not os.access(path, os.R_OK):
            return f"the file {place!r} cannot be read"
        return None
    if not all(part.isidentifier() for part in place.split(".")):
        if path.is_dir():
            return f"{place!r} is a folder; name a .py file in it, or its module with dots"
        if path.with_name(path.name + ".py").is_file():
            return f"there is no file {place!r}; did you mean {place + '.py'!r}?"
        if path.exists():
            return _other_file(place)
        return f"there is no module and no file {place!r}; the path of a file ends in .py"
    reason = _no_module(place)
    return _other_file(place) if reason and path.is_file() else reason


def _no_program(command: str) -> str | None:
    """Why a command cannot be started, in words, or None."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"the command {command!r} cannot be split into words: {error}"
    if not words:
        return "a command is empty; name a program"
    if shutil.which(words[0]) is None:
        return f"there is no program {words[0]!r} to start"
    return None


def files_of(command: str) -> list[str]:
    """The files among the words of a command; what is found by PATH alone is none of them."""
    return [word for word in shlex.split(command) if Path(word).is_file()]


def spelled(target: str) -> str:
    """The target as it is given on the command line, to a shell."""
    if target.startswith(COMMAND):
        return f"--command {shlex.quote(target.removeprefix(COMMAND))}"
    return shlex.quote(target)


def _other_file(place: str) -> str:
    return f"{place!r} is no Python file; its name must end in .py"


def _no_module(name: str) -> str | None:
    """Why there is no such module; None where there is one, or where its package makes it up."""
    locations: Sequence[str] | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        known = ".".join(parts[:depth])
        spec = _spec(known, locations)
        if spec is None:
            packages = pkgutil.iter_modules(None if locations is None else list(locations))
            beside = _meant(parts[depth - 1], (module.name for module in packages))
            inside = f" in the package {'.'.join(parts[: depth - 1])!r}" if depth > 1 else ""
            elsewhere = "" if depth > 1 else _module_elsewhere(parts)
            advice = elsewhere or beside or "; for a file give its path, ending in .py"
            return (
                f"there is no module {parts[depth - 1]!r}{inside} (asked for by {name!r}){advice}"
            )
        if depth == len(parts):
            if spec.loader is None or spec.origin in (None, "namespace"):
                return f"{name!r} is a folder without an __init__.py; name a module in it"
            return None
        if not _plain(spec):
            return None  # only importing it can tell what it holds
        locations = spec.submodule_search_locations or []
    return None


def _spec(name: str, locations: Sequence[str] | None) -> ModuleSpec | None:
    """`importlib.util.find_spec`, which imports the packages on the way, without importing them."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, locations) if find else None
        if spec is not None:
            return spec
    return None


def _plain(spec: ModuleSpec) -> bool:
    """Whether a package holds what lies in its folders, and makes up no module of its own."""
    if spec.loader is None or spec.origin in (None, "namespace"):
        return bool(spec.submodule_search_locations)
    if not isinstance(spec.loader, SourceFileLoader):
        return False
    text = spec.loader.get_data(str(spec.origin))
    return b"__path__" not in text and b"sys.modules" not in text


def _below() -> Iterator[Path]:
    """The working directory and the folders a few levels below it, the nearest first."""
    folders, seen = [Path()], 0
    for folder in folders:
        yield folder
        if len(folder.parts) >= _DEEPEST:
            continue
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                likely = entry.name.isidentifier() and entry.name not in _UNLIKELY
                if likely and seen < _MOST_SEEN and entry.is_dir(follow_symlinks=False):
                    folders.append(folder / entry.name)


def _file_elsewhere(path: Path) -> str:
    """Where a file of that name lies, in words."""
    found = [folder / path.name for folder in _below() if (folder / path.name).is_file()]
    return f"; there is {str(found[0])!r}" if len(found) == 1 else ""


def _module_elsewhere(parts: Sequence[str]) -> str:
    """Where a module lies that cannot be imported from here, and how it can, in words."""
    for above in (Path.cwd(), *Path.cwd().parents):
        file = _file_of(above, parts)
        if file and above != Path.cwd():
            return f"; it is {str(file)!r}, so run it in {str(above)!r}"
        if file:
            return (
                f"; {file.relative_to(above)} is here, but this folder is not on Python's path: "
                "set PYTHONPATH=."
            )
    for folder in _below():
        if file := _file_of(folder, parts):
            return f"; it is {str(file)!r}: install its package, or set PYTHONPATH={folder}"
    return ""


def _file_of(folder: Path, parts: Sequence[str]) -> Path | None:
    """The file of a module whose package lies in a folder, if it does."""
    base = folder.joinpath(*parts)
    files = (base.with_name(base.name + ".py"), base / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _meant(name: str, others: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(others), n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


def place_of(target: str) -> tuple[str, str]:
    """What two names of one target have in common: its file, where known, and its attribute."""
    if target.startswith(COMMAND):
        return target, ""
    place, _, attribute = split(target)
    if place.endswith(".py"):
        return str(Path(place).resolve()), attribute
    parts = place.split(".")
    locations: Sequence[str] | None = None
    for depth in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:depth]), locations)
        if spec is None:
            return place, attribute
        locations = spec.submodule_search_locations or []
        if depth == len(parts) and spec.origin and Path(spec.origin).is_file():
            return str(Path(spec.origin).resolve()), attribute
    return place, attribute


def shown(file: str) -> str:
    """The file as the terminal and reports have it.

    Below the working directory it is written from there, with forward slashes, so that a report in
    a repository tells nothing of the machine; any other file is left as it is.
    """
    try:
        return Path(file).resolve().relative_to(Path.cwd().resolve()).as_posix()
    except (OSError, ValueError):
        return file


def digest(file: str) -> str:
    """The SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
