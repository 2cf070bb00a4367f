"""What grows with the number of calls is found, and what comes to an end is not."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from wavemae.properties import load_subject
from wavemae.properties.judge.outside import acts_outside, piles_up
from wavemae.properties.judge.probe import Probe
from wavemae.properties.judge.violation import Violation

from ..mutants.pieces.alone import alone


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("notes_each_call", "a call does something outside of its process"),
        ("looks_in_a_while", "calls leave ever more behind"),
        ("leaves_a_file_open", "calls leave ever more behind"),
    ],
)
def test_it_is_found(name: str, what: str) -> None:
    """As the other Python of C16-own-process finds it."""
    probe = Probe(load_subject(alone(name)))
    with pytest.raises(Violation) as found:
        acts_outside(probe)
    assert (found.value.what, found.value.part) == (what, "C16")
    for thread in threading.enumerate():  # or they end while other tests count
        if isinstance(thread, threading.Timer):
            thread.cancel()
            thread.join()


def test_the_definition_does_nothing() -> None:
    """And leaves nothing behind."""
    acts_outside(Probe(load_subject("wavemae.models.losses")))


def _thread_of_each_call() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _thread_that_ends_soon() -> None:
    threading.Timer(0.05, int).start()


def _file_of_each_call() -> None:
    with open(os.devnull) as file:
        file.read()


def _growing(most: int, pool: list[ThreadPoolExecutor]) -> None:
    if not pool:
        pool.append(ThreadPoolExecutor(most))
    pool[0].submit(threading.Event().wait, 0.01)


def test_what_comes_to_an_end_is_no_finding() -> None:
    """Threads and files of a call, and a pool that is still growing when it is looked at."""
    for call in (_thread_of_each_call, _thread_that_ends_soon, _file_of_each_call):
        assert piles_up(call) == "", call
    pool: list[ThreadPoolExecutor] = []
    assert piles_up(lambda: _growing(100, pool)) == ""
    pool[0].shutdown()


@pytest.mark.parametrize("every", [1, 3])
def test_what_stays_is(every: int) -> None:
    """Be it with every third call only."""
    number, over = itertools.count(), threading.Event()
    started: list[threading.Thread] = []
    files: list[int] = []

    def thread() -> None:
        started.append(threading.Thread(target=over.wait, daemon=True))
        started[-1].start()

    def file() -> None:
        files.append(os.open(os.devnull, os.O_RDONLY))

    def seldom(act: Callable[[], None]) -> Callable[[], None]:
        return lambda: None if next(number) % every else act()

    try:
        assert "more threads" in piles_up(seldom(thread))
        if os.path.isdir("/proc/self/fd"):
            assert "more open files" in piles_up(seldom(file))
    finally:
        over.set()
        for each in started:
            each.join()
        for descriptor in files:
            os.close(descriptor)
