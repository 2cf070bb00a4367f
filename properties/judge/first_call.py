"""A process that begins with calls of another kind: what is set up once is set up there."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.source import remembered
from . import ambient, ways
from .acts import Call
from .midway import midway
from .probe import Probe
from .program import Context
from .situation import Situation

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


def _after(identifier: str, before: Callable[..., None], quiet: bool = True) -> Situation:
    return Situation(
        identifier,
        wrap=ways.after(before),
        array="small",
        large=False,
        simplify=False,
        fresh=True,
        quiet=quiet,
    )


def _midway(number: int, dtype: str) -> Situation:
    """The first two calls at once, the other one begun first, and standing at that line."""
    return Situation(
        "C16-midway",
        wrap=midway(number, number + 1),
        array="few",
        only=lambda case: case.x.dtype == dtype,
        watched=False,
        large=False,
        simplify=False,
        fresh=True,
    )


# By the property that asks the same of calls that are not the first; with the claim that it needs.
_MADE = (
    ("data_independent", _after("C17-meta", on_meta)),
    ("data_independent", _after("C17-fake", on_fake)),
    ("transforms", _after("C19-vmap", mapped)),
    ("", _after("C16-default-device", within(partial(torch.device, "meta")))),
    ("", _after("C16-default-float16", within(ways.default_dtype(torch.float16)))),
    ("", _after("C16-autocast", within(partial(torch.autocast, "cpu", dtype=torch.bfloat16)))),
    ("", _after("C16-inference-mode", within(torch.inference_mode))),
    ("", _after("C16-no-grad", within(torch.no_grad))),
    ("compile", _after("C18-compile", once(compiled), quiet=False)),
    *(
        ("", _midway(number, dtype))
        for number, dtype in zip(
            (*range(1, 60, 2), *range(60, 180, 8)), itertools.cycle(("float16", "float64"))
        )
    ),
)
# The subject itself is imported there, and called where the default is another one again.
_IMPORTED = Situation("C16-default-dtype", array="small", large=False, simplify=False, fresh=True)
FIRST = {found.id: found for found in (*(found for _, found in _MADE), _IMPORTED)}


def begins_right(loaded: Callable[[], Probe], told: Callable[[Probe, Situation], bool]) -> bool:
    """Whether `told`, called in a fork of this process for each of them, tells of no violation.

    There torch has imported what it imports at first use, and the subject is `loaded`; here they
    are not, nor was the engine of backward used, of which a fork could make no use where there is
    a GPU. Where there are no forks to be had, none is tried.
    """
    return sys.platform != "linux" or not _forked(partial(_told_of_any, loaded, told))


def _told_of_any(loaded: Callable[[], Probe], told: Callable[[Probe, Situation], bool]) -> bool:
    ambient.import_torch()

    def tried(claim: str, found: Situation, dtype: torch.dtype = torch.float32) -> bool:
        signal.alarm(_PATIENCE)
        with ways.default_dtype(dtype)():
            probe = loaded()  # in each fork, since others have none of the threads that it starts
        return (not claim or getattr(probe.claims, claim)) and told(probe, found)

    tries = [partial(tried, *made) for made in _MADE]
    tries += [partial(tried, "", _IMPORTED, dtype) for dtype in (torch.float64, torch.float16)]
    until = time.monotonic() + _ALL
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
