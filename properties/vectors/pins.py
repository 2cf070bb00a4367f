"""A pinned call, and the shorthand in which they are written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..inputs.cases import Case
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Values

Call = tuple[str, str | None]
Given = tuple[Values, Values, str | Mask]  # x_recon, x, mask
SUM: Call = ("masked_sse", "sum")
MEAN: Call = ("masked_mse", "mean")
BATCH: Call = ("masked_sse", "batch_mean")
SSE: Call = ("masked_sse", None)
MSE: Call = ("masked_mse", None)
TWO = (SUM, MEAN)
THREE = (SUM, MEAN, BATCH)
FIVE = (*THREE, SSE, MSE)
EIGHT = (*FIVE, ("masked_mse", "sum"), ("masked_sse", "mean"), ("masked_mse", "batch_mean"))


@dataclass(frozen=True)
class Pin:
    """One call with the bug classes that it is there for."""

    flags: tuple[str, ...]
    comment: str
    case: Case


def pinned(
    flags: str,
    comment: str,
    x_recon: Values,
    x: Values,
    mask: str | Mask,
    calls: Iterable[Call] = TWO,
    *,
    shape: tuple[int, int] | None = None,
    dtypes: str = "float32",
    upstream: float = 1.0,
) -> list[Pin]:
    """One pin for each call.

    A mask such as "101 100" gives the shape, too; `dtypes` is that of both inputs, or
    "float16/float32".
    """
    if isinstance(mask, str):
        rows = mask.split()
        shape = shape or (len(rows), len(rows[0]))
        mask = Mask(tuple(bit == "1" for row in rows for bit in row))
    assert shape is not None
    first, _, second = dtypes.partition("/")
    pins = []
    for function, reduction in calls:
        named = flags.split() + ["DefaultReduction"] * (reduction is None)
        operands = Operand(first, x_recon), Operand(second or first, x)
        case = Case(function, reduction, shape, *operands, mask, upstream=upstream)
        pins.append(Pin(tuple(dict.fromkeys(named)), comment, case))
    return pins


RECON, TARGET = (1.5, 2.0, 5.0, 4.0, 7.0, 0.0), (1.0, 2.5, 3.0, 4.0, 5.0, 6.0)
ALL = "111 111"
ZEROS6 = (0.0,) * 6
