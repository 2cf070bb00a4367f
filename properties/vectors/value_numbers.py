"""More calls of value.json: dtypes, accuracy and range."""

from __future__ import annotations

from ..inputs.masks import Mask
from ..inputs.values import Constant, Spike
from .pins import BATCH, FIVE, MEAN, MSE, SSE, SUM, THREE, Pin, pinned


def halves() -> list[Pin]:
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
        pins += pinned("HalfOverflow", comment, (a, b), (b, b), "10", (MSE,), dtypes=dtypes)
    pins += pinned(
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
        pins += pinned("HalfDifference", comment, (a, b), (b, b), "10", (MSE,), dtypes=dtypes)
    for dtypes, count in (("float16", 2049), ("float16", 4100), ("bfloat16", 257)):
        pins += pinned(
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
        pins += pinned(
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


def pairings() -> list[Pin]:
    pins = []
    for dtypes, a, b in (
        ("float16/float32", 1.0, 0.1),
        ("float32/float16", 0.1, 1.0),
        ("bfloat16/float32", 1.0, 0.1),
        ("float32/bfloat16", 0.1, 1.0),
        ("float16/bfloat16", 1 + 2.0**-9, 1.0),
        ("bfloat16/float16", 1.0, 1 + 2.0**-9),
    ):
        pins += pinned(
            "NarrowedInput", "mixed dtypes", (a, 1.0), (b, 1.5), "10", (MSE,), dtypes=dtypes
        )
    tiny = 2.0**-40
    for other in ("float32", "float16", "bfloat16"):
        for first in (True, False):
            dtypes = f"float64/{other}" if first else f"{other}/float64"
            a, b = (1.0 + tiny, 1.0) if first else (1.0, 1.0 + tiny)
            comment = "float64 beside a narrower dtype"
            flags = "NarrowedInput Float32Only"
            pins += pinned(flags, comment, (a, 0.0), (b, 0.0), "11", (MSE,), dtypes=dtypes)
    thirds = (0.1, 1 / 3, 2 / 3), (0.3, 2 / 7, 1.1)
    pins += pinned("Float32Only", "float64", *thirds, "111", FIVE, dtypes="float64")
    pins += pinned("Ordinary", "float32 rounds its inputs", *thirds, "111")
    return pins


def accuracy() -> list[Pin]:
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
        pins += pinned(flags, comment, recon, (offset,) * 4, "11 10", dtypes=dtypes)
    for value, shape in ((0.1, (256, 256)), (0.7, (1, 40000))):
        comment = f"{shape[0] * shape[1]} equal differences"
        operands = Constant(value), Constant(0.0)
        pins += pinned("SequentialSum", comment, *operands, Mask("full"), shape=shape)
    spiked = Spike(1.0, 4096.0), Constant(0.0)
    comment = "one square of 2**24 before 65535 of 1"
    return pins + pinned("SequentialSum", comment, *spiked, Mask("full"), shape=(16, 4096))


def ranges() -> list[Pin]:
    pins = []
    for dtypes, root, subnormal in (
        ("float32", 2.0**-74, 2.0**-149),
        ("float64", 2.0**-537, 2.0**-1074),
    ):
        pins += [
            *pinned(
                "FlushedSubnormal",
                "64 subnormal squares",
                Constant(2 * root),
                Constant(0.0),
                Mask("full"),
                (SUM,),
                shape=(8, 8),
                dtypes=dtypes,
            ),
            *pinned(
                "FlushedSubnormal",
                "two subnormal squares",
                (256 * root, 64 * root),
                (0.0, -64 * root),
                "11",
                THREE,
                dtypes=dtypes,
            ),
            *pinned(
                "SquareUnderflow",
                "the smallest subnormal difference",
                (subnormal,),
                (0.0,),
                "1",
                (MEAN,),
                dtypes=dtypes,
            ),
            *pinned(
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
    pins += pinned("FlushedSubnormal", "half subnormals", *smallest_half, "11", dtypes="float16")
    for dtypes, huge in (("float32", 1e20), ("float64", 1e200), ("bfloat16", 1e20)):
        pins += pinned(
            "SumOverflow", "one square", (huge, 0.0), (0.0, 0.0), "10", (SUM,), dtypes=dtypes
        )
        both = (huge, huge, huge), (0.0, -huge, huge)
        pins += pinned("SumOverflow", "two squares", *both, "111", (BATCH,), dtypes=dtypes)
    for dtypes, near in (("float32", 1.5e19), ("float64", 1.1e154)):
        below = (near, 0.0), (0.0, 1.0)
        pins += pinned(
            "Clamped", "the square is just in range", *below, "11", (MEAN,), dtypes=dtypes
        )
        above = (near, -near), (0.0, 0.0)
        comment = "each square is in range, the sum is not"
        pins += pinned("SumOverflow", comment, *above, "11", (SUM, SSE), dtypes=dtypes)
        pins += pinned("OpenOverflow", comment, *above, "11", (MEAN,), dtypes=dtypes)
        pins += pinned("OpenOverflow", comment, *above, "1 1", (BATCH, MSE), dtypes=dtypes)
    far = (3e38, 0.0), (-3e38, 0.0)
    return pins + pinned("SumOverflow", "the difference overflows", *far, "11")
