"""The files that a loss comes from, of which reports have the SHA-256."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_PACKAGES = frozenset(["site-packages", "dist-packages"])
_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def files(functions: Iterable[Any]) -> list[str]:
    """Where the functions were defined, and what they name that is the user's own.

    Nothing is followed into what is installed, into classes, or to what is found at run time.
    """
    found: dict[str, None] = {}
    waiting, seen = [*functions], set()
    for each in waiting:
        file = _file(each)
        if id(each) in seen or file is None or not Path(file).is_file():
            continue
        seen.add(id(each))
        found[file] = None
        if callable(each):
            waiting += (other for other in _named(_inner(each)) if _theirs(_file(other)))
    return list(found)


def code(function: Any) -> CodeType | None:
    """The Python code that a call of the function runs first, or None where there is none."""
    found = getattr(_inner(function), "__code__", None)
    return found if isinstance(found, CodeType) else None


def _inner(function: Any) -> Any:
    """The function that partials, decorators, methods and objects lead to."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__func__"):
            function = function.__func__
        else:
            break
    if not hasattr(function, "__code__"):
        kind = type(function)
        function = getattr(kind, "forward", None) or kind.__call__
    return function


def _file(each: Any) -> str | None:
    """Where a module, a function, a class or the class of an object was defined."""
    if isinstance(each, ModuleType):
        return getattr(each, "__file__", None)
    made = code(each) if callable(each) and not isinstance(each, type) else None
    if made is not None:
        return made.co_filename
    kind = each if isinstance(each, type) else type(each)
    return getattr(sys.modules.get(kind.__module__), "__file__", None)


def _named(function: Any) -> Iterator[Any]:
    """What the code of a function names: in its module and around it, and what modules hold."""
    if not isinstance(function, FunctionType):
        return
    with contextlib.suppress(ValueError):  # a name that has no value yet
        names = inspect.getclosurevars(function)
        for value in (*names.globals.values(), *names.nonlocals.values()):
            yield value
            if isinstance(value, ModuleType):
                yield from (vars(value)[name] for name in names.unbound if name in vars(value))


def _theirs(file: str | None) -> bool:
    """Whether a file is neither an installed package's nor Python's."""
    if file is None:
        return False
    place = Path(file).resolve()
    return not (_PACKAGES.intersection(place.parts) or place.is_relative_to(_LIBRARY))
