"""Memory layouts. Each knows how to build itself and how to print itself in a reproducer.

A new one is a subclass below, and an entry in one of the two lists at the end. Of `_Strides` there
are as many as there are strides, each found by its name.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .internals import NEG_VIEW, neg_view

Shape = tuple[int, int]


def _trap(dtype: torch.dtype) -> Any:
    """What lies between values; it prints as programs write it."""
    return math.nan if dtype.is_floating_point else True if dtype == torch.bool else 1


class Layout:
    """How a tensor lies in memory: contiguous here, otherwise in subclasses.

    What lies between the values is NaN, or True in a mask.

    Attributes:
        name: by which a case names it.
        dense: every value has a place of its own.
    """

    name = "contiguous"
    dense = True

    def build(self, values: Tensor) -> Tensor:
        """A tensor of these values, which it shares no memory with, in this layout."""
        return values.clone()

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        """The expression that builds it from a contiguous tensor of that name."""
        return name


class _Transposed(Layout):
    name = "transposed"

    def build(self, values: Tensor) -> Tensor:
        return values.t().contiguous().t()

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        return f"{name}.t().contiguous().t()"


class _InBuffer(Layout):
    """A window of a larger buffer."""

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        """The shape of the buffer."""
        raise NotImplementedError

    def window(self, shape: Shape) -> str:
        """What selects the values in the buffer, as Python writes it."""
        raise NotImplementedError

    def select(self, buffer: Tensor, shape: Shape) -> Tensor:
        """The same selection."""
        raise NotImplementedError

    def build(self, values: Tensor) -> Tensor:
        rows, columns = values.shape
        buffer = values.new_full(self.sizes((rows, columns)), _trap(values.dtype))
        return self.select(buffer, (rows, columns)).copy_(values)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        buffer = f"{name}.new_full({self.sizes(shape)}, {_trap(dtype)})"
        return f"{buffer}{self.window(shape)}.copy_({name})"


class _Offset(_InBuffer):
    name = "offset"

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        return (shape[0] * shape[1] + 3,)

    def window(self, shape: Shape) -> str:
        return f"[3:].view({shape[0]}, {shape[1]})"

    def select(self, buffer: Tensor, shape: Shape) -> Tensor:
        return buffer[3:].view(shape)


class _StridedColumns(_InBuffer):
    name = "strided_columns"

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        return (shape[0], 2 * shape[1] + 1)

    def window(self, shape: Shape) -> str:
        return "[:, 1::2]"

    def select(self, buffer: Tensor, shape: Shape) -> Tensor:
        return buffer[:, 1::2]


class _StridedRows(_InBuffer):
    name = "strided_rows"

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        return (2 * shape[0], shape[1] + 2)

    def window(self, shape: Shape) -> str:
        return "[::2, 1:-1]"

    def select(self, buffer: Tensor, shape: Shape) -> Tensor:
        return buffer[::2, 1:-1]


class _ExpandedRows(Layout):
    """The first row, in every row."""

    name = "expanded_rows"
    dense = False

    def build(self, values: Tensor) -> Tensor:
        return values[:1].clone().expand(values.shape)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        return f"{name}[:1].clone().expand{shape}"


class _ExpandedColumns(Layout):
    """The first column, in every column."""

    name = "expanded_columns"
    dense = False

    def build(self, values: Tensor) -> Tensor:
        return values[:, :1].clone().expand(values.shape)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        return f"{name}[:, :1].clone().expand{shape}"


class _SlidingWindows(Layout):
    """Rows that overlap: all values come from the first row and the last column."""

    name = "sliding_windows"
    dense = False

    def build(self, values: Tensor) -> Tensor:
        if values.numel() == 0:
            return values.clone()
        return torch.cat([values[0], values[1:, -1]]).unfold(0, values.shape[1], 1)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        if shape[0] * shape[1] == 0:
            return name
        return f"torch.cat([{name}[0], {name}[1:, -1]]).unfold(0, {shape[1]}, 1)"


class _Negated(Layout):
    """A lazy negation: memory holds the other sign, and a bit says so. A mask has none."""

    name = "negated"

    def build(self, values: Tensor) -> Tensor:
        return neg_view(-values) if values.is_floating_point() else values.clone()

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        return f"{NEG_VIEW}(-{name})" if dtype.is_floating_point else name


class _FarRows(_InBuffer):
    """Rows so far apart that offsets leave 16 bits, where there are three or more.

    All of the buffer is filled, so that more rows lie closer together.
    """

    name = "far_rows"

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        apart = 40000 if shape[0] <= 4 else 2**17 // shape[0]
        return (shape[0], max(shape[1], apart))

    def window(self, shape: Shape) -> str:
        return f"[:, :{shape[1]}]"

    def select(self, buffer: Tensor, shape: Shape) -> Tensor:
        return buffer[:, : shape[1]]


class _OneElement(Layout):
    """The first value everywhere: both strides are zero."""

    name = "one_element"
    dense = False

    def build(self, values: Tensor) -> Tensor:
        return values[:1, :1].clone().expand(values.shape)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        return f"{name}[:1, :1].clone().expand{shape}"


class _Strides(Layout):
    """Any two strides; where positions share a place in memory, all show the first one's value."""

    dense = False

    def __init__(self, step: int, hop: int) -> None:
        self.name = strides(step, hop)
        self.strides = step, hop

    def build(self, values: Tensor) -> Tensor:
        if values.numel() == 0:
            return values.clone()
        shape = (values.shape[0], values.shape[1])
        padded = torch.cat([values.flatten(), values.new_full((1,), _trap(values.dtype))])
        return padded[self._memory(shape)].as_strided(shape, self.strides)

    def text(self, name: str, shape: Shape, dtype: torch.dtype) -> str:
        if shape[0] * shape[1] == 0:
            return name
        padded = f"torch.cat([{name}.flatten(), {name}.new_full((1,), {_trap(dtype)})])"
        return f"{padded}[{self._memory(shape)}].as_strided({shape}, {self.strides})"

    def _memory(self, shape: Shape) -> list[int]:
        """For each place in memory the number of its value, and where none is that of the trap."""
        (rows, columns), (step, hop) = shape, self.strides
        found = [rows * columns] * extent(shape, step, hop)
        for number in reversed(range(rows * columns)):
            row, column = divmod(number, columns)
            found[row * step + column * hop] = number
        return found


def extent(shape: Shape, step: int, hop: int) -> int:
    """How many elements of memory these strides reach; of a dense tensor as many as it has."""
    return (shape[0] - 1) * step + (shape[1] - 1) * hop + 1


def strides(step: int, hop: int) -> str:
    """The name of the layout with these strides, of rows and of columns."""
    return f"strides_{step}_{hop}"


_ALL = (
    Layout(),
    _Transposed(),
    _Offset(),
    _StridedColumns(),
    _StridedRows(),
    _ExpandedRows(),
    _ExpandedColumns(),
    _SlidingWindows(),
)
# Of `inputs/dimensions.py` alone: grids and strategies draw from the others.
_MORE = (_Negated(), _FarRows(), _OneElement())
LAYOUTS = tuple(layout.name for layout in _ALL)
_NAMED = {layout.name: layout for layout in (*_ALL, *_MORE)}


def named(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ValueError: there is none.
    """
    if name in _NAMED:
        return _NAMED[name]
    if given := re.fullmatch(r"strides_([1-9][0-9]*)_([1-9][0-9]*)", name):
        return _Strides(int(given[1]), int(given[2]))
    known = [*_NAMED, strides(1, 2)]
    raise ValueError(f"layout must be one of {known}, or of other strides, got {name!r}")


def sources(layout: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """For each position the number of the value, counted row by row, that stands there."""
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    laid_out: NDArray[np.int64] = named(layout).build(numbers).numpy()
    return laid_out


def shown(layout: str, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the values, before they are laid out, some masked position shows."""
    if named(layout).dense:
        return mask
    found = np.zeros(mask.size, dtype=np.bool_)
    found[sources(layout, mask.shape)[mask]] = True
    return found.reshape(mask.shape)
