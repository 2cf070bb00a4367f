"""The calls of value.json: formula, masks, divisors, what is outside and inside the mask."""

from __future__ import annotations

import itertools

from ..inputs.masks import Mask
from ..inputs.values import INF, NAN, Constant, Spike
from .pins import (
    ALL,
    BATCH,
    EIGHT,
    FIVE,
    MEAN,
    MSE,
    RECON,
    SSE,
    SUM,
    TARGET,
    THREE,
    TWO,
    ZEROS6,
    Given,
    Pin,
    pinned,
)
from .value_numbers import accuracy, halves, pairings, ranges


def value_pins() -> list[Pin]:
    """Every call of value.json."""
    return [
        *_formula(),
        *_masks(),
        *_divisors(),
        *_empties(),
        *_outside(),
        *_inside(),
        *halves(),
        *pairings(),
        *accuracy(),
        *ranges(),
    ]


def _formula() -> list[Pin]:
    scaled = [(2.0**k, f"inputs times 2**{k}: the loss times 4**{k}") for k in (-40, -20, 20, 40)]
    return [
        *pinned("Ordinary DividedByLength", "all masked", RECON, TARGET, ALL, EIGHT),
        *pinned("Ordinary SquareRoot", "one position", (4.0,), (1.0,), "1", FIVE),
        *pinned("Ordinary", "B = 1", (1.0, -2.0, 0.25), (0.0, 1.0, 0.5), "111", THREE),
        *pinned("Ordinary", "L = 1", (1.0, -2.0, 0.25), (0.0, 1.0, 0.5), "1 1 1", THREE),
        *pinned("OneSided", "x_recon above x", (3.0, 2.0), (1.0, 1.5), "11"),
        *pinned("OneSided", "x_recon below x: the same loss", (1.0, 1.5), (3.0, 2.0), "11"),
        *pinned("SquareRoot", "a whole", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "11 11", (SUM,)),
        *pinned("SquareRoot", "its first part", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "11 00", (SUM,)),
        *pinned("SquareRoot", "its second part", (3.0, 0.0, 4.0, 1.0), (0.0,) * 4, "00 11", (SUM,)),
        *pinned("Clamped", "differences above 1", (100.0, -1e4, 2.0), (0.0, 0.0, 0.5), "111"),
        *pinned("LostSmall", "a difference of 1e-6", (1e-6, 0.0), (0.0, 0.0), "11"),
        *pinned("LostSmall", "differences of 1e-12", (1e-12, -1e-12), (0.0, 0.0), "11"),
        *itertools.chain.from_iterable(
            pinned(
                "Clamped" if k > 1 else "LostSmall",
                comment,
                tuple(k * v for v in RECON),
                tuple(k * v for v in TARGET),
                "101 110",
                (SUM,),
            )
            for k, comment in scaled
        ),
        *pinned("ExactZero", "equal inputs", RECON, RECON, ALL, (SUM, SSE, MSE)),
        *pinned("ExactZero", "+0.0 and -0.0 are equal", (0.0, -0.0), (-0.0, 0.0), "11"),
        *pinned("ExactZero IgnoredMask", "zero inside the mask only", RECON, TARGET, "000 100"),
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
        pins += pinned(flags, comment, (2.0, -1.0, 0.5, 3.0, 0.25, 6.0), ZEROS6, bits, calls)
    square = tuple(float(v) for v in range(1, 10))
    pins += pinned("TransposedMask", "a square shape", square, (0.0,) * 9, "110 000 100")
    pins += pinned("TransposedMask", "a wide shape", square[:6], ZEROS6, "110 001")
    for size in (17, 33, 127, 257):
        for at, where in ((0, "first"), (-1, "last")):
            pins += pinned(
                "MissedPosition",
                f"1 x {size}: the only difference stands {where}",
                Spike(0.5, 3.5, at),
                Constant(0.5),
                Mask("full"),
                (SUM,),
                shape=(1, size),
            )
    pins += pinned(
        "MaskFromSentinel", "targets of 0", (1.0, 2.0, 3.0), (0.0, 0.0, 5.0), "111", (MEAN,)
    )
    pins += pinned(
        "MaskFromSentinel", "targets of -1", (1.0, 2.0, 3.0), (-1.0, 5.0, -1.0), "111", (MEAN,)
    )
    pins += pinned(
        "MaskFromSentinel", "a row of 0", (1.0, 2.0, 3.0, 4.0), (0, 0, 1, 1), "11 11", (MEAN,)
    )
    return pins


def _divisors() -> list[Pin]:
    means = (MEAN, MSE, ("masked_sse", "mean"))
    batches = (BATCH, SSE, ("masked_mse", "batch_mean"))
    pins = [
        *pinned("DividedBySize", "3 of 6 masked", RECON, TARGET, "101 010", means),
        *pinned("DividedBySize", "1 of 6 masked", RECON, TARGET, "000 010", means),
        *pinned("MeanOfMeans", "counts 3 and 1", RECON, TARGET, "111 010", means),
        *pinned("MeanOfMeans", "counts 1 and 2", RECON, TARGET, "100 011", means),
        *pinned("EmptyRow MeanOfMeans", "counts 3 and 0", RECON, TARGET, "111 000", FIVE[1:]),
        *pinned(
            "EmptyRow MeanOfMeans",
            "counts 0, 2, 0, 1",
            (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
            (0.0,) * 8,
            "00 11 00 10",
            FIVE[1:],
        ),
        *pinned("DividedByLength", "B = 3, L = 1", (1.0, 2.0, 3.0), (0.0,) * 3, "1 1 1", batches),
        *pinned("DividedByLength", "B = 1, L = 3", (1.0, 2.0, 3.0), (0.0,) * 3, "111", batches),
    ]
    calls = (MEAN, SSE)
    for value in (1.0, 2.0**-30):
        pins += pinned("Epsilon", "one position", (value,), (0.0,), "1", calls, dtypes="float64")
    return pins + pinned(
        "Epsilon", "two positions", (3.0, 1.0), (0.0, 0.5), "11", calls, dtypes="float64"
    )


def _empties() -> list[Pin]:
    pins = pinned("EmptyMask", "nothing masked", RECON, TARGET, "000 000", FIVE)
    spoilt = (NAN, INF, -INF, NAN, 1.0, INF)
    flags = "EmptyMask MultipliedMask"
    comment = "nothing masked, NaN and Inf everywhere"
    pins += pinned(flags, comment, spoilt, spoilt, "000 000", THREE)
    for dtypes in ("float16", "bfloat16", "float64", "float16/float64"):
        pins += pinned(
            "EmptyMask", "nothing masked", RECON, TARGET, "000 000", (MEAN,), dtypes=dtypes
        )
    for shape, flags in (
        ((0, 3), "EmptyBatch"),
        ((3, 0), "EmptyLength"),
        ((0, 0), "EmptyBatch EmptyLength"),
    ):
        comment = f"B = {shape[0]}, L = {shape[1]}"
        pins += pinned(flags, comment, (), (), Mask(()), FIVE, shape=shape)
    pins += pinned(
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
        recon, target = list(good), list(TARGET)
        for at in (1, 5):
            recon[at], target[at] = a, b
        calls = FIVE if name == "NaN in x_recon" else (MEAN,)
        comment = f"{name}, outside the mask"
        pins += pinned("MultipliedMask IgnoredMask", comment, (*recon,), (*target,), mask, calls)
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
        pins += pinned("HugeOutside", comment, *given, (BATCH,), dtypes=dtypes)
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
        pins += pinned(flags, f"{comment}, masked", *given, (THREE[number % 3],))
    pins += pinned(
        "HiddenNan", "NaN and Inf masked", (NAN, INF, 0.0), (0.0, 0.0, 1.0), "111", (SUM,)
    )
    for dtypes in ("float16", "bfloat16", "float64"):
        pins += pinned("HiddenNan", "NaN", (NAN, 1.0), (0.0, 0.0), "10", (MSE,), dtypes=dtypes)
        pins += pinned("HiddenInf", "Inf", (1.0, INF), (0.0, 0.0), "01", (SSE,), dtypes=dtypes)
    return pins
