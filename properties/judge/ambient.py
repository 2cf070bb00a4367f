"""The state of the process around calls: taken, compared, put back, and made unusual."""

from __future__ import annotations

import decimal
import functools
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..inputs.source import Source
from . import state
from .loggers import Settings
from .state import PARTS


def snapshot() -> dict[str, Any]:
    """Everything that `differences` compares and `restored` puts back."""
    return {name: _value(name) for name in PARTS}


def quick_snapshot() -> dict[str, Any]:
    """The part of `snapshot` that costs little."""
    return {name: _value(name) for name, part in PARTS.items() if part.quick}


def _value(name: str) -> Any:
    """A part of the state; where it cannot be read any more, the exception's words."""
    try:
        return PARTS[name].read()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what changed; names with short values show them, mappings their first such key."""
    changed = []
    for name, old in before.items():
        new = after[name]
        if old != new:
            entry = _entry(old, new)
            where = place(name, entry)
            if entry is not None:
                old, new = old.get(entry), new.get(entry)
            words = f"{where}: {old} → {new}"
            changed.append(words if len(words) < 100 else where)
    return changed


def moved(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, Any]:
    """The first part of the state that is not as it was, and the entry of it if it is a mapping."""
    name = next(name for name in before if before[name] != after[name])
    return name, _entry(before[name], after[name])


def _entry(old: Any, new: Any) -> Any:
    """The first key under which two mappings differ; None of anything else."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None
    keys = old.keys() & new.keys() if isinstance(old, Settings) else (*old, *new)
    return next(key for key in keys if old.get(key) != new.get(key))


def place(name: str, entry: Any) -> str:
    """A part of the state, or an entry of it, in words."""
    return name if entry is None else f"{name}: {entry}"


@functools.cache
def import_torch() -> None:
    """Have torch import now what it imports at first use: that sets filters and a variable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = (torch.ones(2, 2),)
        torch.func.jvp(lambda t: torch.where(t > 0, t, 0.0).square().sum(), given, given)
    torch.use_deterministic_algorithms(
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def reading(name: str, source: Source, entry: Any = None) -> str:
    """The expression that reads a part of `snapshot`, or an entry of one that is a mapping."""
    if name in ("environment", "warning filters"):
        source.begin(import_torch)
    read = source.entry(state, "PARTS", name)
    return read if entry is None else f"{read}.get({entry!r})"


# Before the others, some of which may warn when they are put back.
_FIRST = ("standard streams", "warning filters")


@contextmanager
def restored() -> Iterator[dict[str, Any]]:
    """Undo, at the end, whatever happened to the state of the process; gives what it was.

    Where a part cannot be put back the others are, and the exception comes out unless there is
    another one.
    """
    before = snapshot()
    try:
        yield before
    finally:
        failed: list[Exception] = []
        # Only what changed: some setters import half of torch before they set anything.
        for name in (*_FIRST, *PARTS):
            put_back = PARTS[name].put_back
            try:
                if put_back is not None and _value(name) != before[name]:
                    put_back(before[name])
            except Exception as error:
                failed.append(error)
        if failed and sys.exc_info()[1] is None:
            raise failed[0]


def make_unusual() -> None:
    """Settings that are not the default."""
    random.seed(11)
    np.random.seed(12)
    torch.manual_seed(13)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_anomaly_enabled(True, check_nan=False)
    torch.set_float32_matmul_precision("high")
    torch.set_flush_denormal(True)
    torch.autograd.set_multithreading_enabled(False)
    if not torch.backends.flags_frozen():
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # by the module's class
    decimal.getcontext().prec = 11
    if sys.getprofile() is None:
        sys.setprofile(lambda *_: None)
    np.seterr(all="ignore")
    warnings.simplefilter("error")


@contextmanager
def unusual() -> Iterator[None]:
    """A process whose state is nowhere the default, so that a reset to the default shows."""
    with restored():
        make_unusual()
        with torch.autocast("cpu", dtype=torch.float16):
            yield
