"""The gate notices a slow-down that is planted, in real measurements."""

from __future__ import annotations

import pytest

from . import gate
from .implementations import DEFINITION, IMPLEMENTATIONS
from .measure import fastest, measure
from .workloads import PHASES, Phase, Workload


@pytest.mark.filterwarnings("default")  # as in test_losses.py
@pytest.mark.parametrize("phase", PHASES)
def test_planted_slow_down_is_noticed(phase: Phase, scope: str) -> None:
    """Twice the work fails on both ratios; the same work does not fail, at the third try or before.

    A machine may be busy for a moment, as in the gate itself.
    """
    if scope != "gate":
        pytest.skip("the gate is not in use")
    workload = Workload("cpu", "float32", 256, 256, "blocks", phase)
    chosen = {name: IMPLEMENTATIONS[name] for name in (DEFINITION.name, "F.mse_loss, weight")}

    def ratios(planted: str | None = None) -> dict[str, float]:
        timings = measure(workload, chosen, budget=2.0, planted=planted)
        return gate.ratios("", fastest(timings), [DEFINITION.name], ["F.mse_loss, weight"])

    recorded = ratios()
    assert len(gate.complaints(ratios(planted=DEFINITION.name), recorded)) == len(recorded) == 2
    assert any(not gate.complaints(ratios(), recorded) for _ in range(3))
