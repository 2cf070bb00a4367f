"""On whose threads `wavemae.fused` runs best: `python -m benchmarks.threads` prints a table.

Torch's own, threads of its own, a second OpenMP beside torch's (the C compiler's, if it has one),
and one thread: forward, float32, block masks, each situation in turns. A call is timed

- right after another one,
- after an operator of torch, whose threads then spin for a while,
- 10 ms after that, when all threads sleep,
- and after an operator, beside a process that keeps one processor busy.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import torch

from wavemae import fused
from wavemae.fused import native

from .calm import CALM, Others, wait_until_calm
from .workloads import Workload

SIZES = ((1024, 256), (1024, 2048))
CALLS = 60
OPERAND = torch.ones(2**20)
MOST_ATTEMPTS = 5


def pools() -> dict[str, int]:
    """Where each begins a parallel region; 0 stands for threads of its own."""
    found = dict(native._POOLS)
    answer = subprocess.run(["cc", "-print-file-name=libgomp.so.1"], capture_output=True, text=True)
    library = Path(answer.stdout.strip()).resolve()
    if library.is_absolute() and library.exists():
        begin = ctypes.CDLL(str(library)).GOMP_parallel
        found["a second OpenMP"] = ctypes.cast(begin, ctypes.c_void_p).value or 0
    return {**found, "one thread": 0}


@contextmanager
def busy_process() -> Iterator[None]:
    """A process beside this one that never rests."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def nothing() -> None:
    """Before a call that follows another one."""


def operator() -> None:
    """Before a call that follows one of torch's."""
    OPERAND.sum()


def operator_and_rest() -> None:
    """Before a call that finds all threads asleep."""
    OPERAND.sum()
    time.sleep(0.01)


def microseconds(
    addresses: dict[str, int], workload: Workload, before: Callable[[], None]
) -> dict[str, list[float]]:
    """Of each call, sorted, for each pool; all take turns."""
    turn, threads = cycle(workload.inputs()), torch.get_num_threads()
    found: dict[str, list[float]] = {name: [] for name in addresses}
    for _ in range(4):
        for name, address in addresses.items():
            native._kernels.share(address)
            torch.set_num_threads(1 if name == "one thread" else threads)
            for number in range(CALLS // 4 + 2):
                inputs = next(turn)
                before()
                started = time.perf_counter()
                fused.masked_mse(*inputs)
                if number >= 2:  # what the one before has left behind is over
                    found[name].append((time.perf_counter() - started) * 1e6)
            torch.set_num_threads(threads)
    native.use_pool(native.pools()[0])
    return {name: sorted(times) for name, times in found.items()}


def undisturbed(
    addresses: dict[str, int], workload: Workload, before: Callable[[], None]
) -> dict[str, list[float]]:
    """The same, again where other processes were at work."""
    attempts = 0
    while True:
        attempts += 1
        wait_until_calm(20)
        with Others() as others:
            found = microseconds(addresses, workload, before)
        if (others.share or 0) <= CALM:
            return found
        if attempts == MOST_ATTEMPTS:
            print(f"(disturbed: others used {others.share or 0:.0%} of a processor)")
            return found


def print_line(situation: str, workload: Workload, found: dict[str, list[float]]) -> None:
    """Median, and in brackets the time that one call in ten exceeds."""
    cells = (f"{t[len(t) // 2]:.0f} ({t[len(t) * 9 // 10]:.0f})" for t in found.values())
    size = f"{workload.batch}×{workload.length}"
    print(f"| {situation} | {size} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """A line for each situation and size."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    addresses = pools()
    print(f"{native.status()}; {torch.get_num_threads()} threads; µs: median (9 of 10 are below)\n")
    print(f"| a call | size | {' | '.join(addresses)} |")
    print("| --- " * (2 + len(addresses)) + "|")
    for batch, length in SIZES:
        workload = Workload("cpu", "float32", batch, length, "blocks", "forward")
        for situation, before in (
            ("after another", nothing),
            ("after an operator of torch", operator),
            ("10 ms later", operator_and_rest),
        ):
            print_line(situation, workload, undisturbed(addresses, workload, before))
        with busy_process():
            found = microseconds(addresses, workload, operator)
        print_line("after an operator, beside a busy process", workload, found)


if __name__ == "__main__":
    main()
