"""One benchmark for each implementation on each workload; see measure.py for how it is timed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from .implementations import IMPLEMENTATIONS
from .measure import Timing
from .recorded_clock import CLOCK, hand_over
from .workloads import Workload


@pytest.mark.filterwarnings("default")  # peers and compilers may warn: it is told, and no error
@pytest.mark.benchmark(timer=CLOCK)
def test_loss(
    benchmark: BenchmarkFixture,
    measured: tuple[Workload, Mapping[str, Timing]],
    name: str,
    assert_gate: Callable[[str, str], None],
) -> None:
    """Time and memory of one implementation; under the gate, no slower than recorded."""
    workload, timings = measured
    assert_gate(workload.id, name)
    timing = timings[name]
    if timing.failure:
        pytest.skip(f"not measured: {timing.failure}")
    median = statistics.median(timing.seconds)
    benchmark.group = workload.id
    benchmark.extra_info.update(
        implementation=name,
        device=workload.device,
        dtype=workload.dtype,
        size=f"{workload.batch}×{workload.length}",
        elements=workload.elements,
        mask=workload.mask,
        phase=workload.phase,
        kind=IMPLEMENTATIONS[name].kind if name in IMPLEMENTATIONS else "bound",
        cold=workload.cold,
        input_bytes=workload.input_bytes,
        times_floor=median / statistics.median(timings["floor"].seconds),
        gb_per_second=workload.moved_bytes / median / 1e9,
        elements_per_second=workload.elements / median,
        extra_bytes=timing.extra_bytes,
        compile_seconds=timing.compile_seconds,
        relative_error=timing.relative_error,
        others=timing.others,
    )
    hand_over(benchmark, timing.seconds)
