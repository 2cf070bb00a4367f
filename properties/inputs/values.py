"""Recipes for the values of a tensor, and the numbers that no tensor should hold.

Each is frozen and says everything, so that it can be hashed, printed and made again elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAN, INF = float("nan"), float("inf")


def hashed(count: int, seed: int) -> NDArray[np.uint64]:
    """`count` well mixed 64-bit numbers (splitmix64), the same on every machine; read-only."""
    if count > _MANY:
        return _mixed(count, seed)
    return (_kept if count <= _FEW else _just_made)(count, seed)


def _mixed(count: int, seed: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (
            np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**20)
        ) * (np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    mixed.flags.writeable = False
    return mixed


# A case is built several times in a row, by several situations.
_FEW, _MANY = 2**14, 2**21
_kept = functools.lru_cache(maxsize=64)(_mixed)
_just_made = functools.lru_cache(maxsize=6)(_mixed)


@dataclass(frozen=True)
class Lattice:
    """Multiples of 1/8 in [-8, 8]: every difference, square and sum of a few thousand is exact."""

    seed: int = 0
    shift: float = 0.0

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        steps = hashed(count, self.seed) % np.uint64(129)
        multiples: NDArray[np.float64] = steps.astype(np.float64) / 8 - 8 + self.shift
        return multiples


@dataclass(frozen=True)
class Reals:
    """Numbers with full mantissas, evenly spread over `shift` ± `scale`: all that is rounded is."""

    seed: int = 0
    scale: float = 1.0
    shift: float = 0.0

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        spread = hashed(count, self.seed).astype(np.float64) / 2.0**63 - 1
        reals: NDArray[np.float64] = spread * self.scale + self.shift
        return reals


@dataclass(frozen=True)
class Constant:
    """The same value everywhere: what exposes errors of the order of summation."""

    value: float

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        return np.full(count, self.value)


@dataclass(frozen=True)
class Palette:
    """Each position takes one of a few values, the first ones far more often."""

    seed: int
    palette: tuple[float, ...]

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        uniform = hashed(count, self.seed).astype(np.float64) / 2.0**64
        index = np.minimum((uniform**3 * len(self.palette)).astype(np.int64), len(self.palette) - 1)
        return np.asarray(self.palette)[index]


@dataclass(frozen=True)
class Spike:
    """One value everywhere but at one position or some (counted from the end if negative)."""

    rest: float
    spike: float
    at: int | tuple[int, ...] = 0

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        out = np.full(count, self.rest)
        if count:
            out[np.asarray(self.at, dtype=np.int64) % count] = self.spike
        return out


@dataclass(frozen=True)
class Tree:
    """A 1, and values whose squares are just too small for the partial sums that they meet.

    Made against sums that deal the elements out to `lanes` and add each lane in levels of `step`
    terms, in a format of this unit roundoff: on the first level every addition to the 1 loses just
    under half a unit in the last place, and on each further one every partial sum does.
    """

    lanes: int
    step: int
    roundoff: float

    def values(self, count: int) -> NDArray[np.float64]:
        """So many numbers."""
        rows = np.arange(-(-count // self.lanes))
        squares = np.full(rows.shape, self.roundoff * (1 - 2.0**-10))
        for level in (1, 2, 3):
            squares[rows >= self.step**level] /= self.step
        squares[:1] = 1
        out = np.zeros(count)
        out[:: self.lanes] = np.sqrt(squares)
        return out


Recipe = Lattice | Reals | Constant | Palette | Spike | Tree
Values = tuple[float, ...] | Recipe
RECIPES: dict[str, Callable[..., Recipe]] = {
    "Lattice": Lattice,
    "Reals": Reals,
    "Constant": Constant,
    "Palette": Palette,
    "Spike": Spike,
    "Tree": Tree,
}
