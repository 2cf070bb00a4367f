"""A checker on the corpus, each entry in a process of its own, which may hang, crash or be odd.

from wavemae.corpus.trial import trial

def checker(entry):
    assert_close(entry.masked_mse(x_recon, x, mask), wanted)

if __name__ == "__main__":
    for verdict in trial(checker):
        print(verdict.entry.id, verdict.entry.wrong, verdict.blamed, verdict.reason)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from . import Entry, corpus

__all__ = ["Verdict", "trial"]

_LOSSES = ("wavemae.corpus.wrong", "wavemae.corpus.right")


@dataclass(frozen=True)
class Verdict:
    """What a checker made of an entry.

    Attributes:
        entry: that was checked.
        blamed: the checker raised, or the process did not live to its end.
        reason: what was raised, or how the process ended.
        answer: what the checker returned, if it did.
        seconds: that it took.
    """

    entry: Entry
    blamed: bool
    reason: str
    answer: Any
    seconds: float


def trial(
    checker: Callable[[Entry], Any],
    entries: Iterable[Entry] = corpus,
    *,
    seconds: float = 60.0,
    workers: int | None = None,
    preload: Sequence[str] = (),
) -> Iterator[Verdict]:
    """Run `checker(entry)` on each entry, and yield the verdicts in the order of the entries.

    Args:
        checker: raises where it finds something. A function of a module, so that other processes
            can import it.
        entries: to check; all, unless told otherwise.
        seconds: after which a process is ended, and its entry counts as blamed.
        workers: how many processes at a time; as many as there are cores, unless told otherwise.
        preload: modules that the checker needs and that take long to import; loaded once, before
            the first process, where the platform can fork.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["__main__", *_LOSSES, *preload])

    def judged(entry: Entry) -> Verdict:
        return _in_process(context, checker, entry, seconds)

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as threads:
        yield from threads.map(judged, entries)


def _in_process(
    context: Any, checker: Callable[[Entry], Any], entry: Entry, seconds: float
) -> Verdict:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, checker, entry))
    started = time.perf_counter()
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return Verdict(entry, True, f"no end after {seconds:g} s", None, seconds)
        blamed, reason, answer, taken = receiver.recv()
        return Verdict(entry, blamed, reason, answer, taken)
    except EOFError:
        process.join()
        reason = f"the process ended with {process.exitcode}"
        return Verdict(entry, True, reason, None, time.perf_counter() - started)
    finally:
        _end(process)
        receiver.close()


def _end(process: Any) -> None:
    """The process and, where there are groups of processes, what it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # gone, or not yet a group of its own
            process.kill()
    else:
        process.kill()
    process.join()
    process.close()


def _work(sender: Connection, checker: Callable[[Entry], Any], entry: Entry) -> None:
    """What a process does: load, check, send."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    for stream in (1, 2):  # some losses print
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    for module in _LOSSES:
        import_module(module)
    answer, reason = None, ""
    started = time.perf_counter()
    try:
        answer = checker(entry)
    except BaseException as error:  # a loss may end the process, too
        reason = f"{type(error).__name__}: {error}"
    sender.send((bool(reason), reason, answer, time.perf_counter() - started))
    sender.close()
    os._exit(0)  # whatever threads a loss has left behind
