"""Whose exception is it: the subject's, or a mistake of the suite itself?

It is the subject's if it passed through the subject's code, or through anyone's but the suite's
and the libraries' that the suite calls; or if it came out of the parts of torch that run what the
subject made, its graph in backward above all; or if the subject's last answer was of such a kind
that the suite could not go on. Else the suite stumbled over itself.
"""

from __future__ import annotations

import functools
import os
import sysconfig
import traceback
from pathlib import Path
from typing import Any

import hypothesis
import numpy
import torch

from ..sources import code
from ..targets import shown

_SUITE = str(Path(__file__).parents[1]) + os.sep
_TORCH = str(Path(torch.__file__).parent)
_LIBRARIES = tuple(
    str(Path(place).resolve()) + os.sep
    for place in (
        sysconfig.get_path("stdlib"),
        Path(hypothesis.__file__).parent,
        Path(numpy.__file__).parent,
        _TORCH,
    )
)
# Where torch runs, traces or differentiates code that was given to it.
_RUNS_OTHERS = tuple(
    str(Path(_TORCH, name)) + ("" if name.endswith(".py") else os.sep)
    for name in (
        "_dynamo",
        "_export",
        "_functorch",
        "_higher_order_ops",
        "_inductor",
        "_ops.py",
        "_subclasses",
        "autograd",
        "distributed",
        "export",
        "func",
        "fx",
    )
)


def subjects(error: BaseException, functions: tuple[Any, ...], odd: str | None) -> bool:
    """Whether an exception that came out of a property is the subject's.

    Args:
        error: the exception, with its traceback from the property down.
        functions: the subject's functions.
        odd: what was odd about the kind of the subject's last answer, if anything was.
    """
    if odd is not None or not isinstance(error, Exception):
        return True
    if isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA error" in str(error):
        return True  # it comes up at the call that happens to wait for the device
    codes = [code(function) for function in functions]
    own = {found.co_filename for found in codes if found is not None}
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(file in own or _foreign(file) for file in files):
        return True
    if isinstance(error, TypeError) and any(f"{c.co_name}() " in str(error) for c in codes if c):
        return True  # Python could not bind the arguments, so that the call left no frame
    last = max((n for n, file in enumerate(files) if file.startswith(_SUITE)), default=-1)
    if any(file.startswith(_RUNS_OTHERS) for file in files[last + 1 :]):
        return True
    # A function without Python code leaves no frame, so that nobody can tell; these are what it
    # would raise.
    return None in codes and isinstance(error, (RuntimeError, TypeError, ValueError))


@functools.cache
def _foreign(file: str) -> bool:
    """Whether a file is neither the suite's nor a library's that it calls."""
    if file.startswith((_SUITE, "<")):  # "<string>" is what dataclasses write
        return False
    resolved = str(Path(file).resolve())
    installed = "site-packages" in resolved or "dist-packages" in resolved
    return not resolved.startswith(_LIBRARIES[1:] if installed else _LIBRARIES)


def place(error: BaseException, *, in_suite: bool = False) -> str:
    """Where an exception was raised, or with `in_suite` the last line of the suite on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if in_suite and frame.filename.startswith(_SUITE)]
    last = (own or frames)[-1]
    return f"{shown(last.filename)}:{last.lineno} in {last.name}"
