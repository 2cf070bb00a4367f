"""What a report shows of a case's tensors: their values, or a part of them where there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .cases import Case

ROWS, COLUMNS = 8, 12
_MOST = 2**20  # elements that are built to be shown; a case of 2²⁴ takes a second


def window(case: Case) -> dict[str, Any] | None:
    """Values and mask of a case as words, for JSON: all of them up to 8×12, else a part.

    The part holds the first masked position that is NaN or infinite, else the first such position
    anywhere, else the first masked one. None where there is nothing to show, or too much.

    Returns:
        `origin`, the row and column of the part's first element; `x_recon` and `x`, rows of
        numbers as Python writes them, exact; `mask`, rows of "0" and "1".
    """
    if not 0 < case.count <= _MOST:
        return None
    x_recon, x, mask = (tensor.detach() for tensor in case.build())
    odd = ~(x_recon.isfinite() & x.isfinite())
    origin = _corner(_first(odd & mask, odd, mask), case.shape)
    part = tuple(slice(at, at + most) for at, most in zip(origin, (ROWS, COLUMNS), strict=True))
    return {
        "origin": list(origin),
        "x_recon": _words(x_recon[part]),
        "x": _words(x[part]),
        "mask": ["".join("01"[bit] for bit in row) for row in mask[part].tolist()],
    }


def _first(*wanted: Tensor) -> tuple[int, int]:
    for bits in wanted:
        found = bits.flatten().nonzero()
        if len(found):
            row, column = divmod(int(found[0]), bits.shape[1])
            return row, column
    return 0, 0


def _corner(position: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    row, column = (
        max(0, min(at - 1, size - most))
        for at, size, most in zip(position, shape, (ROWS, COLUMNS), strict=True)
    )
    return row, column


def _words(values: Tensor) -> list[list[str]]:
    return [[repr(number) for number in row] for row in values.to(torch.float64).tolist()]
