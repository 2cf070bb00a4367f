"""A call while another one, in another thread, stands before one of its lines after another."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .acts import Call, Found, Names, pull, reverse
from .bits import same_bits

_SUITE = __name__.removesuffix(".judge.midway")
_PATIENCE = 0.03  # seconds for a call that may wait for what the other one holds
_WAITS = 8  # in a row; then it seems to be a lock around it all
_TIME = 0.5  # seconds that are spent on one pair of calls, or a little more


def foreign(frame: Any) -> bool:
    """Whether it runs code of torch's, Python's or the suite's, and not of the loss."""
    file = frame.f_code.co_filename
    python, of_torch = (os.path.dirname(module.__file__ or "") for module in (threading, torch))
    module = frame.f_globals.get("__name__") or ""
    return (
        file.startswith((of_torch + os.sep, "<frozen"))
        or (file.startswith(python + os.sep) and "-packages" not in file)
        or file == Stop.__call__.__code__.co_filename
        or module.startswith(_SUITE)
    )


class Stop:
    """Traces the lines of a call, and acts before one of them: by its place among those noted.

    Of a line that is run over and over the first two times are noted.
    """

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.number, self.act, self.noted = number, act, 0
        self.times: dict[Any, int] = {}

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        if foreign(frame):
            return None
        line = frame.f_code, frame.f_lineno
        if event == "line" and self.times.get(line, 0) < 2:
            self.times[line] = self.times.get(line, 0) + 1
            self.noted += 1
            if self.noted == self.number + 1:
                self.act()
        return self


class Other:
    """A call in another thread, which stands before one of its lines until told to go on."""

    def __init__(self, called: Callable[[], Any], number: int) -> None:
        self.called, self.waited, self.result = called, False, None
        self.error: Exception | None = None
        self.standing, self.told = threading.Event(), threading.Event()
        self.stop = Stop(number, self.stand)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.standing.wait()

    def stand(self) -> None:
        self.standing.set()
        self.waited = not self.told.wait(_PATIENCE)

    def run(self) -> None:
        sys.settrace(self.stop)
        try:
            self.result = self.called()
        except Exception as error:
            self.error = error
        finally:
            sys.settrace(None)
            self.standing.set()

    def go_on(self) -> None:
        """Let it come to its end, unless that waits for this thread."""
        self.told.set()
        self.thread.join(_PATIENCE)
        self.waited = self.waited or self.thread.is_alive()

    def ended(self) -> Any:
        """What it gives, once it has come to its end."""
        self.thread.join()
        if self.error is not None:
            raise self.error
        return self.result


def beside(
    called: Callable[[], Any], other: Callable[[], Any], number: int, both: bool
) -> tuple[Any, Other]:
    """What a call gives beside another one that stands before a line, and that one, at its end.

    With `both` it stands before such a line itself until the other one has ended.
    """
    standing = Other(other, number)
    traced = sys.gettrace()
    if both:
        sys.settrace(Stop(number, standing.go_on))
    try:
        found = called()
    finally:
        if both:
            sys.settrace(traced)
        standing.go_on()
        standing.thread.join()  # before an exception of this call comes out
    standing.ended()
    return found, standing


def interleaved(call: Callable[[], object], most: int) -> None:
    """The call in a new thread, and once more in another, which begins later and ends later.

    The first one stands before a line until the second one has come as far: so many times, or less.
    """
    waits, lines = 0, spread(call)
    for number in lines[:: -(-len(lines) // most) or 1]:
        with ThreadPoolExecutor(1) as new:
            _, standing = new.submit(beside, call, call, number, True).result()
        waits = waits + 1 if standing.waited else 0
        if waits >= _WAITS:
            break


def left() -> Found:
    """The modes of this thread, as a call has left them."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "CPU autocast": torch.is_autocast_enabled("cpu"),
        "CUDA autocast": torch.is_autocast_enabled("cuda"),
    }


def same(found: Any, wanted: Any) -> bool:
    """The same bits of a tensor, or else an equal value."""
    both = isinstance(found, Tensor) and isinstance(wanted, Tensor)
    return same_bits(found, wanted) if both else bool(found == wanted)


def spread(called: Callable[[], Any], first: int = 0) -> Sequence[int]:
    """Numbers of the lines of a call: all, or as many of them as there is time for.

    Which ones these are, `first` decides.
    """
    watch, began = Other(called, sys.maxsize), time.monotonic()
    watch.ended()
    lines, taken = watch.stop.noted, time.monotonic() - began
    most = max(6, int(_TIME / (4 * taken + 1e-3)))
    step = -(-lines // most) or 1
    return range(first % step, lines, step)


def elsewhere(inputs: Any, more: int) -> list[Tensor]:
    """Inputs with so many rows more, with other contents.

    Where the shape is another one, x_recon and x are in each other's place.
    """
    longer = [t.new_full((len(t) + more, t.shape[1]), n) for n, t in enumerate(inputs)]
    for tensor, like in zip(longer, inputs, strict=True):
        tensor[more:] = like.detach()  # under autocast, cat takes no float64
    given = [-longer[more], longer[1 - more], ~longer[2]]  # no difference is the same
    for tensor, like in zip(given, inputs, strict=True):
        tensor.requires_grad_(like.requires_grad)
    return given


def midway(
    call: Call,
    inputs: Any,
    names: Names,
    upstream: float,
    reduction: str | None,
    numbers: Sequence[int] | None = None,
    first: int = 0,
) -> Found:
    """The call and its backward while another call, or its backward, stands before a line.

    Then the same, but that the call stands before a line itself until the other one has ended. The
    other one has other inputs, and this reduction where one is given. "disturbed" says what it
    then gives, or in which modes it leaves its thread, and does not so alone.
    """
    others = [elsewhere(inputs, more) for more in (0, 1)]
    named = {} if reduction is None else {"reduction": reduction}

    def other(more: int = 1) -> Found:
        loss = call(*others[more], **named)
        return {"loss": loss, **pull(loss, others[more], names, upstream), **left()}

    results: list[Any] = []
    found, waits = None, 0
    until = time.monotonic() + 3 * _TIME
    for number in spread(other, first) if numbers is None else numbers:
        for both in (False, True):
            more = (number + both) % 2
            found, standing = beside(
                lambda: reverse(call, inputs, names, upstream), partial(other, more), number, both
            )
            results.append((more, standing.result))
            waits = waits + 1 if standing.waited else 0
        if waits >= _WAITS or time.monotonic() > until:
            break
    alone = [Other(partial(other, more), sys.maxsize).ended() for more in (0, 1)]
    disturbed = [
        f"its {name} is {result.get(name)}, and alone {value}"
        for more, result in results
        for name, value in alone[more].items()
        if not same(result.get(name), value)
    ]
    return {**(found or reverse(call, inputs, names, upstream)), "disturbed": disturbed[:1]}
