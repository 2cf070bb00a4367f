"""The mask of a case: its bits, or the name of a pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .values import hashed

MASK_PATTERNS = (
    "full",
    "empty",
    "bernoulli",
    "last",
    "first",
    "all_but_one",
    "one_row",
    "one_column",
    "blocks",
    "ragged",
    "one",
    "sparse",
    "tail",
)


@dataclass(frozen=True)
class Mask:
    """A mask: the bits row by row, or the name of a pattern and the seed it is drawn with."""

    bits: tuple[bool, ...] | str = "full"
    seed: int = 0
    layout: str = "contiguous"


def mask_bits(mask: Mask, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The bits of a mask, shape (B, L); a writable array of their own."""
    rows, columns = shape
    count = rows * columns
    if not isinstance(mask.bits, str):
        given: NDArray[np.bool_] = np.asarray(mask.bits, dtype=np.bool_).reshape(shape).copy()
        return given
    bits = np.full(shape, mask.bits == "full")
    if count == 0 or mask.bits in ("full", "empty"):
        return bits
    flat = bits.reshape(-1)
    noise = hashed(count, mask.seed).reshape(shape)
    pick = int(noise.flat[0] % np.uint64(count))
    match mask.bits:
        case "bernoulli":
            bits[:] = noise % np.uint64(4) != 0
        case "sparse":
            bits[:] = noise % np.uint64(16) == 0
        case "first":
            flat[0] = True
        case "last":
            flat[-1] = True
        case "one":
            flat[pick] = True
        case "all_but_one":
            flat[:] = True
            flat[pick] = False
        case "one_row":
            bits[pick % rows] = True
        case "one_column":
            bits[:, pick % columns] = True
        case "blocks":
            width = max(1, columns // 8)
            kept = hashed(rows * 9, mask.seed + 1).reshape(rows, 9) % np.uint64(4) != 0
            bits[:] = kept[:, np.minimum(np.arange(columns) // width, 8)]
        case "ragged":
            lengths = noise[:, 0] % np.uint64(columns + 1)
            bits[:] = np.arange(columns)[None, :] < lengths[:, None].astype(np.int64)
        case "tail":
            flat[-min(count, 1 + pick % 7) :] = True
        case other:
            raise ValueError(f"mask pattern must be one of {MASK_PATTERNS}, got {other!r}")
    return bits
