"""`x_recon` or `x` of a case: values, dtype, memory layout."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .layouts import shown
from .values import Lattice, Values


@dataclass(frozen=True)
class Operand:
    """Values, dtype and memory layout of `x_recon` or `x`.

    `outside`, where given, replaces every value that no masked position shows; `edits` sets
    single positions, counted row by row, after that. An expanded layout repeats the first row or
    column; sliding windows overlap, so that all values come from the first row and the last column.
    """

    dtype: str = "float32"
    values: Values = field(default_factory=Lattice)
    layout: str = "contiguous"
    outside: float | None = None
    edits: tuple[tuple[int, float], ...] = ()


def filled(operand: Operand, shape: tuple[int, int], mask: NDArray[np.bool_]) -> Tensor:
    """The values of an operand, contiguous; `mask` says what is outside."""
    count = shape[0] * shape[1]
    given = operand.values
    array = np.asarray(given, np.float64) if isinstance(given, tuple) else given.values(count)
    array = array.reshape(shape)
    if operand.outside is not None:
        array[~shown(operand.layout, mask)] = operand.outside
    for position, value in operand.edits:
        array.flat[position] = value
    return torch.from_numpy(array).to(getattr(torch, operand.dtype))
