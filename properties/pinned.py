"""Pinned vectors: hand-chosen calls and their exact answers as JSON, for ports that have no torch.

`python -m wavemae.properties.pinned --write FOLDER` writes the files, `--check [FOLDER]` compares a
folder, by default the one that is shipped, with what would be written. The answers come from the
rational arithmetic of `oracle`; no implementation has a say in them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import oracle
from .cases import FUNCTIONS, Case, Constant, Inputs, Mask, Operand, Spike, Values

GENERATOR_VERSION = "2"
FOLDER = Path(__file__).parent / "vectors"
SCHEMA = "vectors.schema.json"

Call = tuple[str, str | None]
Given = tuple[Values, Values, str | Mask]  # x_recon, x, mask
Note = tuple[str, str, str]

NAN, INF = math.nan, math.inf
_LONGEST_LIST = 16

SUM: Call = ("masked_sse", "sum")
MEAN: Call = ("masked_mse", "mean")
BATCH: Call = ("masked_sse", "batch_mean")
SSE: Call = ("masked_sse", None)
MSE: Call = ("masked_mse", None)
TWO = (SUM, MEAN)
THREE = (SUM, MEAN, BATCH)
FIVE = (*THREE, SSE, MSE)
EIGHT = (*FIVE, ("masked_mse", "sum"), ("masked_sse", "mean"), ("masked_mse", "batch_mean"))

# What a flag means: (kind of bug, clause, what an implementation that fails here has got wrong).
VALUE_NOTES: dict[str, Note] = {
    "Ordinary": ("BASIC", "C4", "Ordinary values. The formula is another one."),
    "DefaultReduction": (
        "BASIC",
        "C1",
        "The reduction is left out (null). The default is that of the other function, or 'sum'.",
    ),
    "OneSided": ("BASIC", "C10", "Only differences of one sign are counted."),
    "SquareRoot": ("BASIC", "C10", "The root of the sum, a norm, which is not additive."),
    "Clamped": ("BASIC", "C10", "Large differences are clamped or counted linearly, as by Huber."),
    "LostSmall": ("BASIC", "C10", "Small results are rounded to zero or drowned in an epsilon."),
    "InvertedMask": ("MASK", "C2", "True is taken for visible; it means masked and counted."),
    "IgnoredMask": ("MASK", "C4", "Positions outside the mask are counted too."),
    "MaskOfFirstRow": ("MASK", "C4", "The first row of the mask is used for all rows."),
    "TransposedMask": ("MASK", "C4", "The mask is read column by column."),
    "MissedPosition": ("MASK", "C4", "A first, last or tail position is left out."),
    "MaskFromSentinel": ("MASK", "C4", "A target of 0 or -1 is taken for a missing one."),
    "DividedBySize": ("DIVISOR", "C4", "'mean' divides by all positions, not by the masked ones."),
    "DividedByLength": ("DIVISOR", "C4", "'batch_mean' divides by L, not by B."),
    "MeanOfMeans": ("DIVISOR", "C4", "'mean' is the mean of the means of the rows."),
    "EmptyRow": (
        "DIVISOR",
        "C4",
        "A row with nothing masked is left out of B, or its count is clamped to 1.",
    ),
    "Epsilon": ("DIVISOR", "C6", "An epsilon is added to the denominator."),
    "EmptyMask": ("EMPTY", "C7", "Nothing is masked: 0/0 gives NaN. The result is +0.0."),
    "EmptyBatch": ("EMPTY", "C7", "B = 0: 0/0 gives NaN. The result is +0.0."),
    "EmptyLength": ("EMPTY", "C7", "L = 0: 0/0 gives NaN. The result is +0.0."),
    "ExactZero": ("EMPTY", "C10", "All masked differences are zero, and the loss is not."),
    "MultipliedMask": ("NON_FINITE", "C8", "Selecting by 0 * value lets NaN and Inf in."),
    "HugeOutside": (
        "NON_FINITE",
        "C8",
        "The square of a finite value outside the mask overflows, and 0 * Inf is NaN.",
    ),
    "MaskFromNan": ("NON_FINITE", "C9", "A masked NaN in the target is taken for a missing one."),
    "HiddenNan": ("NON_FINITE", "C9", "A masked NaN is replaced by a number."),
    "HiddenInf": ("NON_FINITE", "C9", "A masked infinity is replaced by a number or by NaN."),
    "InfMinusInf": (
        "NON_FINITE",
        "C9",
        "Masked equal infinities are taken for equal values; their difference is NaN.",
    ),
    "HalfOverflow": ("DTYPE", "C5", "Half inputs are squared or summed in half, up to 65504."),
    "HalfDifference": ("DTYPE", "C5", "Half inputs are subtracted in half."),
    "HalfCount": ("DTYPE", "C5", "A count or sum in half sticks at 256 (bfloat16) or 2048."),
    "NarrowedInput": ("DTYPE", "C5", "The wider input is converted to the narrower one's dtype."),
    "Float32Only": ("DTYPE", "C5", "float64 inputs are computed in float32."),
    "ExpandedSquare": ("ACCURACY", "C6", "a*a - 2*a*b + b*b cancels where a and b are close."),
    "SequentialSum": ("ACCURACY", "C6", "Long float32 sums are added one by one in float32."),
    "FlushedSubnormal": ("RANGE", "C6", "Subnormal numbers are taken for zero."),
    "SquareUnderflow": (
        "RANGE",
        "C6",
        "Squares below the smallest subnormal. The result is not NaN, nor an epsilon.",
    ),
    "SumOverflow": ("RANGE", "C6", "A sum beyond the range is +Inf, not NaN, 0 or the largest."),
    "OpenOverflow": (
        "RANGE",
        "C6",
        "The sum leaves the range, and the quotient would not: left open, so that both are right.",
    ),
}
GRADIENT_NOTES: dict[str, Note] = {
    "Ordinary": ("BASIC", "C11", "Ordinary values. The formula is another one."),
    "DefaultReduction": (
        "BASIC",
        "C1",
        "The reduction is left out (null). The default is that of the other function, or 'sum'.",
    ),
    "MissingFactor": ("GRADIENT", "C11", "The factor 2 is missing."),
    "MissingScale": ("GRADIENT", "C11", "The gradient of the sum, whatever the reduction."),
    "MissingMinus": ("GRADIENT", "C11", "The gradient of x has the sign of that of x_recon."),
    "IgnoredUpstream": ("GRADIENT", "C11", "The upstream gradient, or its sign, is not used."),
    "ZeroDifference": ("GRADIENT", "C11", "2*d*d/d, or a root: 0/0 where the guess is exact."),
    "Clipped": ("GRADIENT", "C11", "Large gradients are clipped."),
    "LostSmall": ("GRADIENT", "C11", "Small gradients are flushed to zero."),
    "ForgottenMask": ("MASK", "C12", "The gradient outside the mask is not zero."),
    "MaskOfFirstRow": ("MASK", "C11", "The first row of the mask is used for all rows."),
    "MissedPosition": ("MASK", "C11", "A first, last or tail position has no gradient."),
    "DividedBySize": ("DIVISOR", "C11", "'mean' divides by all positions, not by the masked ones."),
    "EmptyRow": ("DIVISOR", "C11", "Each row is divided by its own count: 0/0 in an empty row."),
    "EmptyMask": ("EMPTY", "C12", "Nothing is masked: 0/0 gives NaN. All gradients are zero."),
    "EmptyBatch": ("EMPTY", "C12", "B = 0: dividing by B raises. The gradients have no elements."),
    "EmptyLength": ("EMPTY", "C12", "L = 0: dividing by n raises. The gradients have no elements."),
    "MultipliedMask": ("NON_FINITE", "C12", "Selecting by 0 * gradient lets NaN and Inf in."),
    "HugeOutside": (
        "NON_FINITE",
        "C12",
        "The difference of finite values outside the mask overflows, and 0 * Inf is NaN.",
    ),
    "HiddenNan": ("NON_FINITE", "C11", "The gradient at a masked NaN is replaced by a number."),
    "HiddenInf": ("NON_FINITE", "C11", "The gradient at a masked infinity is replaced."),
    "SpreadNan": ("NON_FINITE", "C11", "One masked NaN or Inf spoils the other positions."),
    "HalfDifference": ("DTYPE", "C11", "Half inputs are subtracted in half."),
    "Float32Only": ("DTYPE", "C11", "float64 inputs are computed in float32."),
    "HalfOverflow": ("DTYPE", "C11", "A gradient beyond the half range is infinite, not clamped."),
    "LossOverflow": (
        "RANGE",
        "C11",
        "The loss overflows and the gradient does not: it is no quotient of the loss.",
    ),
}
REFUSED_NOTES: dict[str, Note] = {
    "Accepted": ("CHECK", "C2", "A right call, refused."),
    "Broadcast": ("CHECK", "C3", "Shapes that differ are broadcast."),
    "WrongShape": ("CHECK", "C3", "Shapes that differ are truncated, or read as if they agreed."),
    "WrongRank": ("CHECK", "C3", "Other than two dimensions are taken."),
    "MaskDtype": ("CHECK", "C3", "A mask that is not bool is taken as weights or as indices."),
    "ValueDtype": ("CHECK", "C3", "Values that are not floating point are computed with."),
    "UnknownReduction": ("CHECK", "C3", "An unknown reduction falls back to a known one."),
}


@dataclass(frozen=True)
class Pin:
    """One call with the bug classes that it is there for."""

    flags: tuple[str, ...]
    comment: str
    case: Case


def _pins(
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


_RECON, _TARGET = (1.5, 2.0, 5.0, 4.0, 7.0, 0.0), (1.0, 2.5, 3.0, 4.0, 5.0, 6.0)
_ALL = "111 111"
_ZEROS6 = (0.0,) * 6


def value_pins() -> list[Pin]:
    """Every call of value.json."""
    return [
        *_formula(),
        *_masks(),
        *_divisors(),
        *_empties(),
        *_outside(),
        *_inside(),
        *_halves(),
        *_pairings(),
        *_accuracy(),
        *_ranges(),
    ]


def _formula() -> list[Pin]:
    scaled = [(2.0**k, f"inputs times 2**{k}: the loss times 4**{k}") for k in (-40, -20, 20, 40)]
    return [
        *_pins("Ordinary DividedByLength", "all masked", _RECON, _TARGET, _ALL, EIGHT),
        *_pins("Ordinary SquareRoot", "one position", (4.0,), (1.0,), "1", FIVE),
        *_pins("Ordinary", "B = 1", (1.0, -2.0, 0.25), (0.0, 1.0, 0.5), "111", THREE),
        *_pins("Ordinary", "L = 1", (1.0, -2.0, 0.25), (0.0, 1.0, 0.5), "1 1 1", THREE),
        *_pins("OneSided", "x_recon above x", (3.0, 2.0), (1.0, 1.5), "11"),
        *_pins("OneSided", "x_recon below x: the same loss", (1.0, 1.5), (3.0, 2.0), "11"),
        *_pins("SquareRoot", "a whole", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "11 11", (SUM,)),
        *_pins("SquareRoot", "its first part", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "11 00", (SUM,)),
        *_pins("SquareRoot", "its second part", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "00 11", (SUM,)),
        *_pins("Clamped", "differences above 1", (100.0, -1e4, 2.0), (0.0, 0.0, 0.5), "111"),
        *_pins("LostSmall", "a difference of 1e-6", (1e-6, 0.0), (0.0, 0.0), "11"),
        *_pins("LostSmall", "differences of 1e-12", (1e-12, -1e-12), (0.0, 0.0), "11"),
        *itertools.chain.from_iterable(
            _pins(
                "Clamped" if k > 1 else "LostSmall",
                comment,
                tuple(k * v for v in _RECON),
                tuple(k * v for v in _TARGET),
                "101 110",
                (SUM,),
            )
            for k, comment in scaled
        ),
        *_pins("ExactZero", "equal inputs", _RECON, _RECON, _ALL, (SUM, SSE, MSE)),
        *_pins("ExactZero", "+0.0 and -0.0 are equal", (0.0, -0.0), (-0.0, 0.0), "11"),
        *_pins("ExactZero IgnoredMask", "zero inside the mask only", _RECON, _TARGET, "000 100"),
    ]


def _masks() -> list[Pin]:
    patterns = {
        "ragged rows": "101 100",
        "first position": "100 000",
        "last position": "000 001",
        "one row": "000 111",
        "one column": "010 010",
        "all but one": "111 011",
    }
    pins = []
    for comment, bits in patterns.items():
        calls = EIGHT if comment == "ragged rows" else TWO
        flags = "InvertedMask IgnoredMask"
        flags += " MissedPosition" if "position" in comment else ""
        flags += " MaskOfFirstRow" if bits[:3] != bits[4:] else ""
        pins += _pins(flags, comment, (2.0, -1.0, 0.5, 3.0, 0.25, 6.0), _ZEROS6, bits, calls)
    square = tuple(float(v) for v in range(1, 10))
    pins += _pins("TransposedMask", "a square shape", square, (0.0,) * 9, "110 000 100")
    pins += _pins("TransposedMask", "a wide shape", square[:6], _ZEROS6, "110 001")
    for size in (17, 33, 127, 257):
        for at, where in ((0, "first"), (-1, "last")):
            pins += _pins(
                "MissedPosition",
                f"1 x {size}: the only difference stands {where}",
                Spike(0.5, 3.5, at),
                Constant(0.5),
                Mask("full"),
                (SUM,),
                shape=(1, size),
            )
    pins += _pins(
        "MaskFromSentinel", "targets of 0", (1.0, 2.0, 3.0), (0.0, 0.0, 5.0), "111", (MEAN,)
    )
    pins += _pins(
        "MaskFromSentinel", "targets of -1", (1.0, 2.0, 3.0), (-1.0, 5.0, -1.0), "111", (MEAN,)
    )
    pins += _pins(
        "MaskFromSentinel", "a row of 0", (1.0, 2.0, 3.0, 4.0), (0, 0, 1, 1), "11 11", (MEAN,)
    )
    return pins


def _divisors() -> list[Pin]:
    means = (MEAN, MSE, ("masked_sse", "mean"))
    batches = (BATCH, SSE, ("masked_mse", "batch_mean"))
    pins = [
        *_pins("DividedBySize", "3 of 6 masked", _RECON, _TARGET, "101 010", means),
        *_pins("DividedBySize", "1 of 6 masked", _RECON, _TARGET, "000 010", means),
        *_pins("MeanOfMeans", "counts 3 and 1", _RECON, _TARGET, "111 010", means),
        *_pins("MeanOfMeans", "counts 1 and 2", _RECON, _TARGET, "100 011", means),
        *_pins("EmptyRow MeanOfMeans", "counts 3 and 0", _RECON, _TARGET, "111 000", FIVE[1:]),
        *_pins(
            "EmptyRow MeanOfMeans",
            "counts 0, 2, 0, 1",
            (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
            (0.0,) * 8,
            "00 11 00 10",
            FIVE[1:],
        ),
        *_pins("DividedByLength", "B = 3, L = 1", (1.0, 2.0, 3.0), (0.0,) * 3, "1 1 1", batches),
        *_pins("DividedByLength", "B = 1, L = 3", (1.0, 2.0, 3.0), (0.0,) * 3, "111", batches),
    ]
    calls = (MEAN, SSE)
    for value in (1.0, 2.0**-30):
        pins += _pins("Epsilon", "one position", (value,), (0.0,), "1", calls, dtypes="float64")
    return pins + _pins(
        "Epsilon", "two positions", (3.0, 1.0), (0.0, 0.5), "11", calls, dtypes="float64"
    )


def _empties() -> list[Pin]:
    pins = _pins("EmptyMask", "nothing masked", _RECON, _TARGET, "000 000", FIVE)
    spoilt = (NAN, INF, -INF, NAN, 1.0, INF)
    flags = "EmptyMask MultipliedMask"
    comment = "nothing masked, NaN and Inf everywhere"
    pins += _pins(flags, comment, spoilt, spoilt, "000 000", THREE)
    for dtypes in ("float16", "bfloat16", "float64", "float16/float64"):
        pins += _pins(
            "EmptyMask", "nothing masked", _RECON, _TARGET, "000 000", (MEAN,), dtypes=dtypes
        )
    for shape, flags in (
        ((0, 3), "EmptyBatch"),
        ((3, 0), "EmptyLength"),
        ((0, 0), "EmptyBatch EmptyLength"),
    ):
        comment = f"B = {shape[0]}, L = {shape[1]}"
        pins += _pins(flags, comment, (), (), Mask(()), FIVE, shape=shape)
    pins += _pins(
        "EmptyBatch", "B = 0", (), (), Mask(()), (MEAN,), shape=(0, 2), dtypes="bfloat16/float64"
    )
    return pins


def _outside() -> list[Pin]:
    mask = "101 110"
    good = (1.0, 0.5, 3.0, 4.0, -1.0, 2.0)
    pins = []
    for name, (a, b) in {
        "NaN in x_recon": (NAN, 0.0),
        "NaN in x": (0.0, NAN),
        "NaN in both": (NAN, NAN),
        "Inf in x_recon": (INF, 0.0),
        "-Inf in x": (0.0, -INF),
        "Inf in both": (INF, INF),
    }.items():
        recon, target = list(good), list(_TARGET)
        for at in (1, 5):
            recon[at], target[at] = a, b
        calls = FIVE if name == "NaN in x_recon" else (MEAN,)
        comment = f"{name}, outside the mask"
        pins += _pins("MultipliedMask IgnoredMask", comment, (*recon,), (*target,), mask, calls)
    for dtypes, a, b in (
        ("float32", 1e30, 0.0),
        ("float32", 3e38, -3e38),
        ("float64", 1e200, 0.0),
        ("float64", -1.7e308, 1.7e308),
        ("bfloat16", 1e30, -1e30),
    ):
        recon, target = [a, 1.0, a, 2.0], [b, 0.0, b, 0.5]
        comment = "a finite huge value outside the mask"
        given: Given = (*recon,), (*target,), "01 01"
        pins += _pins("HugeOutside", comment, *given, (BATCH,), dtypes=dtypes)
    return pins


def _inside() -> list[Pin]:
    pins = []
    cases = (
        ("HiddenNan", "NaN in x_recon", NAN, 1.0),
        ("HiddenNan MaskFromNan", "NaN in x", 1.0, NAN),
        ("HiddenNan MaskFromNan", "NaN in both", NAN, NAN),
        ("HiddenInf", "Inf in x_recon", INF, 1.0),
        ("HiddenInf", "-Inf in x_recon", -INF, 1.0),
        ("HiddenInf", "Inf in x", 1.0, INF),
        ("HiddenInf", "opposite infinities", INF, -INF),
        ("InfMinusInf", "equal infinities", INF, INF),
        ("InfMinusInf", "equal negative infinities", -INF, -INF),
        ("HiddenNan", "NaN minus Inf", NAN, INF),
    )
    for number, (flags, comment, a, b) in enumerate(cases):
        given: Given = (a, 1.0, 2.0), (b, 0.0, 5.0), "110"
        pins += _pins(flags, f"{comment}, masked", *given, (THREE[number % 3],))
    pins += _pins(
        "HiddenNan", "NaN and Inf masked", (NAN, INF, 0.0), (0.0, 0.0, 1.0), "111", (SUM,)
    )
    for dtypes in ("float16", "bfloat16", "float64"):
        pins += _pins("HiddenNan", "NaN", (NAN, 1.0), (0.0, 0.0), "10", (MSE,), dtypes=dtypes)
        pins += _pins("HiddenInf", "Inf", (1.0, INF), (0.0, 0.0), "01", (SSE,), dtypes=dtypes)
    return pins


def _halves() -> list[Pin]:
    pins = []
    for dtypes, a, b in (
        ("float16", 256.0, 0.0),
        ("float16", 300.0, -300.0),
        ("float16", 65504.0, 0.0),
        ("float16", 65504.0, -65504.0),
        ("float16/float32", 65504.0, -65504.0),
        ("float16/bfloat16", 0.0, 512.0),
    ):
        comment = "squares above 65504"
        pins += _pins("HalfOverflow", comment, (a, b), (b, b), "10", (MSE,), dtypes=dtypes)
    pins += _pins(
        "HalfOverflow",
        "100 squares of 900 each: the sum is above 65504",
        Constant(30.0),
        Constant(0.0),
        Mask("full"),
        THREE,
        shape=(4, 25),
        dtypes="float16",
    )
    for dtypes, a, b in (
        ("float16", 2048.0, 0.5),
        ("float16", 1.0, -(2.0**-12)),
        ("bfloat16", 256.0, 0.25),
        ("bfloat16", 1.0, 2.0**-9),
        ("float16/bfloat16", 2.0**-13, 1.0),
    ):
        comment = "the difference has more bits than a half"
        pins += _pins("HalfDifference", comment, (a, b), (b, b), "10", (MSE,), dtypes=dtypes)
    for dtypes, count in (("float16", 2049), ("float16", 4100), ("bfloat16", 257)):
        pins += _pins(
            "HalfCount",
            f"{count} differences of 1",
            Constant(1.0),
            Constant(0.0),
            Mask("full"),
            (SUM, MSE),
            shape=(1, count),
            dtypes=dtypes,
        )
    half_masked = Mask(tuple(position % 1500 < 1025 for position in range(3000)))
    for dtypes in ("float16", "bfloat16"):
        pins += _pins(
            "HalfCount IgnoredMask",
            "2 x 1025 masked differences of 2, and 2 x 475 outside",
            Constant(2.0),
            Constant(0.0),
            half_masked,
            (SUM, MSE),
            shape=(2, 1500),
            dtypes=dtypes,
        )
    return pins


def _pairings() -> list[Pin]:
    pins = []
    for dtypes, a, b in (
        ("float16/float32", 1.0, 0.1),
        ("float32/float16", 0.1, 1.0),
        ("bfloat16/float32", 1.0, 0.1),
        ("float32/bfloat16", 0.1, 1.0),
        ("float16/bfloat16", 1 + 2.0**-9, 1.0),
        ("bfloat16/float16", 1.0, 1 + 2.0**-9),
    ):
        pins += _pins(
            "NarrowedInput", "mixed dtypes", (a, 1.0), (b, 1.5), "10", (MSE,), dtypes=dtypes
        )
    tiny = 2.0**-40
    for other in ("float32", "float16", "bfloat16"):
        for first in (True, False):
            dtypes = f"float64/{other}" if first else f"{other}/float64"
            a, b = (1.0 + tiny, 1.0) if first else (1.0, 1.0 + tiny)
            comment = "float64 beside a narrower dtype"
            flags = "NarrowedInput Float32Only"
            pins += _pins(flags, comment, (a, 0.0), (b, 0.0), "11", (MSE,), dtypes=dtypes)
    thirds = (0.1, 1 / 3, 2 / 3), (0.3, 2 / 7, 1.1)
    pins += _pins("Float32Only", "float64", *thirds, "111", FIVE, dtypes="float64")
    pins += _pins("Ordinary", "float32 rounds its inputs", *thirds, "111")
    return pins


def _accuracy() -> list[Pin]:
    pins = []
    for dtypes, offset, step in (
        ("float32", 2.0**12, 2.0**-8),
        ("float32", 2.0**20, 0.25),
        ("float64", 2.0**40, 2.0**-8),
        ("float64", -(2.0**30), 2.0**-16),
    ):
        recon = tuple(offset + k * step for k in (1, 2, -3, 4))
        comment = "a large offset common to both"
        flags = "ExpandedSquare"
        pins += _pins(flags, comment, recon, (offset,) * 4, "11 10", dtypes=dtypes)
    for value, shape in ((0.1, (256, 256)), (0.7, (1, 40000))):
        comment = f"{shape[0] * shape[1]} equal differences"
        operands = Constant(value), Constant(0.0)
        pins += _pins("SequentialSum", comment, *operands, Mask("full"), shape=shape)
    spiked = Spike(1.0, 4096.0), Constant(0.0)
    comment = "one square of 2**24 before 65535 of 1"
    return pins + _pins("SequentialSum", comment, *spiked, Mask("full"), shape=(16, 4096))


def _ranges() -> list[Pin]:
    pins = []
    for dtypes, root, subnormal in (
        ("float32", 2.0**-74, 2.0**-149),
        ("float64", 2.0**-537, 2.0**-1074),
    ):
        pins += [
            *_pins(
                "FlushedSubnormal",
                "64 subnormal squares",
                Constant(2 * root),
                Constant(0.0),
                Mask("full"),
                (SUM,),
                shape=(8, 8),
                dtypes=dtypes,
            ),
            *_pins(
                "FlushedSubnormal",
                "two subnormal squares",
                (256 * root, 64 * root),
                (0.0, -64 * root),
                "11",
                THREE,
                dtypes=dtypes,
            ),
            *_pins(
                "SquareUnderflow",
                "the smallest subnormal difference",
                (subnormal,),
                (0.0,),
                "1",
                (MEAN,),
                dtypes=dtypes,
            ),
            *_pins(
                "SquareUnderflow",
                "three squares that underflow",
                (root / 4,) * 3,
                (0.0,) * 3,
                "111",
                (MEAN,),
                dtypes=dtypes,
            ),
        ]
    smallest_half = (2.0**-24, 2.0**-14), (0.0, 2.0**-14 - 2.0**-24)
    pins += _pins("FlushedSubnormal", "half subnormals", *smallest_half, "11", dtypes="float16")
    for dtypes, huge in (("float32", 1e20), ("float64", 1e200), ("bfloat16", 1e20)):
        pins += _pins(
            "SumOverflow", "one square", (huge, 0.0), (0.0, 0.0), "10", (SUM,), dtypes=dtypes
        )
        both = (huge, huge, huge), (0.0, -huge, huge)
        pins += _pins("SumOverflow", "two squares", *both, "111", (BATCH,), dtypes=dtypes)
    for dtypes, near in (("float32", 1.5e19), ("float64", 1.1e154)):
        below = (near, 0.0), (0.0, 1.0)
        pins += _pins(
            "Clamped", "the square is just in range", *below, "11", (MEAN,), dtypes=dtypes
        )
        above = (near, -near), (0.0, 0.0)
        comment = "each square is in range, the sum is not"
        pins += _pins("SumOverflow", comment, *above, "11", (SUM, SSE), dtypes=dtypes)
        pins += _pins("OpenOverflow", comment, *above, "11", (MEAN,), dtypes=dtypes)
        pins += _pins("OpenOverflow", comment, *above, "1 1", (BATCH, MSE), dtypes=dtypes)
    far = (3e38, 0.0), (-3e38, 0.0)
    return pins + _pins("SumOverflow", "the difference overflows", *far, "11")


def gradient_pins() -> list[Pin]:
    """Every call of gradient.json."""
    return [*_slopes(), *_slope_masks(), *_slope_non_finite(), *_slope_dtypes()]


def _slopes() -> list[Pin]:
    flags = "Ordinary MissingFactor MissingMinus"
    pins = _pins(flags, "all masked", _RECON, _TARGET, _ALL, (SUM, SSE, MSE))
    pins += _pins(flags + " MissingScale", "all masked", _RECON, _TARGET, _ALL, (MEAN, BATCH))
    pins += _pins(flags, "one position", (4.0,), (1.0,), "1")
    for upstream in (-2.5, 3.0, 0.0, 2.0**-6):
        comment = f"upstream gradient {upstream}"
        given: Given = (_RECON, _TARGET, "101 110")
        pins += _pins("IgnoredUpstream", comment, *given, (SUM, SSE, MSE), upstream=upstream)
    zeros = (1.0, 2.0, -0.0), (1.0, 5.0, 0.0)
    return [
        *pins,
        *_pins("ZeroDifference", "two exact guesses of three", *zeros, "111"),
        *_pins("ZeroDifference", "all guesses exact", _RECON, _RECON, _ALL, (SUM, SSE, MSE)),
        *_pins("Clipped", "gradients above 1", (1e4, -50.0), (0.0, 0.0), "11"),
        *_pins("LostSmall", "gradients below 1e-8", (1e-9, -1e-12), (0.0, 0.0), "11"),
        *_pins("LostSmall", "tiny differences", (1e-30, -1e-25), (0.0, 0.0), "11"),
        *_pins("LossOverflow", "1e20 squared", (1e20, 1.0), (0.0, 0.5), "11"),
        *_pins("LossOverflow", "1e200 squared", (1e200, 1.0), (0.0, 0.5), "11", dtypes="float64"),
    ]


def _slope_masks() -> list[Pin]:
    pins = []
    for comment, bits in {
        "ragged rows": "101 100",
        "first position": "100 000",
        "last position": "000 001",
        "one row": "000 111",
        "all but one": "111 011",
    }.items():
        flags = "ForgottenMask MaskOfFirstRow"
        flags += " MissedPosition" if "position" in comment else ""
        recon = (2.0, -1.0, 0.5, 3.0, 0.25, 6.0)
        pins += _pins(flags, comment, recon, _ZEROS6, bits, (SUM, BATCH))
        pins += _pins(flags + " DividedBySize", comment, recon, _ZEROS6, bits, (MEAN,))
    tail = Constant(1.5), Constant(0.5)
    for size in (17, 129, 1025):
        comment = f"1 x {size}, all masked"
        shape = (1, size)
        pins += _pins("MissedPosition", comment, *tail, Mask("full"), (SUM,), shape=shape)
    pins += _pins("EmptyRow", "counts 3 and 0", _RECON, _TARGET, "111 000", FIVE[1:])
    pins += _pins("EmptyRow", "counts 0 and 1", _RECON, _TARGET, "000 010", (MEAN, BATCH))
    spoilt = (NAN, INF, -INF, NAN, 1.0, INF)
    for dtypes in ("float32", "float16", "float64", "bfloat16/float32"):
        given: Given = (_RECON, _TARGET, "000 000")
        pins += _pins("EmptyMask", "nothing masked", *given, dtypes=dtypes)
    comment = "nothing masked, NaN and Inf everywhere"
    pins += _pins("EmptyMask MultipliedMask", comment, spoilt, spoilt, "000 000")
    pins += _pins("EmptyBatch", "B = 0", (), (), Mask(()), (*THREE, SSE), shape=(0, 3))
    pins += _pins("EmptyLength", "L = 0", (), (), Mask(()), (*THREE, MSE), shape=(3, 0))
    return pins


def _slope_non_finite() -> list[Pin]:
    pins = []
    for comment, a, b in (
        ("NaN in x_recon", NAN, 0.0),
        ("NaN in x", 0.0, NAN),
        ("Inf in x_recon", INF, 0.0),
        ("-Inf in x", 0.0, -INF),
        ("Inf in both", INF, INF),
    ):
        given: Given = (1.0, a, 3.0, a), (2.5, b, 0.5, b), "10 10"
        pins += _pins("MultipliedMask ForgottenMask", f"{comment}, outside the mask", *given)
    huge = (1.0, 3e38), (0.5, -3e38)
    pins += _pins("HugeOutside ForgottenMask", "the difference overflows", *huge, "10")
    huge = (1.0, 1.7e308), (0.5, -1.7e308)
    flags = "HugeOutside ForgottenMask"
    pins += _pins(flags, "the difference overflows", *huge, "10", (SUM, MSE), dtypes="float64")
    for flag, comment, a, b in (
        ("HiddenNan", "NaN in x_recon", NAN, 0.0),
        ("HiddenNan", "NaN in x", 0.0, NAN),
        ("HiddenInf", "Inf in x_recon", INF, 0.0),
        ("HiddenInf", "Inf in x", 0.0, INF),
        ("HiddenNan", "equal infinities", INF, INF),
    ):
        given = (a, 1.0, 2.0), (b, 0.5, 7.0), "110"
        pins += _pins(f"{flag} SpreadNan", f"{comment}, masked", *given, (SUM, MSE))
    return pins


def _slope_dtypes() -> list[Pin]:
    pins = []
    for dtypes, a, b in (
        ("float16/float32", 2048.0, 0.5),
        ("float32/float16", 2.0**-12, 1.0),
        ("bfloat16/float64", 256.0, 0.25),
        ("float16/bfloat16", 65504.0, -65504.0),
    ):
        comment = "the difference is no half number"
        given: Given = (a, 1.0), (b, 1.5), "11"
        calls = (SUM, MSE)
        pins += _pins("HalfDifference", comment, *given, calls, dtypes=dtypes, upstream=2.0**-3)
    for dtypes in ("float16", "bfloat16"):
        given = (_RECON, _TARGET, "101 110")
        pins += _pins("Ordinary MissingFactor", "half inputs", *given, THREE, dtypes=dtypes)
    for flag, comment, recon, target, upstream in (
        (
            "HalfDifference",
            "the difference overflows half",
            (65504.0, 1.0),
            (-65504.0, 0.5),
            0.0625,
        ),
        ("HalfOverflow", "2 * 65504 is beyond half", (65504.0, 1.0), (0.0, 0.5), 1.0),
        ("HalfOverflow", "-4 * 65504 is beyond half", (-65504.0, 1.0), (65504.0, 0.5), 1.0),
        ("LossOverflow", "squares beyond half", (300.0, -200.0), (0.0, 100.0), 1.0),
        ("LostSmall", "half subnormals", (2.0**-20, 1.0), (0.0, 1.0), 1.0),
    ):
        pins += _pins(
            flag, comment, recon, target, "11", (SUM,), dtypes="float16", upstream=upstream
        )
    thirds = (0.1, 1 / 3, 2 / 3), (0.3, 2 / 7, 1.1), "111"
    pins += _pins("Float32Only", "float64", *thirds, FIVE, dtypes="float64")
    pins += _pins("Float32Only", "float64 target", *thirds, (SUM, MSE), dtypes="float32/float64")
    return pins


@dataclass(frozen=True)
class Refusal:
    """One call by shapes and dtypes alone, and what is wrong with it: dtype, shape or reduction."""

    flag: str
    comment: str
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((3, 4),) * 3
    dtypes: tuple[str, str, str] = ("float32", "float32", "bool")
    reduction: str = "mean"
    fault: str | None = None


def refusals() -> list[Refusal]:
    """Every call of refused.json: wrong ones, and right ones that only resemble them."""
    found = []
    for position, name in enumerate(("x_recon", "x", "mask")):
        for shape, flag in (
            ((1, 4), "Broadcast"),
            ((3, 1), "Broadcast"),
            ((1, 1), "Broadcast"),
            ((2, 4), "WrongShape"),
            ((4, 3), "WrongShape"),
            ((0, 4), "WrongShape"),
            ((), "WrongRank"),
            ((4,), "WrongRank"),
            ((12,), "WrongRank"),
            ((1, 3, 4), "WrongRank"),
        ):
            shapes: list[tuple[int, ...]] = [(3, 4)] * 3
            shapes[position] = shape
            comment = f"{name} has shape {list(shape)}, the others [3, 4]"
            found.append(Refusal(flag, comment, (shapes[0], shapes[1], shapes[2]), fault="shape"))
    for shape in ((4,), (2, 3, 4)):
        comment = f"all three have shape {list(shape)}"
        found.append(Refusal("WrongRank", comment, (shape,) * 3, fault="shape"))
    for dtype in ("uint8", "int32", "int64", "float32", "float16"):
        dtypes = ("float32", "float32", dtype)
        found.append(Refusal("MaskDtype", f"mask is {dtype}", dtypes=dtypes, fault="dtype"))
    for dtype in ("uint8", "int32", "int64", "bool", "complex64", "float8_e4m3fn"):
        for dtypes in ((dtype, "float32", "bool"), ("float32", dtype, "bool")):
            name = "x" if dtypes[1] == dtype else "x_recon"
            comment = f"{name} is {dtype}"
            found.append(Refusal("ValueDtype", comment, dtypes=dtypes, fault="dtype"))
    for reduction in ("none", "SUM", "", "batchmean", " mean"):
        comment = f"reduction is {reduction!r}"
        found.append(Refusal("UnknownReduction", comment, reduction=reduction, fault="reduction"))
    for shape in ((3, 4), (1, 4), (3, 1), (1, 1), (0, 4), (3, 0), (0, 0)):
        comment = f"all three have shape {list(shape)}"
        found.append(Refusal("Accepted", comment, (shape,) * 3))
    for dtypes in (("float16", "float64", "bool"), ("bfloat16", "float16", "bool")):
        found.append(Refusal("Accepted", "mixed dtypes", dtypes=dtypes))
    return found


def rounded(
    value: Fraction, fmt: oracle.Format, to_integer: Callable[[Fraction], int] = round
) -> float:
    """The number of a format nearest to a rational, ties to even; or above it, by `math.ceil`."""
    if abs(value) >= fmt.overflow:
        return INF if value > 0 else -INF
    if value == 0:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > abs(value):
        exponent -= 1
    step = max(Fraction(2) ** exponent * 2 * fmt.roundoff, fmt.smallest)
    return float(to_integer(value / step) * step)


def _hex(value: float) -> str:
    """As C's %a prints it: float.hex without the zeros at the end."""
    mantissa, p, exponent = value.hex().partition("p")
    return mantissa.rstrip("0").rstrip(".") + p + exponent if p else mantissa


def _listed(values: list[Any]) -> Any:
    """The values row by row, or where they are many, the runs of equal ones with their lengths."""
    if len(values) <= _LONGEST_LIST:
        return values
    return {"runs": [[len(list(run)), value] for value, run in itertools.groupby(values)]}


def _hexes(tensor: Tensor) -> list[str]:
    return [_hex(value) for value in oracle.as_array(tensor).ravel().tolist()]


def _result_dtype(inputs: Inputs) -> torch.dtype:
    return oracle.result_dtype(inputs.x_recon.dtype, inputs.x.dtype)


def _described(pin: Pin, inputs: Inputs) -> dict[str, Any]:
    """The fields that say what is called."""
    return {
        "comment": pin.comment,
        "flags": list(pin.flags),
        "shape": list(pin.case.shape),
        "x_recon": _listed(_hexes(inputs.x_recon)),
        "x": _listed(_hexes(inputs.x)),
        "mask": _listed([int(bit) for bit in inputs.mask.flatten().tolist()]),
        "reduction": pin.case.reduction,
    }


def value_test(pin: Pin) -> dict[str, Any]:
    """The call, the correctly rounded result, the exact one, and how far off is allowed (C6)."""
    inputs = pin.case.build()
    reduction, dtype = pin.case.effective_reduction, _result_dtype(inputs)
    fmt, answer = oracle.format_of(dtype), oracle.exact(inputs)
    wanted = answer.reduced(reduction)
    test = _described(pin, inputs)
    if isinstance(wanted, str):
        return test | {"expected": wanted, "bound": _hex(0.0), "result": "valid"}
    expected, bound, result = rounded(wanted, fmt), 0.0, "valid"
    roundoffs = oracle.sum_roundoffs(answer.selected, dtype)
    allowed = oracle.value_bound(answer, reduction, dtype, roundoffs)
    if expected == INF:
        assert wanted - allowed >= fmt.overflow, "too close to the end of the range to be pinned"
    elif wanted:
        # About the rounded result rather than the exact one, so that ports need no rationals.
        bound = rounded(allowed + abs(Fraction(expected) - wanted), fmt, math.ceil)
        assert isinstance(answer.total, Fraction)
        if answer.total * (1 + Fraction(roundoffs) * fmt.roundoff) >= fmt.overflow:
            result = "acceptable"
    return test | {
        "expected": _hex(expected),
        "exact": str(wanted),
        "bound": _hex(bound),
        "result": result,
    }


def gradient_test(pin: Pin) -> dict[str, Any]:
    """The call, the upstream gradient, and each input's gradient with its bounds (C11, C12)."""
    inputs = pin.case.build()
    test = _described(pin, inputs) | {"upstream": _hex(pin.case.upstream)}
    for name, tensor, sign in (("x_recon", inputs.x_recon, 1), ("x", inputs.x, -1)):
        slopes = _slopes_of(pin.case, inputs, tensor.dtype, sign)
        test[f"grad_{name}"] = _listed([_hex(expected) for expected, _ in slopes])
        test[f"bound_{name}"] = _listed([_hex(bound) for _, bound in slopes])
    return test | {"result": "valid"}


def _slopes_of(
    case: Case, inputs: Inputs, dtype: torch.dtype, sign: int
) -> list[tuple[float, float]]:
    """Each position's 2 (x_recon - x) * mask * upstream / divisor, times the sign; its bound."""
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    fmt, work = oracle.format_of(dtype), oracle.format_of(_result_dtype(inputs))
    found = []
    arrays = (oracle.as_array(tensor).ravel().tolist() for tensor in inputs)
    for a, b, counted in zip(*arrays, strict=True):
        if not counted:
            found.append((0.0, 0.0))
            continue
        if not (math.isfinite(a) and math.isfinite(b)):
            found.append((sign * case.upstream * (a - b), 0.0))
            continue
        difference, upstream = Fraction(a) - Fraction(b), Fraction(case.upstream)
        wanted = sign * 2 * difference * upstream / divisor
        gain = max(Fraction(1), abs(upstream))
        assert abs(2 * difference) * gain < work.largest, "an order of evaluation may overflow"
        expected, bound = rounded(wanted, fmt), 0.0
        if wanted and math.isfinite(expected):
            # The slack of oracle.gradient_fault for subnormals, in both dtypes.
            slack = fmt.smallest + work.smallest * gain
            allowed = oracle.GRADIENT_ROUNDOFFS * fmt.roundoff * abs(wanted) + slack
            bound = rounded(allowed + abs(Fraction(expected) - wanted), fmt, math.ceil)
        found.append((expected, bound))
    return found


def refused_test(refusal: Refusal) -> dict[str, Any]:
    """The call by shapes and dtypes, and which kind of fault must be reported."""
    named = zip(("x_recon", "x", "mask"), refusal.shapes, refusal.dtypes, strict=True)
    test: dict[str, Any] = {"comment": refusal.comment, "flags": [refusal.flag]}
    test |= {name: {"shape": list(shape), "dtype": dtype} for name, shape, dtype in named}
    test["reduction"] = refusal.reduction
    if refusal.fault is None:
        return test | {"result": "valid"}
    return test | {"result": "invalid", "fault": refusal.fault}


def documents() -> dict[str, dict[str, Any]]:
    """What each file holds, by its name."""
    return {
        "value.json": _document("value", VALUE_NOTES, _grouped("Value", value_pins(), value_test)),
        "gradient.json": _document(
            "gradient", GRADIENT_NOTES, _grouped("Gradient", gradient_pins(), gradient_test)
        ),
        "refused.json": _document(
            "refusal",
            REFUSED_NOTES,
            [
                {
                    "type": "Refusal",
                    "function": function,
                    "tests": [*map(refused_test, refusals())],
                }
                for function in FUNCTIONS
            ],
        ),
    }


def _grouped(
    kind: str, pins: list[Pin], make: Callable[[Pin], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tests of equal function and dtypes side by side, in the order in which these first come."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for pin in pins:
        key = (pin.case.function, pin.case.x_recon.dtype, pin.case.x.dtype)
        if key not in groups:
            groups[key] = {"type": kind, "function": key[0]}
            groups[key] |= {"x_recon_dtype": key[1], "x_dtype": key[2]}
            result = str(_result_dtype(pin.case.build())).removeprefix("torch.")
            groups[key] |= {"result_dtype": result, "tests": []}
        groups[key]["tests"].append(make(pin))
    return list(groups.values())


def _document(subject: str, notes: dict[str, Note], groups: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = itertools.count(1)
    for group in groups:
        group["tests"] = [{"tcId": next(numbers)} | test for test in group["tests"]]
    return {
        "algorithm": f"masked squared error, {subject}",
        "schema": SCHEMA,
        "generatorVersion": GENERATOR_VERSION,
        "contract": "CONTRACT.md",
        "numberOfTests": next(numbers) - 1,
        "notes": {
            flag: {"bugType": kind, "clause": clause, "description": description}
            for flag, (kind, clause, description) in sorted(notes.items())
        },
        "testGroups": groups,
    }


def text(document: dict[str, Any]) -> str:
    """The document as JSON with one test a line, so that a change shows as the lines it touches."""
    head = json.dumps({k: v for k, v in document.items() if k != "testGroups"}, indent=1)
    groups = []
    for group in document["testGroups"]:
        opening = json.dumps({k: v for k, v in group.items() if k != "tests"})[:-1]
        lines = ",\n".join(json.dumps(test) for test in group["tests"])
        groups.append(f'{opening}, "tests": [\n{lines}\n]}}')
    return head[:-2] + ',\n "testGroups": [\n' + ",\n".join(groups) + "\n]\n}\n"


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    return {name: text(document) for name, document in documents().items()}


def differing(folder: Path) -> list[str]:
    """The names of the files in a folder that are not as generated, missing or extra."""
    wanted = files()
    names = sorted({*wanted, *(path.name for path in folder.glob("*.json"))})
    return [name for name in names if wanted.get(name, "").encode() != _bytes(folder / name)]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 if any differs."""
    parser = argparse.ArgumentParser(
        prog="python -m wavemae.properties.pinned",
        description="The pinned vectors of the masked losses, for ports to other languages.",
    )
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--write", metavar="FOLDER", type=Path, help="write the files there")
    either.add_argument(
        "--check",
        metavar="FOLDER",
        type=Path,
        nargs="?",
        const=FOLDER,
        help="say which files there, or of those shipped, differ from what would be written",
    )
    own = parser.parse_args(arguments)
    if own.write:
        own.write.mkdir(parents=True, exist_ok=True)
        for name, content in files().items():
            (own.write / name).write_bytes(content.encode())
        return 0
    wrong = differing(own.check)
    for name in wrong:
        print(
            f"{own.check / name} differs from what the generator makes; write it again with --write"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
