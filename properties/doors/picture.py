"""Where the squares and numbers of a picture stand: x_recon and x of a case, and its mask."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 74, 24  # of a square, wide enough for "-1.23e+38"
MARGIN, GAP = 34, 26
SIDE_BY_SIDE = 6  # up to as many columns


@dataclass(frozen=True)
class Square:
    """One element of x_recon or x: its corner, its value in short and exactly, how it is drawn."""

    left: int
    top: int
    short: str
    exact: str
    kind: str


@dataclass(frozen=True)
class Panel:
    """One tensor: its name, the corner of its first square, the numbers of rows and columns."""

    name: str
    left: int
    top: int
    rows: list[int]
    columns: list[int]
    squares: list[Square]


@dataclass(frozen=True)
class Picture:
    """Both panels, the size of the whole, and what it shows in words."""

    width: int
    height: int
    words: str
    panels: list[Panel]


def picture(example: dict[str, Any]) -> Picture | None:
    """The picture of a counterexample in a report, or None where it has no tensors."""
    tensors, case = example["tensors"], example["case"]
    if tensors is None or case is None:
        return None
    (row, column), mask = tensors["origin"], tensors["mask"]
    rows = list(range(row, row + len(mask)))
    columns = list(range(column, column + len(mask[0])))
    wide, high = MARGIN + len(columns) * WIDTH, MARGIN + len(rows) * HEIGHT
    beside = len(columns) <= SIDE_BY_SIDE
    panels = []
    for number, name in enumerate(("x_recon", "x")):
        left, top = (wide + GAP, 0) if beside and number else (0, number * (high + GAP))
        left, top = left + MARGIN, top + MARGIN
        squares = list(_squares(tensors[name], mask, left, top))
        title = ", ".join([name, case[name]["dtype"], *_layout(case[name])])
        panels.append(Panel(title, left, top, rows, columns, squares))
    width, height = (2 * wide + GAP, high) if beside else (wide, 2 * high + GAP)
    return Picture(width, height, _words(tensors, case), panels)


def _layout(operand: dict[str, Any]) -> list[str]:
    return [] if operand["layout"] == "contiguous" else [operand["layout"]]


def _squares(values: list[list[str]], mask: list[str], left: int, top: int) -> Iterable[Square]:
    for i, (numbers, bits) in enumerate(zip(values, mask, strict=True)):
        for j, (number, bit) in enumerate(zip(numbers, bits, strict=True)):
            kind = "masked" if bit == "1" else "outside"
            kind += "" if math.isfinite(float(number)) else " odd"
            yield Square(left + j * WIDTH, top + i * HEIGHT, _short(number), number, kind)


def _short(number: str) -> str:
    value = float(number)
    return {"nan": "NaN", "inf": "+Inf", "-inf": "−Inf"}.get(number, f"{value:.3g}")


def _words(tensors: dict[str, Any], case: dict[str, Any]) -> str:
    """What the picture shows, for whoever does not see it."""
    (row, column), mask = tensors["origin"], tensors["mask"]
    shown, whole = (len(mask), len(mask[0])), tuple(case["shape"])
    reduction = f", reduction={case['reduction']!r}" if case["reduction"] else ""
    words = f"{case['function']}(x_recon, x, mask{reduction}) of shape ({whole[0]}, {whole[1]})"
    if shown != whole:
        words += f", of which {shown[0]} rows from {row} and {shown[1]} columns from {column}"
    words += f"; {sum(bits.count('1') for bits in mask)} of {shown[0] * shown[1]} masked"
    places: dict[str, list[str]] = {}
    for name in ("x_recon", "x"):
        for i, numbers in enumerate(tensors[name]):
            for j, number in enumerate(numbers):
                if not math.isfinite(float(number)):
                    where = "masked" if mask[i][j] == "1" else "outside the mask"
                    found = places.setdefault(f"{_short(number)} in {name}, {where}: ", [])
                    found.append(f"({row + i}, {column + j})")
    odd = (kind + ", ".join(found[:6] + ["…"] * (len(found) > 6)) for kind, found in places.items())
    return "; ".join([words, *odd])
