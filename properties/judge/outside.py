"""What a call does outside of its process: files written, processes started, connections made."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from ..inputs import text
from ..inputs.cases import Case
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


def acts_outside(probe: Probe) -> None:
    """Raise if a call does something outside of its process: not the first, which makes code."""
    for number, function in enumerate(probe.subject.functions):
        case = probe.without_gradients(
            probe.fit(Case(function=function, shape=(2, 3), salt=number, grads=("x_recon", "x")))
        )

        def call(case: Case = case) -> None:
            loss, inputs = probe.loss(case)
            if case.grads:
                probe.pull(case, loss, inputs)

        call()
        seen = done_outside(call)
        if seen:
            raise Violation(
                "a call does something outside of its process",
                got="; ".join(seen)[:300],
                wanted="nothing",
                part="C16",
                script=partial(_program, probe, case),
            )


def _program(probe: Probe, case: Case) -> str:
    source = Source()
    lines = ["def call():", f"    loss = {case.function}(x_recon, x, mask{text.given(case)})"]
    if case.grads:
        lines += [f"    torch.autograd.grad(loss, [{', '.join(case.grads)}])"]
    lines += ["", "call()", "seen = done_outside(call)", "assert not seen, seen"]
    return shown(case, probe.subject.imports, lines, uses=(done_outside,), source=source)
