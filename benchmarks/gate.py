"""Ratios, not times: is one of ours slower, against the floor or the best peer, than recorded?

Absolute times say how busy and how fast the machine is. A ratio of two things timed in turns on the
same inputs says more about the code. It is taken of the fastest rounds, as whatever else a machine
does can only add to a time. It still moves from processor to processor and from run to run, hence
the margin.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

MARGIN = 1.5  # runs on a busy machine differ by a quarter; twice the work must show


def ratios(
    workload: str, seconds: Mapping[str, float], ours: Collection[str], peers: Collection[str]
) -> dict[str, float]:
    """Each of ours against the floor and against the best peer, by a key that says so.

    Args:
        workload: its id.
        seconds: of the fastest round, by implementation, "floor" among them; what failed is not.
        ours: names of implementations that are judged.
        peers: names of those that they are compared to.
    """
    rivals = {"floor": seconds["floor"]}
    if known := [seconds[peer] for peer in peers if peer in seconds]:
        rivals["best peer"] = min(known)
    return {
        f"{workload}: {name} / {rival}": seconds[name] / least
        for name in ours
        if name in seconds
        for rival, least in rivals.items()
    }


def complaints(measured: Mapping[str, float], recorded: Mapping[str, float]) -> dict[str, str]:
    """What is worse than recorded by more than the margin, or on one side only, by key."""
    found = {}
    for key in {**recorded, **measured}:
        if key not in measured:
            found[key] = f"{key} is recorded as {recorded[key]:.2f}, and was not measured"
        elif key not in recorded:
            found[key] = (
                f"{key} is {measured[key]:.2f}, and no ratio is recorded; "
                "record it with `tox run -e bench-gate -- --gate-record`"
            )
        elif measured[key] > MARGIN * recorded[key]:
            found[key] = (
                f"{key} is {measured[key]:.2f}, recorded is {recorded[key]:.2f}; "
                f"at most {MARGIN} times that is allowed, {MARGIN * recorded[key]:.2f}"
            )
    return found


def about(start: str, known: Mapping[str, float]) -> dict[str, float]:
    """Those whose key starts so: of a workload, or of an implementation on it."""
    return {key: ratio for key, ratio in known.items() if key.startswith(start)}


def read(file: Path) -> dict[str, float]:
    """The recorded ratios; none where there is no file."""
    return dict(json.loads(file.read_text())["ratios"]) if file.exists() else {}


def write(file: Path, measured: Mapping[str, float], machine: Mapping[str, object]) -> None:
    """Record these ratios, beside those already recorded of other cells."""
    known = {**read(file), **{key: round(ratio, 3) for key, ratio in measured.items()}}
    record = {"machine": machine, "ratios": dict(sorted(known.items()))}
    file.write_text(json.dumps(record, indent=1) + "\n")
