"""How far `torch.sum`, and so the definition, can be from C6 on data made against it; and fused.

torch's CPU sum adds in a tree of four levels, each of some 16 sequential additions. Data in which
every addition along one path loses just under half a unit in the last place adds all those losses
up. Random, constant and skewed data stay far below: see the property C6-large. Prints unit
roundoffs for 2²⁰ and 2²⁴ elements, for several guesses at the tree, and with one thread and with
all. `wavemae.fused` adds rows of 2¹⁴ in that tree, and their sums in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch

from wavemae import fused
from wavemae.models import losses


def against_the_tree(count: int, lanes: int, step: int, dtype: torch.dtype) -> torch.Tensor:
    """A 1, and squares just too small for the partial sums that they meet on each level."""
    rows = torch.arange(count // lanes)
    roundoff = torch.finfo(dtype).eps / 2
    squares = torch.full(rows.shape, roundoff * (1 - 2.0**-10), dtype=torch.float64)
    for level in (1, 2, 3):
        squares[rows >= step**level] /= step
    squares[0] = 1
    data = torch.zeros(len(rows), lanes, dtype=torch.float64)
    data[:, 0] = squares
    return data.sqrt().to(dtype).reshape(1, -1)


def roundoffs(loss: Callable[..., torch.Tensor], x: torch.Tensor) -> float:
    """Error of `sum` in unit roundoffs of the result, against the correctly rounded sum."""
    exact = Fraction(math.fsum(v * v for v in x.double().flatten().tolist() if v))
    got = loss(x, torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool), reduction="sum")
    return float(abs(Fraction(got.item()) - exact) / exact / Fraction(torch.finfo(x.dtype).eps / 2))


def main() -> None:
    """Print the worst of the guesses for each dtype, size and number of threads."""
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    for name, loss in (("definition", losses.masked_sse), ("fused", fused.masked_sse)):
        for dtype in (torch.float32, torch.float64):
            for count in (2**20, 2**24):
                for used in sorted({1, threads}):
                    torch.set_num_threads(used)
                    worst = max(
                        roundoffs(loss, against_the_tree(count, lanes, step, dtype))
                        for lanes in (16, 32, 64)
                        for step in (16, 32)
                    )
                    print(
                        f"{name}, {dtype}, {count} elements, {used} threads: "
                        f"{worst:.0f} unit roundoffs"
                    )
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
