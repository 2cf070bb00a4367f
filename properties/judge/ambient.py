"""The state of the process that a loss must not touch: read it, compare it, put it back.

What is read is a sample of it: what losses, and the code that they are made of, have been seen to
change, and what lies beside.
"""

from __future__ import annotations

import decimal
import gc
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..inputs import internals
from ..inputs.source import Source


def _numpy_state() -> bytes:
    state: dict[str, Any] = np.random.get_state(legacy=False)["state"]
    return bytes(state["key"].tobytes()) + bytes(str(state["pos"]), "ascii")


def _product(number: float) -> float:
    given = torch.tensor([number], dtype=torch.float32, device="cpu")
    product: float = (given * 1.0).item()
    return product


def _decimal_rules() -> tuple[Any, ...]:
    """Of the context of `decimal` what a program sets; its flags are what arithmetic sets."""
    now = decimal.getcontext()
    return now.prec, now.rounding, now.Emin, now.Emax, now.clamp, dict(now.traps)


def _interpreter_hooks() -> tuple[Any, ...]:
    hooks = sys.excepthook, sys.displayhook, sys.breakpointhook, sys.unraisablehook
    of_threads = threading.excepthook, threading.gettrace(), threading.getprofile()
    return *hooks, *of_threads, sys.gettrace(), sys.getprofile()


_SIGNALS = tuple(
    int(getattr(signal, name))  # as programs print it
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGCHLD")  # others are faulthandler's, in C
    if hasattr(signal, name)  # Windows has some of them
)

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
    "autocast cache": torch.is_autocast_cache_enabled,
    "float32 matmul precision": torch.get_float32_matmul_precision,
    "cuDNN": lambda: torch.backends.cudnn.enabled,
    "cuDNN benchmark": lambda: torch.backends.cudnn.benchmark,
    "cuDNN deterministic": lambda: torch.backends.cudnn.deterministic,
    "TF32 in cuDNN": lambda: torch.backends.cudnn.allow_tf32,
    "warnings of torch always": torch.is_warn_always_enabled,
    "oneDNN": lambda: torch.backends.mkldnn.enabled,
    "filling of new memory": internals.fills_new_memory,
    "threads of backward": internals.threads_of_backward,
    "hooks on saved tensors": internals.saved_tensor_hooks,
    "switches of the compiler": internals.compiler_switches,
    "print options of torch": internals.print_options,
    "dispatch and function modes": internals.modes,
    "flush of subnormals": lambda: _product(1e-40) == 0.0,
    "torch random state": lambda: torch.get_rng_state().numpy().tobytes(),
    "random state of Python": random.getstate,
    "random state of NumPy": _numpy_state,
    "warning filters": lambda: list(warnings.filters),
    "standard streams": lambda: (id(sys.stdout), id(sys.stderr)),
    "NumPy error handling": np.geterr,
    "NumPy print options": np.get_printoptions,
    "decimal arithmetic": _decimal_rules,
    "garbage collector": lambda: (gc.isenabled(), gc.get_threshold()),
    "hooks of the interpreter": _interpreter_hooks,
    "signal handlers": lambda: {number: signal.getsignal(number) for number in _SIGNALS},
    "root logger": lambda: (logging.root.level, list(logging.root.handlers), logging.root.disabled),
    "disabled logging": lambda: logging.root.manager.disable,
    "how warnings are shown": lambda: warnings.showwarning,
    "current directory": os.getcwd,
    "environment": lambda: dict(os.environ),
    "recursion limit": sys.getrecursionlimit,
    "switch interval of threads": sys.getswitchinterval,
}


def snapshot() -> dict[str, Any]:
    """Everything that `differences` compares and `restored` puts back."""
    return {name: _value(name) for name in _READ}


def _value(name: str) -> Any:
    """A part of the state; where it cannot be read any more, the exception's words."""
    try:
        return _READ[name]()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def moved(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The first part of the state that is not as it was."""
    return next(name for name in before if before[name] != after[name])


def reading(name: str, source: Source) -> str:
    """The expression that reads a part of `snapshot`, as this file has it."""
    return source.entry(sys.modules[__name__], "_READ", name)


# What takes microseconds to read, so that it can be compared around every call.
_QUICK = tuple(
    name
    for name in _READ
    if name
    not in (
        "flush of subnormals",
        "torch random state",
        "random state of Python",
        "random state of NumPy",
        "print options of torch",
        "NumPy print options",
        "environment",
        "current directory",
        "dispatch and function modes",
        "default device",
        "filling of new memory",
        "hooks on saved tensors",
        "switches of the compiler",
        "decimal arithmetic",
        "hooks of the interpreter",
        "signal handlers",
    )
)


def quick_snapshot() -> dict[str, Any]:
    """The part of `snapshot` that costs little."""
    return {name: _value(name) for name in _QUICK}


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
    """Undo, at the end, whatever happened to the state of the process.

    Where a part cannot be put back the others are, and the exception comes out unless there is
    another one.
    """
    streams, filters = (sys.stdout, sys.stderr), list(warnings.filters)
    numpy_state, python_state, torch_state = (
        np.random.get_state(),
        random.getstate(),
        torch.get_rng_state(),
    )
    before, environment = snapshot(), dict(os.environ)
    rules = decimal.getcontext().copy()

    def environment_as_before() -> None:
        os.environ.clear()
        os.environ.update(environment)

    def collector_as_before() -> None:
        enabled, thresholds = before["garbage collector"]
        gc.set_threshold(*thresholds)
        (gc.enable if enabled else gc.disable)()

    def interpreter_as_before() -> None:
        *hooks, in_threads, trace_threads, profile_threads, trace, profile = before[
            "hooks of the interpreter"
        ]
        sys.excepthook, sys.displayhook, sys.breakpointhook, sys.unraisablehook = hooks
        threading.excepthook = in_threads
        # Debuggers complain of settrace, and what profilers in C have set cannot be set by Python.
        for read, write, wanted in (
            (threading.gettrace, threading.settrace, trace_threads),
            (threading.getprofile, threading.setprofile, profile_threads),
            (sys.gettrace, sys.settrace, trace),
            (sys.getprofile, sys.setprofile, profile),
        ):
            if read() is not wanted and (wanted is None or callable(wanted)):
                write(wanted)

    def signals_as_before() -> None:
        ending = isinstance(sys.exc_info()[1], KeyboardInterrupt)  # a second Ctrl-C shall kill
        if ending or threading.current_thread() is not threading.main_thread():
            return
        for number, handler in before["signal handlers"].items():
            if signal.getsignal(number) != handler is not None:
                signal.signal(number, handler)

    def warnings_as_before() -> None:
        shown = before["how warnings are shown"]
        logging.captureWarnings(shown.__module__ == "logging")
        warnings.showwarning = shown

    def root_logger_as_before() -> None:
        logging.root.level, logging.root.handlers[:], logging.root.disabled = before["root logger"]

    undo: dict[str, Callable[[], Any]] = {
        "default dtype": lambda: torch.set_default_dtype(before["default dtype"]),
        "default device": lambda: torch.set_default_device(before["default device"]),
        "grad mode": lambda: torch.set_grad_enabled(before["grad mode"]),
        "number of threads": lambda: torch.set_num_threads(before["number of threads"]),
        "deterministic algorithms": lambda: torch.use_deterministic_algorithms(
            before["deterministic algorithms"], warn_only=before["deterministic warn-only"]
        ),
        "anomaly mode": lambda: torch.set_anomaly_enabled(before["anomaly mode"]),
        "CPU autocast": lambda: torch.set_autocast_enabled("cpu", before["CPU autocast"]),
        "CPU autocast dtype": lambda: torch.set_autocast_dtype("cpu", before["CPU autocast dtype"]),
        "float32 matmul precision": lambda: torch.set_float32_matmul_precision(
            before["float32 matmul precision"]
        ),
        "autocast cache": lambda: torch.set_autocast_cache_enabled(before["autocast cache"]),
        "cuDNN": lambda: setattr(torch.backends.cudnn, "enabled", before["cuDNN"]),
        "cuDNN benchmark": lambda: setattr(
            torch.backends.cudnn, "benchmark", before["cuDNN benchmark"]
        ),
        "cuDNN deterministic": lambda: setattr(
            torch.backends.cudnn, "deterministic", before["cuDNN deterministic"]
        ),
        "TF32 in cuDNN": lambda: setattr(
            torch.backends.cudnn, "allow_tf32", before["TF32 in cuDNN"]
        ),
        "warnings of torch always": lambda: torch.set_warn_always(
            before["warnings of torch always"]
        ),
        "oneDNN": lambda: setattr(torch.backends.mkldnn, "enabled", before["oneDNN"]),
        "filling of new memory": lambda: setattr(
            torch.utils.deterministic, "fill_uninitialized_memory", before["filling of new memory"]
        ),
        "threads of backward": lambda: torch.autograd.set_multithreading_enabled(
            before["threads of backward"]
        ),
        "hooks on saved tensors": lambda: internals.set_saved_tensor_hooks(
            before["hooks on saved tensors"]
        ),
        "switches of the compiler": lambda: internals.set_compiler_switches(
            before["switches of the compiler"]
        ),
        "print options of torch": lambda: torch.set_printoptions(
            **before["print options of torch"]
        ),
        "flush of subnormals": lambda: torch.set_flush_denormal(before["flush of subnormals"]),
        "torch random state": lambda: torch.set_rng_state(torch_state),
        "random state of Python": lambda: random.setstate(python_state),
        "random state of NumPy": lambda: np.random.set_state(numpy_state),
        "NumPy error handling": lambda: np.seterr(**before["NumPy error handling"]),
        "NumPy print options": lambda: np.set_printoptions(**before["NumPy print options"]),
        "decimal arithmetic": lambda: decimal.setcontext(rules),
        "garbage collector": collector_as_before,
        "hooks of the interpreter": interpreter_as_before,
        "signal handlers": signals_as_before,
        "root logger": root_logger_as_before,
        "how warnings are shown": warnings_as_before,
        "disabled logging": lambda: logging.disable(before["disabled logging"]),
        "current directory": lambda: os.chdir(before["current directory"]),
        "environment": environment_as_before,
        "recursion limit": lambda: sys.setrecursionlimit(before["recursion limit"]),
        "switch interval of threads": lambda: sys.setswitchinterval(
            before["switch interval of threads"]
        ),
    }
    undo["deterministic warn-only"] = undo["deterministic algorithms"]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever typeshed says
        failed: list[Exception] = []
        # Only what changed: some setters import half of torch before they set anything.
        for name in undo:
            try:
                if _value(name) != before[name]:
                    undo[name]()
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


class _Log(logging.Handler):
    """Collects the messages of warnings and errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


# What torch itself says, whatever the loss: its batching rules, and anomaly mode of an exception
# that it then raises.
OF_TORCH = (
    "An output with one or more elements was resized",
    "There is a performance drop because we have not yet implemented the batching rule",
    "Error detected in ",
)


@contextmanager
def listening() -> Iterator[dict[str, str]]:
    """Collect what is printed, warned or logged meanwhile, also on file descriptors 1 and 2."""
    heard: dict[str, str] = {}
    log = _Log()
    logging.getLogger().addHandler(log)
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
                logging.getLogger().removeHandler(log)
                heard["log"] = "; ".join(log.messages)
                said = (str(w.message) for w in warned)
                heard["warnings"] = "; ".join(s for s in said if not s.startswith(OF_TORCH))
