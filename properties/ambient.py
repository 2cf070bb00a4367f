"""The state of the process that a loss must not touch: read it, compare it, put it back."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

_READ: dict[str, Callable[[], Any]] = {
    "default dtype": torch.get_default_dtype,
    "default device": lambda: str(torch.get_default_device()),
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "number of threads": torch.get_num_threads,
    "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
    "deterministic warn-only": torch.is_deterministic_algorithms_warn_only_enabled,
    "anomaly mode": torch.is_anomaly_enabled,
    "CPU autocast": lambda: torch.is_autocast_enabled("cpu"),
    "CPU autocast dtype": lambda: torch.get_autocast_dtype("cpu"),
    "float32 matmul precision": torch.get_float32_matmul_precision,
    "flush of subnormals": lambda: (torch.tensor([1e-40]) * 1.0).item() == 0.0,
    "torch random state": lambda: torch.get_rng_state().numpy().tobytes(),
    "random state of Python": random.getstate,
    "random state of NumPy": lambda: (
        np.random.get_state()[1].tobytes()  # type: ignore[union-attr,call-overload,index]
        + bytes(str(np.random.get_state()[2]), "ascii")
    ),  # type: ignore[call-overload,index]
    "warning filters": lambda: list(warnings.filters),
    "standard streams": lambda: (id(sys.stdout), id(sys.stderr)),
    "NumPy error handling": np.geterr,
    "current directory": os.getcwd,
    "environment": lambda: dict(os.environ),
    "recursion limit": sys.getrecursionlimit,
}


def snapshot() -> dict[str, Any]:
    """Everything that `differences` compares and `restored` puts back."""
    return {name: read() for name, read in _READ.items()}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what changed; names with short values show them."""
    changed = []
    for name, old in before.items():
        new = after[name]
        if old != new:
            words = f"{name}: {old} → {new}"
            changed.append(words if len(words) < 100 else name)
    return changed


@contextmanager
def restored() -> Iterator[None]:
    """Undo, at the end, whatever happened to the state of the process."""
    streams = sys.stdout, sys.stderr
    filters, shown = list(warnings.filters), warnings.showwarning
    numpy_state, python_state, torch_state = (
        np.random.get_state(),
        random.getstate(),
        torch.get_rng_state(),
    )
    before = snapshot()
    environment, errors = dict(os.environ), np.geterr()
    grad, dtype, threads = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
    )
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_anomaly_enabled(before["anomaly mode"])
        torch.set_autocast_enabled("cpu", before["CPU autocast"])
        torch.set_autocast_dtype("cpu", before["CPU autocast dtype"])
        torch.set_float32_matmul_precision(before["float32 matmul precision"])
        torch.set_flush_denormal(before["flush of subnormals"])
        if str(torch.get_default_device()) != before["default device"]:
            torch.set_default_device(before["default device"])
        sys.stdout, sys.stderr = streams
        warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever typeshed says
        warnings.showwarning = shown
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        np.seterr(**errors)
        sys.setrecursionlimit(before["recursion limit"])
        if os.getcwd() != before["current directory"]:
            os.chdir(before["current directory"])
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)


@contextmanager
def unusual() -> Iterator[None]:
    """A process whose state is nowhere the default, so that a reset to the default shows."""
    with restored():
        random.seed(11)
        np.random.seed(12)
        torch.manual_seed(13)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_anomaly_enabled(True, check_nan=False)
        torch.set_float32_matmul_precision("high")
        np.seterr(all="ignore")
        warnings.simplefilter("error")
        with torch.autocast("cpu", dtype=torch.float16):
            yield


@contextmanager
def listening() -> Iterator[dict[str, str]]:
    """Collect what is printed or warned meanwhile, also below Python (file descriptors 1 and 2)."""
    heard: dict[str, str] = {}
    sys.stdout.flush()
    sys.stderr.flush()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        saved = os.dup(1), os.dup(2)
        streams = sys.stdout, sys.stderr
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        with open(os.dup(1), "w") as new_out, open(os.dup(2), "w") as new_err:
            sys.stdout, sys.stderr = new_out, new_err
            try:
                yield heard
            finally:
                sys.stdout, sys.stderr = streams
                new_out.flush()
                new_err.flush()
                os.dup2(saved[0], 1)
                os.dup2(saved[1], 2)
                os.close(saved[0])
                os.close(saved[1])
                for name, file in (("stdout", out), ("stderr", err)):
                    file.seek(0)
                    heard[name] = file.read().decode(errors="replace")
                heard["warnings"] = "; ".join(str(w.message) for w in warned)
