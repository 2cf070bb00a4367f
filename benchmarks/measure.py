"""Measures one workload: all implementations and the floor in turns, so that drift hits all alike.

One round times each of them once, in an order drawn anew for each round. A sample is the mean of as
many calls as fill `SAMPLE_SECONDS`; the inputs rotate from call to call. A ratio to the floor is
taken within a round, and its median over the rounds is what counts. Rounds during which other
processes were at work are repeated, a few times at most.
"""

from __future__ import annotations

import gc
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import torch
from torch import Tensor

from .calm import CALM, Others, first_in_line, wait_until_calm
from .floor import floor, one_pass
from .implementations import DEFINITION, Implementation
from .workloads import ONE_PASS, Inputs, Step, Workload

SAMPLE_SECONDS = 0.002
MOST_CALLS = 1000
FEWEST_ROUNDS, MOST_ROUNDS = 7, 25
MOST_CHECKED = 2**24  # elements
MOST_ATTEMPTS, MOST_WAITING = 3, 20.0  # to time undisturbed; seconds to wait before each


@dataclass
class Timing:
    """What came of one implementation on one workload.

    Attributes:
        failure: why there are no samples, or None.
        seconds: of one call, per round.
        extra_bytes: the most memory beyond the inputs held at once in one call, result included.
        compile_seconds: of the first call, where that compiles.
        relative_error: of the loss or, in the second phase, the gradient, against float64.
        others: what other processes used of a processor meanwhile, None where it is not known.
    """

    failure: str | None = None
    seconds: list[float] = field(default_factory=list)
    extra_bytes: int = 0
    compile_seconds: float | None = None
    relative_error: float | None = None
    others: float | None = None


def measure(
    workload: Workload,
    implementations: Mapping[str, Implementation],
    budget: float,
    planted: str | None = None,
    priority: bool = False,
) -> dict[str, Timing]:
    """Timings by name, those of the floors among them, of rounds that take some `budget` seconds.

    Args:
        workload: on what.
        implementations: which; a peer that raises gets its error as `failure`, ours must not.
        budget: seconds to spend on the rounds, beyond the fewest that are always run.
        planted: name of an implementation that is made to do everything twice.
        priority: whether other processes are held up meanwhile, for seconds at a time.
    """
    copies = workload.inputs()
    exact = _exact(workload, copies[0])
    torch.compiler.reset()
    bounds = {"floor": floor(workload.phase)}
    if workload.phase != "forward":
        bounds[ONE_PASS] = one_pass
    timings = {name: Timing() for name in (*bounds, *implementations)}
    steps: dict[str, Step] = {}
    for name, timing in timings.items():
        try:
            if name in bounds:
                step = bounds[name]
            else:
                step = implementations[name].step(workload.phase)
                timing.compile_seconds = _first_call(step, copies[0], implementations[name])
                timing.relative_error = _relative_error(step(*copies[0]), exact)
            timing.extra_bytes = _extra_bytes(step, workload.device, copies[0])
        except Exception as error:
            theirs = name not in bounds and implementations[name].kind == "peer"
            if not theirs and not isinstance(error, (ImportError, torch.OutOfMemoryError)):
                raise
            timing.failure = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        else:
            steps[name] = _twice(step) if name == planted else step
    if "floor" in steps:
        _take_turns(workload, copies, steps, timings, budget, priority)
    return timings


def _take_turns(
    workload: Workload,
    copies: list[Inputs],
    steps: Mapping[str, Step],
    timings: Mapping[str, Timing],
    budget: float,
    priority: bool,
) -> None:
    """Rounds, and the calmest if others disturb them."""
    calmest = float("inf")
    for _ in range(MOST_ATTEMPTS):
        wait_until_calm(0.0 if priority else MOST_WAITING)
        with Others() as others, first_in_line(priority):
            seconds = _rounds(workload, copies, steps, budget)
        share = others.share or 0.0
        if share < calmest:
            calmest = share
            for name, samples in seconds.items():
                timings[name].seconds, timings[name].others = samples, others.share
        if share <= CALM:
            return


def fastest(timings: Mapping[str, Timing]) -> dict[str, float]:
    """Seconds of the fastest round, by name; what has none is left out."""
    return {name: min(timing.seconds) for name, timing in timings.items() if timing.seconds}


def _twice(step: Step) -> Step:
    def slow(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        step(x_recon, x, mask)
        return step(x_recon, x, mask)

    return slow


def _first_call(step: Step, inputs: Inputs, implementation: Implementation) -> float | None:
    """Seconds, if it is the call that compiles."""
    started = time.perf_counter()
    step(*inputs)
    return time.perf_counter() - started if implementation.compiled else None


def _exact(workload: Workload, inputs: Inputs) -> Tensor | None:
    """What a step should return, in float64; None where that would fill the memory."""
    if workload.elements > MOST_CHECKED:
        return None
    x_recon, x, mask = inputs
    return DEFINITION.step(workload.phase)(x_recon.double(), x.double(), mask)


def _relative_error(got: Tensor, exact: Tensor | None) -> float | None:
    if exact is None:
        return None
    error = float((got.detach().double() - exact).norm())
    size = float(exact.norm())
    return error / size if size else error


def _rounds(
    workload: Workload, copies: list[Inputs], steps: Mapping[str, Step], budget: float
) -> dict[str, list[float]]:
    """Seconds of one call, per round, by name."""
    turn = cycle(copies)
    calls, seconds = {}, {}
    for name, step in steps.items():
        once = _seconds(step, turn, 1, workload.device)
        calls[name] = min(MOST_CALLS, max(1, round(SAMPLE_SECONDS / once)))
        seconds[name] = once * calls[name]
    rounds = min(MOST_ROUNDS, max(FEWEST_ROUNDS, int(budget / sum(seconds.values()))))
    order = random.Random(0)
    found: dict[str, list[float]] = {name: [] for name in steps}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in order.sample(sorted(steps), len(steps)):
                found[name].append(_seconds(steps[name], turn, calls[name], workload.device))
    finally:
        gc.enable()
    return found


def _seconds(step: Step, turn: Iterator[Inputs], calls: int, device: str) -> float:
    """Of one call, the mean of so many: wall time on the CPU, between two events on a GPU."""
    batch = [next(turn) for _ in range(calls)]
    if device == "cpu":
        started = time.perf_counter()
        for inputs in batch:
            step(*inputs)
        return (time.perf_counter() - started) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for inputs in batch:
        step(*inputs)
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000 / calls


def _extra_bytes(step: Step, device: str, inputs: Inputs) -> int:
    """The peak of what the allocator gave out during one call, by torch's own accounts."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(*inputs)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step(*inputs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    steps = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]")
    held = peak = 0
    for _, change in steps:
        held += change
        peak = max(peak, held)
    return int(peak)
