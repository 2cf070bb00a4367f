"""What went wrong with a target before anything was judged, in words that say what to do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from .. import targets

_LOSS = re.compile(r"loss|mse|sse|l2|masked|recon|error", re.IGNORECASE)
_MOST = 4
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in ')


def of_import(error: BaseException, target: str) -> str:
    """What to do about an exception that a target's import raised, or nothing."""
    place, _, attribute = targets.split(target)
    if not place.endswith(".py") or "relative import" not in str(error):
        return ""
    folder, module = _package(Path(place).resolve())
    if "." not in module:
        return (
            "; a file that is judged by itself has no package: import by full names, or add an "
            "__init__.py and name the module"
        )
    name = module + (f":{attribute}" if attribute else "")
    return f"; it belongs to a package, so name its module: in {folder}, wavemae verify {name}"


def _package(file: Path) -> tuple[Path, str]:
    """The folder above the outermost package that a file lies in, and the module's full name."""
    folder, parts = file.parent, [file.stem]
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def of_names(target: str, module: Any, names: tuple[str, ...]) -> str:
    """The subjects of a module, else its callables that look like losses: how one is judged."""
    place, _, attribute = targets.split(target)
    if subjects := _subjects(module):
        start = f"{place}:{attribute}." if attribute else f"{place}:"
        given = " ".join(start + name for name in subjects)
        return f"; it has {' and '.join(subjects)}: wavemae verify {given}"
    found = _candidates(module)
    if not found:
        return ""
    source = Path(place).stem if place.endswith(".py") else place
    name = next(iter(found))
    wanted = names[0] if "sse" in name.lower() else names[-1]
    full = f"{source}.{attribute}.{name}" if attribute else f"{source}.{name}"
    shown = ", ".join(f"{name}{signature}" for name, signature in found.items())
    return (
        f"; it has {shown}. In a file subject.py beside it: import {source}; from "
        f'wavemae.properties import Subject; SUBJECT = Subject("{name}", {wanted}={full}); then '
        "wavemae verify subject.py:SUBJECT. Other arguments want an adapter: docs/guide.md"
    )


def _subjects(module: Any) -> list[str]:
    """The names of the subjects in a module."""
    from ..subject import Subject

    known = list(vars(module).items()) if hasattr(module, "__dict__") else []
    return [name for name, value in known if isinstance(value, Subject)]


def _candidates(module: Any) -> dict[str, str]:
    """Callables by name, with their signatures: those named like losses, else those of three."""
    own: dict[str, str] = {}
    for name, value in list(vars(module).items()) if hasattr(module, "__dict__") else []:
        if name.startswith("_") or not _is_function(value, module):
            continue
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            continue
        if _takes_three(signature):
            own[name] = str(signature).partition(" -> ")[0]
    named = {name: own[name] for name in own if _LOSS.search(name)} or own
    return dict(list(named.items())[:_MOST])


def _is_function(value: Any, module: Any) -> bool:
    """Whether it is a function, or anything else that is called, of the module's own."""
    if inspect.isclass(value) or inspect.ismodule(value) or not callable(value):
        return False
    home = getattr(value, "__module__", None)
    return (
        home is None or not hasattr(module, "__name__") or not home.startswith(("torch", "typing"))
    )


def _takes_three(signature: inspect.Signature) -> bool:
    try:
        signature.bind(None, None, None)
    except TypeError:
        return False
    return True


def of_silence(limit: float, loaded: bool, printed: str) -> str:
    """What to say of a target that gave no answer in time; `printed` ends with its stack."""
    frames = [
        (found["file"], found["line"])
        for found in _FRAME.finditer(printed)
        if "site-packages" not in found["file"] and "/wavemae/" not in found["file"]
    ]
    own = str(Path(__file__).parents[1])
    frames = [frame for frame in frames if not frame[0].startswith((own, "<frozen"))]
    at = next(
        (
            f"; it was at {targets.shown(file)}, line {line}"
            for file, line in frames
            if Path(file).is_file()
        ),
        "",
    )
    what = "of import and smoke calls" if loaded else "of its import"
    advice = (
        ""
        if loaded
        else ('; what trains, downloads or plots belongs under `if __name__ == "__main__":`')
    )
    return f"gave no answer within {limit:g} s {what}{at}{advice}"
