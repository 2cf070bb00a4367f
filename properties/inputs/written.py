"""Recipes of values and masks as a program writes them that has torch and nothing else.

They give the bits that `values.py` and `masks.py` give, which tests/suite/test_cases.py compares; a
program prints the functions that it needs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hashed(count: int, seed: int) -> Tensor:
    """`count` well mixed numbers of 64 bits (splitmix64)."""
    z = (torch.arange(1, count + 1) + seed % 2**32 * 2**20) * -0x61C8864680B583EB
    z = (z ^ (z >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    z = (z ^ (z >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return z ^ (z >> 31 & 0x1FFFFFFFF)


def modulo(z: Tensor, divisor: int) -> Tensor:
    """The remainder of numbers of 64 bits without a sign."""
    return ((z >> 1 & 0x7FFFFFFFFFFFFFFF) % divisor * 2 + (z & 1)) % divisor


def lattice(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Multiples of 1/8 in [-8, 8]."""
    return modulo(hashed(count, seed), 129).double() / 8 - 8 + shift


def reals(count: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Numbers with full mantissas, evenly spread over shift ± scale."""
    return (hashed(count, seed).view(torch.uint64).double() / 2.0**63 - 1) * scale + shift


def constant(count: int, value: float) -> Tensor:
    """The same value everywhere."""
    return torch.full((count,), value, dtype=torch.float64)


def palette(count: int, seed: int, values: tuple[float, ...]) -> Tensor:
    """Each position takes one of a few values, the first ones far more often."""
    uniform = hashed(count, seed).view(torch.uint64).double() / 2.0**64
    index = (uniform**3 * len(values)).long().clamp(max=len(values) - 1)
    return torch.tensor(values, dtype=torch.float64)[index]


def spike(count: int, rest: float, height: float, at: tuple[int, ...]) -> Tensor:
    """One value everywhere but at some positions."""
    out = torch.full((count,), rest, dtype=torch.float64)
    if count:
        out[torch.tensor(at) % count] = height
    return out


def tree(count: int, lanes: int, step: int, roundoff: float) -> Tensor:
    """A 1, and values whose squares are just too small for the partial sums that they meet."""
    rows = torch.arange(-(-count // lanes))
    squares = torch.full(rows.shape, roundoff * (1 - 2.0**-10), dtype=torch.float64)
    for level in (1, 2, 3):
        squares[rows >= step**level] /= step
    squares[:1] = 1
    out = torch.zeros(count, dtype=torch.float64)
    out[::lanes] = squares.sqrt()
    return out


def bernoulli(rows: int, columns: int, seed: int, one_in: int = 0) -> Tensor:
    """Three in four are True; or one in so many."""
    noise = hashed(rows * columns, seed).reshape(rows, columns)
    return (noise & one_in - 1) == 0 if one_in else (noise & 3) != 0


def blocks(rows: int, columns: int, seed: int) -> Tensor:
    """Eighths of a row, three in four of them True."""
    kept = (hashed(rows * 9, seed + 1).reshape(rows, 9) & 3) != 0
    return kept[:, (torch.arange(columns) // max(1, columns // 8)).clamp(max=8)]


def ragged(rows: int, columns: int, seed: int) -> Tensor:
    """The beginning of each row, as far as it goes there."""
    lengths = modulo(hashed(rows * columns, seed).reshape(rows, columns)[:, :1], columns + 1)
    return torch.arange(columns) < lengths
