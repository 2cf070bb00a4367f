"""Other processes while something is timed: whether they work, and a way to hold them up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CALM = 0.1  # of one processor's time, used by others
_STAT = Path("/proc/stat")
_POLL_SECONDS = 0.25


def _used() -> tuple[float, float]:
    """Seconds of processor time that all processes have used so far, and that this one has."""
    _, user, nice, system, _, _, interrupts, *more = _STAT.read_text().split(maxsplit=9)
    ticks = sum(map(int, (user, nice, system, interrupts, more[0], more[1])))  # soft ones, stolen
    mine = os.times()
    ours = mine.user + mine.system + mine.children_user + mine.children_system
    return ticks / os.sysconf("SC_CLK_TCK"), ours


class Others:
    """While it is entered, watches; afterwards `share` tells what others used of a processor.

    Their time ÷ the time that passed: above 1 where they use several processors, None where the
    system does not tell. Children of this process count as others until they have ended.
    """

    share: float | None = None

    def __enter__(self) -> Others:
        """Start to watch."""
        self._started = time.perf_counter()
        self._before = _used() if _STAT.exists() else None
        return self

    def __exit__(self, *raised: object) -> None:
        """Work out the share."""
        if self._before is not None:
            everyone, ours = (now - then for now, then in zip(_used(), self._before, strict=True))
            passed = time.perf_counter() - self._started
            self.share = max(0.0, (everyone - ours) / passed)


def wait_until_calm(seconds: float) -> None:
    """Return as soon as others use little, or after so many seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        with Others() as others:
            time.sleep(_POLL_SECONDS)
        if others.share is None or others.share <= CALM:
            return


@contextmanager
def first_in_line(wanted: bool) -> Iterator[None]:
    """All threads of this process go before those of others, if wanted.

    It leaves others a twentieth of the time. Linux, for root: PermissionError for anyone else.
    """
    if wanted:
        _schedule(os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        if wanted:
            _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(thread), policy, os.sched_param(priority))
