"""The parts of the process's state that a loss must not touch: how each is read and put back.

What is read is a sample: what losses, and the code that they are made of, have been seen to
change, and what lies beside. `ambient` compares it.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import logging
import operator
import os
import pickle
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ..inputs import internals
from . import loggers


@dataclass(frozen=True)
class Part:
    """One part of the state.

    Attributes:
        read: what it is now, so that two readings compare.
        put_back: sets it to what was read; None where torch or Python has no way to.
        quick: whether a reading takes microseconds, so that it is made around every call.
    """

    read: Callable[[], Any]
    put_back: Callable[[Any], object] | None = None
    quick: bool = True


def _numpy_state() -> bytes:
    return pickle.dumps(np.random.get_state(legacy=False))  # whichever generator it is of


def _set_numpy_state(state: bytes) -> None:
    np.random.set_state(pickle.loads(state))


def _set_torch_state(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _in_a_new_thread(called: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(called).result()


def _affinity() -> Any:
    """The processors that this thread may use, where the system tells."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _set_affinity(processors: Any) -> None:
    os.sched_setaffinity(0, processors)


def _product(number: float) -> float:
    given = torch.tensor([number], dtype=torch.float32, device="cpu")
    product: float = (given * 1.0).item()
    return product


class _Layer:
    weight = torch.ones(1, 1, dtype=torch.float32, device="cpu", requires_grad=True)


def _cast_weight() -> Any:
    """Under autocast, the node that cast a weight: another one once the cache was emptied."""
    if not (torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled()):
        return None
    with torch.enable_grad():
        made = torch.mm(_Layer.weight, _Layer.weight).grad_fn
    return made and made.next_functions[0][0]


def _set_deterministic(enabled: bool) -> None:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def _set_warn_only(warn_only: bool) -> None:
    enabled = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


_SWITCHES = (
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_accumulation",
    "cudnn.benchmark_limit",
    "mkldnn.deterministic",
)


def _switches() -> dict[str, Any]:
    """Those switches of back ends that this torch has."""
    found = {}
    for name in _SWITCHES:
        with contextlib.suppress(AttributeError):
            found[name] = operator.attrgetter(name)(torch.backends)
    return found


def _set_switches(wanted: dict[str, Any]) -> None:
    now = _switches()
    for name, value in wanted.items():
        if now[name] != value:
            place, _, switch = name.rpartition(".")
            setattr(operator.attrgetter(place)(torch.backends), switch, value)


def _decimal_rules() -> tuple[Any, ...]:
    """Of the context of `decimal` what a program sets; its flags are what arithmetic sets."""
    now = decimal.getcontext()
    return now.prec, now.rounding, now.Emin, now.Emax, now.clamp, dict(now.traps)


def _set_decimal_rules(rules: tuple[Any, ...]) -> None:
    now = decimal.getcontext()
    now.prec, now.rounding, now.Emin, now.Emax, now.clamp, traps = rules
    now.traps.update(traps)


def _set_collector(state: tuple[bool, tuple[int, int, int]]) -> None:
    enabled, thresholds = state
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def _interpreter_hooks() -> tuple[Any, ...]:
    hooks = sys.excepthook, sys.displayhook, sys.breakpointhook, sys.unraisablehook
    of_threads = threading.excepthook, threading.gettrace(), threading.getprofile()
    return *hooks, *of_threads, sys.gettrace(), sys.getprofile()


def _set_interpreter_hooks(state: tuple[Any, ...]) -> None:
    *hooks, in_threads, trace_threads, profile_threads, trace, profile = state
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


_SIGNALS = tuple(
    int(getattr(signal, name))  # as programs print it
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGCHLD")  # others are faulthandler's, in C
    if hasattr(signal, name)  # Windows has some of them
)


def _set_signal_handlers(handlers: dict[int, Any]) -> None:
    ending = isinstance(sys.exc_info()[1], KeyboardInterrupt)  # a second Ctrl-C shall kill
    if ending or threading.current_thread() is not threading.main_thread():
        return
    for number, handler in handlers.items():
        if signal.getsignal(number) != handler is not None:
            signal.signal(number, handler)


def _set_shown(shown: Any) -> None:
    logging.captureWarnings(shown.__module__ == "logging")
    warnings.showwarning = shown


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever typeshed says


def _set_streams(streams: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = streams


_OF_COMPILERS = ("TORCHINDUCTOR_", "TRITON_")  # which set such variables when they run


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_COMPILERS)}


def _set_environment(variables: dict[str, str]) -> None:
    for name in _environment().keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


_cudnn, _mkldnn = torch.backends.cudnn, torch.backends.mkldnn

PARTS: dict[str, Part] = {
    "default dtype": Part(torch.get_default_dtype, torch.set_default_dtype),
    "default device": Part(
        lambda: str(torch.get_default_device()), torch.set_default_device, quick=False
    ),
    "grad mode": Part(torch.is_grad_enabled, torch.set_grad_enabled),
    "inference mode": Part(torch.is_inference_mode_enabled),
    "number of threads": Part(torch.get_num_threads, torch.set_num_threads),
    # OpenMP keeps a number for each thread, and torch one that it gives to those that start.
    "number of threads for new threads": Part(
        lambda: _in_a_new_thread(torch.get_num_threads),
        lambda number: _in_a_new_thread(partial(torch.set_num_threads, number)),
        quick=False,
    ),
    "processor affinity": Part(_affinity, _set_affinity),
    "deterministic algorithms": Part(
        torch.are_deterministic_algorithms_enabled, _set_deterministic
    ),
    "deterministic warn-only": Part(
        torch.is_deterministic_algorithms_warn_only_enabled, _set_warn_only
    ),
    "anomaly mode": Part(
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda state: torch.set_anomaly_enabled(*state),
    ),
    "CPU autocast": Part(
        lambda: torch.is_autocast_enabled("cpu"), partial(torch.set_autocast_enabled, "cpu")
    ),
    "CPU autocast dtype": Part(
        lambda: torch.get_autocast_dtype("cpu"), partial(torch.set_autocast_dtype, "cpu")
    ),
    "CUDA autocast": Part(
        lambda: torch.is_autocast_enabled("cuda"), partial(torch.set_autocast_enabled, "cuda")
    ),
    "CUDA autocast dtype": Part(
        lambda: torch.get_autocast_dtype("cuda"), partial(torch.set_autocast_dtype, "cuda")
    ),
    "autocast cache": Part(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "what autocast has cached": Part(_cast_weight),
    "float32 matmul precision": Part(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "cuDNN": Part(lambda: torch.backends.cudnn.enabled, partial(setattr, _cudnn, "enabled")),
    "cuDNN benchmark": Part(
        lambda: torch.backends.cudnn.benchmark, partial(setattr, _cudnn, "benchmark")
    ),
    "cuDNN deterministic": Part(
        lambda: torch.backends.cudnn.deterministic, partial(setattr, _cudnn, "deterministic")
    ),
    "TF32 in cuDNN": Part(
        lambda: torch.backends.cudnn.allow_tf32, partial(setattr, _cudnn, "allow_tf32")
    ),
    "warnings of torch always": Part(torch.is_warn_always_enabled, torch.set_warn_always),
    "oneDNN": Part(lambda: torch.backends.mkldnn.enabled, partial(setattr, _mkldnn, "enabled")),
    "switches of back ends": Part(_switches, _set_switches, quick=False),
    "filling of new memory": Part(
        internals.fills_new_memory,
        partial(setattr, torch.utils.deterministic, "fill_uninitialized_memory"),
        quick=False,
    ),
    "threads of backward": Part(
        internals.threads_of_backward, torch.autograd.set_multithreading_enabled
    ),
    "hooks on saved tensors": Part(
        internals.saved_tensor_hooks, internals.set_saved_tensor_hooks, quick=False
    ),
    "switches of the compiler": Part(
        internals.compiler_switches, internals.set_compiler_switches, quick=False
    ),
    "print options of torch": Part(
        internals.print_options, lambda options: torch.set_printoptions(**options), quick=False
    ),
    "dispatch and function modes": Part(internals.modes, quick=False),
    "flush of subnormals": Part(
        lambda: _product(1e-40) == 0.0, torch.set_flush_denormal, quick=False
    ),
    "torch random state": Part(
        lambda: torch.get_rng_state().numpy().tobytes(), _set_torch_state, quick=False
    ),
    "random state of Python": Part(random.getstate, random.setstate, quick=False),
    "random state of NumPy": Part(_numpy_state, _set_numpy_state, quick=False),
    "warning filters": Part(lambda: list(warnings.filters), _set_filters),
    "standard streams": Part(lambda: (sys.stdout, sys.stderr), _set_streams),
    "NumPy error handling": Part(np.geterr, lambda handling: np.seterr(**handling)),
    "NumPy print options": Part(
        np.get_printoptions, lambda options: np.set_printoptions(**options), quick=False
    ),
    "decimal arithmetic": Part(_decimal_rules, _set_decimal_rules, quick=False),
    "garbage collector": Part(lambda: (gc.isenabled(), gc.get_threshold()), _set_collector),
    "hooks of the interpreter": Part(_interpreter_hooks, _set_interpreter_hooks, quick=False),
    "signal handlers": Part(
        lambda: {number: signal.getsignal(number) for number in _SIGNALS},
        _set_signal_handlers,
        quick=False,
    ),
    "root logger": Part(
        lambda: loggers.settings_of(logging.root), partial(loggers.set_to, logging.root)
    ),
    "loggers": Part(loggers.all_settings, loggers.put_back, quick=False),
    "disabled logging": Part(lambda: logging.root.manager.disable, logging.disable),
    "how warnings are shown": Part(lambda: warnings.showwarning, _set_shown),
    "current directory": Part(os.getcwd, os.chdir, quick=False),
    "environment": Part(_environment, _set_environment, quick=False),
    "recursion limit": Part(sys.getrecursionlimit, sys.setrecursionlimit),
    "switch interval of threads": Part(sys.getswitchinterval, sys.setswitchinterval),
}
