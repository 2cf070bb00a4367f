"""Where the 256 of C6 comes from: additions that a term passes in torch's sum.

The first table derives their number for every width of a vector register: it is that of
CONTRACT.md. The second measures each loss from outside, as the property C6-depth does: how many
additions the first term passes, and the error in unit roundoffs on the data that lose the most in
them. What is measured is a lower bound of what the order of addition can do, and what is derived an
upper bound.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor
from wavemae.properties.inputs.trees import additions, largest_lost

from wavemae import fused
from wavemae.models import losses

AROUND = 5  # difference (twice, since it is squared), square, count, division
LARGEST = 2**24
WIDTHS = {
    1: "not vectorised",
    2: "float64, NEON",
    4: "float64, AVX2; float32, NEON",
    8: "float32, AVX2; float64, AVX-512",
    16: "float32, AVX-512",
}
# Of the registers that sum uses: torch registers it for AVX2 and not for AVX-512 (SumKernel.cpp).
BYTES = {"AVX512": 32, "AVX2": 32, "DEFAULT": 32}


def in_lane(elements: int) -> int:
    """The most additions that a term passes in a lane of so many elements, in four levels."""
    p = max(4, math.ceil(math.log2(elements)) // 4) if elements > 1 else 4
    return 3 * ((1 << p) - 1) + (elements >> 3 * p)


def in_all(width: int, elements: int) -> tuple[int, int]:
    """The most in a lane up to so many elements, the lane's length there, for a register width."""
    longest = max(1, elements // (4 * width))
    # Within one p the last level grows with the lane, so the longest lane of each p decides.
    ends = {longest} | {2 ** (4 * p + 3) for p in range(4, 8) if 2 ** (4 * p + 3) <= longest}
    return max((in_lane(end), end) for end in ends)


def derived(width: int, elements: int) -> int:
    """The bound in unit roundoffs: the lane, where lanes and a remainder meet, the register."""
    return in_all(width, elements)[0] + 6 + width + AROUND


def measured(loss: Callable[..., Tensor], count: int, dtype: torch.dtype) -> tuple[int, float]:
    """Additions that the first of so many terms passes, and the error on the worst data found."""
    x = torch.zeros(1, count, dtype=dtype)
    mask = torch.ones(1, count, dtype=torch.bool)

    def total(x_recon: Tensor) -> Tensor:
        return loss(x_recon, x, mask, reduction="sum")

    x_recon = torch.zeros_like(x)
    lost = len(additions(total, x_recon, 0))  # and leaves the data behind
    exact = 1 + lost * Fraction(largest_lost(dtype)) ** 2
    error = abs(Fraction(total(x_recon).item()) - exact) / exact
    return lost, float(error / Fraction(torch.finfo(dtype).eps / 2))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--powers", type=int, nargs="+", default=[16, 20, 24], help="of 2: sizes")
    powers = parser.parse_args().powers
    print("derived, up to 2^24 elements: V, lanes, most additions in a lane, in all")
    for width, what in WIDTHS.items():
        most, at = in_all(width, LARGEST)
        print(
            f"{width:2}  {4 * width:2}  {most} at r = 2^{at.bit_length() - 1}"
            f"  {derived(width, LARGEST)}  ({what})"
        )
    capability = torch.backends.cpu.get_cpu_capability()
    print(
        f"\nmeasured, torch {torch.__version__}, {capability}: additions, error in unit roundoffs"
    )
    threads = torch.get_num_threads()
    for name, loss in (("definition", losses.masked_sse), ("fused", fused.masked_sse)):
        for dtype in (torch.float32, torch.float64):
            width = BYTES.get(capability, 4) // dtype.itemsize or 1
            for power in powers:
                for used in sorted({1, threads}):
                    torch.set_num_threads(used)
                    lost, error = measured(loss, 2**power, dtype)
                    bound = f", derived {derived(width, 2**power)}" if name == "definition" else ""
                    print(
                        f"{name}, {dtype}, 2^{power}, threads {used}: {lost}, {error:.1f}{bound}",
                        flush=True,
                    )
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
