"""The calls of gradient.json."""

from __future__ import annotations

from ..inputs.masks import Mask
from ..inputs.values import INF, NAN, Constant
from .pins import (
    ALL,
    BATCH,
    FIVE,
    MEAN,
    MSE,
    RECON,
    SSE,
    SUM,
    TARGET,
    THREE,
    ZEROS6,
    Given,
    Pin,
    pinned,
)


def gradient_pins() -> list[Pin]:
    """Every call of gradient.json."""
    return [*_slopes(), *_slope_masks(), *_slope_non_finite(), *_slope_dtypes()]


def _slopes() -> list[Pin]:
    flags = "Ordinary MissingFactor MissingMinus"
    pins = pinned(flags, "all masked", RECON, TARGET, ALL, (SUM, SSE, MSE))
    pins += pinned(flags + " MissingScale", "all masked", RECON, TARGET, ALL, (MEAN, BATCH))
    pins += pinned(flags, "one position", (4.0,), (1.0,), "1")
    for upstream in (-2.5, 3.0, 0.0, 2.0**-6):
        comment = f"upstream gradient {upstream}"
        given: Given = (RECON, TARGET, "101 110")
        pins += pinned("IgnoredUpstream", comment, *given, (SUM, SSE, MSE), upstream=upstream)
    zeros = (1.0, 2.0, -0.0), (1.0, 5.0, 0.0)
    return [
        *pins,
        *pinned("ZeroDifference", "two exact guesses of three", *zeros, "111"),
        *pinned("ZeroDifference", "all guesses exact", RECON, RECON, ALL, (SUM, SSE, MSE)),
        *pinned("Clipped", "gradients above 1", (1e4, -50.0), (0.0, 0.0), "11"),
        *pinned("LostSmall", "gradients below 1e-8", (1e-9, -1e-12), (0.0, 0.0), "11"),
        *pinned("LostSmall", "tiny differences", (1e-30, -1e-25), (0.0, 0.0), "11"),
        *pinned("LossOverflow", "1e20 squared", (1e20, 1.0), (0.0, 0.5), "11"),
        *pinned("LossOverflow", "1e200 squared", (1e200, 1.0), (0.0, 0.5), "11", dtypes="float64"),
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
        pins += pinned(flags, comment, recon, ZEROS6, bits, (SUM, BATCH))
        pins += pinned(flags + " DividedBySize", comment, recon, ZEROS6, bits, (MEAN,))
    tail = Constant(1.5), Constant(0.5)
    for size in (17, 129, 1025):
        comment = f"1 x {size}, all masked"
        shape = (1, size)
        pins += pinned("MissedPosition", comment, *tail, Mask("full"), (SUM,), shape=shape)
    pins += pinned("EmptyRow", "counts 3 and 0", RECON, TARGET, "111 000", FIVE[1:])
    pins += pinned("EmptyRow", "counts 0 and 1", RECON, TARGET, "000 010", (MEAN, BATCH))
    spoilt = (NAN, INF, -INF, NAN, 1.0, INF)
    for dtypes in ("float32", "float16", "float64", "bfloat16/float32"):
        given: Given = (RECON, TARGET, "000 000")
        pins += pinned("EmptyMask", "nothing masked", *given, dtypes=dtypes)
    comment = "nothing masked, NaN and Inf everywhere"
    pins += pinned("EmptyMask MultipliedMask", comment, spoilt, spoilt, "000 000")
    pins += pinned("EmptyBatch", "B = 0", (), (), Mask(()), (*THREE, SSE), shape=(0, 3))
    pins += pinned("EmptyLength", "L = 0", (), (), Mask(()), (*THREE, MSE), shape=(3, 0))
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
        pins += pinned("MultipliedMask ForgottenMask", f"{comment}, outside the mask", *given)
    huge = (1.0, 3e38), (0.5, -3e38)
    pins += pinned("HugeOutside ForgottenMask", "the difference overflows", *huge, "10")
    huge = (1.0, 1.7e308), (0.5, -1.7e308)
    flags = "HugeOutside ForgottenMask"
    pins += pinned(flags, "the difference overflows", *huge, "10", (SUM, MSE), dtypes="float64")
    for flag, comment, a, b in (
        ("HiddenNan", "NaN in x_recon", NAN, 0.0),
        ("HiddenNan", "NaN in x", 0.0, NAN),
        ("HiddenInf", "Inf in x_recon", INF, 0.0),
        ("HiddenInf", "Inf in x", 0.0, INF),
        ("HiddenNan", "equal infinities", INF, INF),
    ):
        given = (a, 1.0, 2.0), (b, 0.5, 7.0), "110"
        pins += pinned(f"{flag} SpreadNan", f"{comment}, masked", *given, (SUM, MSE))
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
        pins += pinned("HalfDifference", comment, *given, calls, dtypes=dtypes, upstream=2.0**-3)
    for dtypes in ("float16", "bfloat16"):
        given = (RECON, TARGET, "101 110")
        pins += pinned("Ordinary MissingFactor", "half inputs", *given, THREE, dtypes=dtypes)
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
        pins += pinned(
            flag, comment, recon, target, "11", (SUM,), dtypes="float16", upstream=upstream
        )
    thirds = (0.1, 1 / 3, 2 / 3), (0.3, 2 / 7, 1.1), "111"
    pins += pinned("Float32Only", "float64", *thirds, FIVE, dtypes="float64")
    pins += pinned("Float32Only", "float64 target", *thirds, (SUM, MSE), dtypes="float32/float64")
    return pins
