"""The clock that pytest-benchmark reads: it shows samples that were taken before, in turns.

pytest-benchmark runs one benchmark after the other, and whatever the machine does meanwhile would
be told as a difference between them. So all are timed in turns, and handed over afterwards.
"""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture


class _RecordedClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def reset(self) -> None:
        self.now = 0.0

    def show(self, samples: list[float]) -> None:
        self.now = samples.pop(0)


CLOCK = _RecordedClock()


def hand_over(benchmark: BenchmarkFixture, samples: list[float]) -> None:
    """One round for each sample, in seconds; the test has to be marked `benchmark(timer=CLOCK)`."""
    benchmark.pedantic(CLOCK.show, args=([*samples],), setup=CLOCK.reset, rounds=len(samples))
