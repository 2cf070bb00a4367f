"""What calls do beside their result: files written, processes started, threads that pile up."""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from ..inputs import text
from ..inputs.cases import Case
from ..inputs.operands import Operand
from ..inputs.source import Source
from .probe import Probe
from .program import shown
from .violation import Violation

_WRITES = os.O_WRONLY | os.O_RDWR
_ACTS = (
    "os.exec",
    "os.fork",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.spawn",
    "os.system",
    "socket.bind",
    "socket.connect",
    "subprocess.Popen",
)


def done_outside(call: Callable[[], Any]) -> list[str]:
    """What Python's audit events tell of it; hooks on those stay: for a process of its own."""
    seen: list[str] = []
    heeded = [threading.get_ident()]  # other threads may be at work on something else

    def hook(event: str, given: Any) -> None:
        if threading.get_ident() not in heeded:
            return
        if event in _ACTS:
            seen.append(event)
        elif event == "open" and given[2] & _WRITES and given[0] != os.devnull:
            seen.append(f"{given[0]} was opened for writing")

    sys.addaudithook(hook)
    try:
        call()
    finally:
        heeded.clear()
    return seen


def piles_up(call: Callable[[], Any], times: int = 40) -> str:
    """What becomes more with the number of calls, and does not cease to.

    A pool of threads has its size after a while; a thread that ends soon is waited for.
    """
    folder = "/proc/self/fd"  # which not every system has

    def counts() -> dict[str, int]:
        files = len(os.listdir(folder)) if os.path.isdir(folder) else 0
        return {
            "threads": _thread._count(),
            "open files": files,
        }  # also those that `threading` does not know

    def grown() -> str:
        before, end = counts(), time.monotonic() + 0.3
        for _ in range(times):
            call()
        while True:
            more = {name: number - before[name] for name, number in counts().items()}
            left = [f"{number} more {name}" for name, number in more.items() if 8 * number > times]
            if not left or time.monotonic() > end:
                return ", ".join(left)
            gc.collect()
            time.sleep(0.01)

    left = ""
    for _ in range(5):
        left = grown()
        if not left:
            break
    return left


def acts_outside(probe: Probe) -> None:
    """Raise if a call does something outside of its process, or what it leaves piles up.

    Not the first one, which may make code.
    """
    for number, function in enumerate(probe.subject.functions):
        large = Case(function=function, shape=(129, 513), x_recon=Operand("float16"), salt=number)
        small = Case(function=function, shape=(2, 3), grads=("x_recon", "x"), salt=number)
        for case in (small, large):
            _acts(probe, probe.without_gradients(probe.fit(case)))
        _acts(probe, probe.fit(small.but(grads=())), refused=True)


def _acts(probe: Probe, case: Case, *, refused: bool = False) -> None:
    inputs = probe.build(case)

    def call() -> None:
        if refused:
            with contextlib.suppress(Exception):
                probe.function(case.function)(*inputs, reduction="none")
            return
        with nullcontext() if case.grads else torch.no_grad():
            loss = probe.call(case, inputs)
        if case.grads:
            probe.pull(case, loss, inputs)

    call()
    if seen := done_outside(call):
        raise Violation(
            f"a {'refused ' if refused else ''}call does something outside of its process",
            got="; ".join(seen)[:300],
            wanted="nothing",
            part="C16",
            script=partial(_program, probe, case, done_outside, refused),
        )
    if left := piles_up(call):
        raise Violation(
            f"{'refused ' if refused else ''}calls leave ever more behind",
            got=f"{left} with forty more calls, again and again",
            wanted="as many as before",
            part="C16",
            script=partial(_program, probe, case, piles_up, refused),
        )


def _program(probe: Probe, case: Case, asked: Callable[..., Any], refused: bool) -> str:
    source = Source()
    made = f"{case.function}(x_recon, x, mask{text.given(case)})"
    lines = ["def call():", "    with torch.no_grad():", f"        {made}"]
    if case.grads:
        pulled = f"    torch.autograd.grad(loss, [{', '.join(case.grads)}])"
        lines[1:] = [f"    loss = {made}", pulled]
    if refused:
        source.imports["import contextlib"] = None
        bad = f'{case.function}(x_recon, x, mask, reduction="none")'
        lines[1:] = ["    with contextlib.suppress(Exception):", f"        {bad}"]
    lines += ["", "call()", f"seen = {asked.__name__}(call)", "assert not seen, seen"]
    return shown(case, probe.subject.imports, lines, uses=(asked,), source=source)
