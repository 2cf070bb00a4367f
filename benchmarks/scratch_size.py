"""What the 2 MiB cost that `wavemae.fused` allows itself on the CPU.

Every operator has a fixed price, and a block takes five: larger blocks would pay it less often.
Prints, for block masks in float32 and each amount of scratch, the time of the compiled MAE formula
and that of the floor in relation to ours, from the fastest of interleaved rounds.
"""

from __future__ import annotations

import argparse
from typing import Any

from torch import Tensor

from wavemae import fused
from wavemae.fused import cpu

from .implementations import IMPLEMENTATIONS, Implementation
from .measure import fastest, measure
from .workloads import PHASES, Workload

PEER = "MAE formula, compiled"
MEBIBYTES = (1, 2, 4, 8, 16)
SIZES = ((1024, 256), (1024, 2048), (8192, 2048))


def with_scratch(mebibytes: int) -> Implementation:
    """Fused, in blocks of as much scratch."""

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, **given: Any) -> Tensor:
        cpu._MOST_BYTES = mebibytes * 2**20
        return fused.masked_mse(x_recon, x, mask, **given)

    return Implementation(f"{mebibytes} MiB", "wavemae.fused.masked_mse", lambda: loss, kind="ours")


def main() -> None:
    """A line per size, phase and amount."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each size and phase")
    seconds = parser.parse_args().seconds
    ours = {implementation.name: implementation for implementation in map(with_scratch, MEBIBYTES)}
    for (batch, length), phase in ((size, phase) for size in SIZES for phase in PHASES):
        workload = Workload("cpu", "float32", batch, length, "blocks", phase)
        timings = measure(workload, {**ours, PEER: IMPLEMENTATIONS[PEER]}, seconds)
        found = fastest(timings)
        for name in ours:
            print(
                f"{batch:5}x{length}  {phase:18}  scratch {name:>6}"
                f"  peer / ours {found[PEER] / found[name]:.2f}"
                f"  ours / floor {found[name] / found['floor']:.2f}"
                f"  extra {timings[name].extra_bytes / 2**20:.2f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
