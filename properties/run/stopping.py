"""Ctrl-C and SIGTERM: the run ends at once, says what it knows, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# The signal that ended the run, if any did. An exception alone would not do: a subject, and the
# properties that await its exceptions, may catch a KeyboardInterrupt.
requested: signal.Signals | None = None
# What ends the processes that this one has started.
_enders: list[Callable[[], None]] = []


@contextmanager
def heeded() -> Iterator[None]:
    """Within, the first signal raises KeyboardInterrupt in the main thread; a second one kills."""
    global requested
    requested = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    global requested
    requested = signal.Signals(number)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    for end in _enders:
        end()
    raise KeyboardInterrupt


def heed() -> None:
    """Raise KeyboardInterrupt once a signal has come, whatever became of the first one."""
    if requested is not None:
        raise KeyboardInterrupt


@contextmanager
def ending(end: Callable[[], None]) -> Iterator[None]:
    """Within, a signal calls `end` first; leaving calls it too."""
    _enders.append(end)
    try:
        yield
    finally:
        _enders.remove(end)
        end()


def end_group(leader: int) -> None:
    """Kill a process that leads a group, and all that it has started; no matter if they ended."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
