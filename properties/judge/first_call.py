"""A process that begins with calls of another kind: what is set up once is set up there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.source import remembered
from . import ambient, answers, ways
from .acts import Call
from .probe import Probe
from .program import Context
from .situation import Situation

Told = Callable[[Probe, Situation, int], bool]
_VIOLATED = 173  # exit code of a fork that has told a violation
_PATIENCE = 10  # seconds for a fork; one that takes longer has told nothing
_ALL = 30  # seconds after which none is begun any more


def on_meta(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same call on meta tensors."""
    loss(*(torch.empty_like(t, device="meta") for t in (x_recon, x, mask)), **named)


def on_fake(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same call on fake tensors, as a compiler makes it."""
    with internals.fake_mode() as mode:
        given = [mode.from_tensor(t.detach().contiguous()) for t in (x_recon, x, mask)]
        loss(*given, **named)


def mapped(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same call for two samples at once."""
    given = [torch.stack([t.detach(), t.detach()]) for t in (x_recon, x, mask)]
    torch.func.vmap(partial(loss, **named))(*given)


def compiled(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same call, compiled."""
    made = torch.compile(partial(loss, **named), backend="eager", dynamic=True)
    made(x_recon.detach(), x.detach(), mask)


@remembered
def once(before: Callable[..., None]) -> Callable[..., None]:
    """It happens before the first call alone, since it takes a second."""
    left = [before]

    def call(*arguments: Any, **named: Any) -> None:
        if left:
            left.pop()(*arguments, **named)

    return call


@remembered
def within(context: Context) -> Callable[..., None]:
    """The same call inside a context."""

    def call(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
        with context():
            loss(x_recon.detach(), x.detach(), mask, **named)

    return call


@dataclass(frozen=True)
class Beginning:
    """How a process begins.

    Attributes:
        found: how its first call is made, with the id of the property that asks the same of calls
            that are not the first.
        needs: the claim that it needs.
        imported: the default dtype while the subject is imported.
        turn: where the first call is in the first dtype that is claimed, and in the last, by turns.
    """

    found: Situation
    needs: str = ""
    imported: torch.dtype = torch.float32
    turn: int | None = None

    def imports(self, line: str) -> str:
        """The line that imports the subject, as the process begins with it."""
        if self.imported is torch.float32:
            return line
        around = [f"torch.set_default_dtype({dtype})" for dtype in (self.imported, torch.float32)]
        return "\n".join([around[0], line, around[1]])


def _called(identifier: str, **given: Any) -> Situation:
    given = {"array": "small", "large": False, "simplify": False, "fresh": True, **given}
    return Situation(identifier, **given)


def _after(identifier: str, before: Callable[..., None], **given: Any) -> Situation:
    return _called(identifier, wrap=ways.after(before), **given)


def _midway(number: int) -> Situation:
    """The first two calls at once, the other one begun first, and standing before that line."""
    derive = partial(answers.beside_another, numbers=(number,))
    return _called("C16-midway", derive=derive, array="few", watched=False)


# Nearly all lines that a call may have, and all over it in the first few of them.
_LINES = [number for first in (0, 4, 2, 6) for number in range(first, 96, 8)]
BEGINNINGS = (
    Beginning(_after("C17-meta", on_meta), "data_independent"),
    Beginning(_after("C17-fake", on_fake), "data_independent"),
    Beginning(_after("C19-vmap", mapped), "transforms"),
    Beginning(_after("C16-default-device", within(partial(torch.device, "meta")))),
    Beginning(_after("C16-default-float16", within(ways.default_dtype(torch.float16)))),
    Beginning(_after("C16-autocast", within(partial(torch.autocast, "cpu", dtype=torch.bfloat16)))),
    Beginning(_after("C16-inference-mode", within(torch.inference_mode))),
    Beginning(_after("C16-no-grad", within(torch.no_grad))),
    Beginning(_after("C18-compile", once(compiled), quiet=False), "compile"),
    Beginning(_called("C16-default-dtype"), imported=torch.float64),
    *(Beginning(_midway(number), turn=turn) for turn, number in enumerate(_LINES)),
)


def begins_right(loaded: Callable[[], Probe], told: Told) -> bool:
    """Whether `told`, called in a fork for each beginning, by its number, tells of no violation.

    There torch has imported what it imports at first use, and the subject is `loaded`; here they
    are not, nor was the engine of backward used, of which a fork could make no use where there is
    a GPU. Where there are no forks to be had, none is tried.
    """
    return sys.platform != "linux" or not _forked(partial(_told_of_any, loaded, told))


def _told_of_any(loaded: Callable[[], Probe], told: Told) -> bool:
    ambient.import_torch()

    def tried(number: int, begun: Beginning) -> bool:
        signal.alarm(_PATIENCE)
        try:
            with ways.default_dtype(begun.imported)():
                probe = loaded()  # in each fork, since others have none of the threads it starts
        except Exception:
            if begun.imported is torch.float32:
                raise
            return False  # it, or what it imports, cannot be imported there
        if begun.needs and not getattr(probe.claims, begun.needs):
            return False
        found = begun.found
        if begun.turn is not None:
            dtype = probe.claims.dtypes[-(begun.turn % 2)]
            found = replace(found, only=lambda case: case.x.dtype == dtype)
        return told(probe, found, number)

    until = time.monotonic() + _ALL
    tries = [partial(tried, *numbered) for numbered in enumerate(BEGINNINGS)]
    return any(_forked(each) for each in tries if time.monotonic() < until)


def _forked(told: Callable[[], bool]) -> bool:
    """What it returns in a fork of this process. One that dies takes this process with it."""
    child = os.fork()
    if child == 0:
        os._exit(_VIOLATED if told() else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGALRM:
        return False
    if code < 0:
        os.kill(os.getpid(), -code)
    if code not in (0, _VIOLATED):
        os._exit(code)
    return code == _VIOLATED
