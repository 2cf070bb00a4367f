"""The gate of the benchmarks, on given times: nothing is timed here."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
GATE = runpy.run_path(str(BENCHMARKS / "gate.py"))
SECONDS = {"floor": 1.0, "ours": 3.0, "theirs": 6.0, "theirs, too": 4.0}
RECORDED = {"cell: ours / best peer": 0.75, "cell: ours / floor": 3.0}


def ratios(**changed: float) -> dict[str, float]:
    """Those of SECONDS, some of them changed."""
    seconds = {**SECONDS, **changed}
    found: dict[str, float] = GATE["ratios"]("cell", seconds, ["ours"], ["theirs", "theirs, too"])
    return found


def complaints(measured: dict[str, float], recorded: dict[str, float]) -> dict[str, str]:
    """What the gate says."""
    found: dict[str, str] = GATE["complaints"](measured, recorded)
    return found


def test_ratios_are_to_the_floor_and_to_the_best_peer() -> None:
    """The best peer is the fastest one; a peer that failed is none."""
    assert ratios() == RECORDED
    assert GATE["ratios"]("cell", {"floor": 1.0, "ours": 3.0}, ["ours"], ["theirs"]) == {
        "cell: ours / floor": 3.0
    }


@pytest.mark.parametrize("factor", [0.1, 1.0, 1.49, 40.0])
def test_a_machine_that_is_slower_altogether_passes(factor: float) -> None:
    """Only ratios count, never a time."""
    slower = {name: seconds * factor for name, seconds in SECONDS.items()}
    assert complaints(ratios(**slower), RECORDED) == {}


def test_within_the_margin_passes_and_beyond_it_fails() -> None:
    """The margin is 1.5, on each of the two ratios."""
    assert GATE["MARGIN"] == 1.5
    assert complaints(ratios(ours=4.4), RECORDED) == {}
    assert complaints(ratios(ours=4.6), RECORDED) == {
        "cell: ours / floor": "cell: ours / floor is 4.60, recorded is 3.00; "
        "at most 1.5 times that is allowed, 4.50",
        "cell: ours / best peer": "cell: ours / best peer is 1.15, recorded is 0.75; "
        "at most 1.5 times that is allowed, 1.12",
    }


def test_either_ratio_alone_fails() -> None:
    """A floor that got faster, or a peer that did."""
    assert list(complaints(ratios(floor=0.5), RECORDED)) == ["cell: ours / floor"]
    assert list(complaints(ratios(theirs=1.0), RECORDED)) == ["cell: ours / best peer"]


def test_what_stands_on_one_side_only_fails() -> None:
    """Neither an implementation without a record nor one that is gone slips through."""
    assert "no ratio is recorded" in complaints(RECORDED, {})["cell: ours / floor"]
    assert "was not measured" in complaints({}, RECORDED)["cell: ours / floor"]


def test_record_is_read_back_and_keeps_other_cells(tmp_path: Path) -> None:
    """A GPU's ratios are recorded beside those of the CPU."""
    file = tmp_path / "recorded.json"
    assert GATE["read"](file) == {}
    GATE["write"](file, RECORDED, {"threads": 1})
    GATE["write"](file, {"cell: ours / floor": 2.0, "other: ours / floor": 9.0}, {"threads": 1})
    assert GATE["read"](file) == {
        "cell: ours / best peer": 0.75,
        "cell: ours / floor": 2.0,
        "other: ours / floor": 9.0,
    }


def test_what_is_recorded_covers_every_cell_of_the_definition() -> None:
    """The file in the repository has both ratios of each implementation that it knows."""
    recorded = json.loads((BENCHMARKS / "recorded_ratios.json").read_text())["ratios"]
    floors = {key.removesuffix(" / floor") for key in recorded if key.endswith(" / floor")}
    peers = {key.removesuffix(" / best peer") for key in recorded if key.endswith(" / best peer")}
    assert floors == peers
    assert any(key.endswith(": definition") for key in floors)
    assert all(ratio > 0 for ratio in recorded.values())
