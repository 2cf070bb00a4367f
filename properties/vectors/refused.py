"""The calls of refused.json."""

from __future__ import annotations

from dataclasses import dataclass


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
