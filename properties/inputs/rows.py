"""Rows of levels, one of each dimension, and the case that has them."""

from __future__ import annotations

import functools
import itertools
import math
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .cases import SHARED, Case
from .covering import covering_rows
from .dimensions import FEW_DTYPES, LEVELS, Offered, Row, levels_of, together
from .layouts import extent, sources, strides
from .masks import Mask, mask_bits
from .operands import Operand
from .values import INF, NAN, Constant, Lattice, Reals, Spike

Makers = tuple[tuple[Row, Callable[[], Case]], ...]  # rows, each with what makes its case


@functools.cache
def rows(array: str, variant: int, offered: Offered, strength: int = 2) -> tuple[Row, ...]:
    """The rows of an array, with what is not offered replaced by something that is."""
    levels = levels_of(array)
    kept = {
        name: offered.levels(name, given) or offered.levels(name, LEVELS[name])
        for name, given in levels.items()
    }
    if not all(kept.values()):
        return ()
    found = {}
    for number, picked in enumerate(covering_rows(array, variant, strength)):
        row = {}
        for (name, given), index in zip(levels.items(), picked, strict=True):
            level = given[index]
            row[name] = level if level in kept[name] else kept[name][number % len(kept[name])]
        found[repr(row)] = row
    return tuple(row for row in found.values() if together(row))


def numbered(given: Sequence[Row], salt: int) -> Makers:
    """Each row with what makes its case, once; the numbers of each are chosen anew."""
    makers = (functools.partial(case_of, row, salt + number) for number, row in enumerate(given))
    return tuple(zip(given, map(functools.cache, makers), strict=True))


@functools.cache
def array_cases(array: str, variant: int, offered: Offered, strength: int, seed: int) -> Makers:
    """The rows of an array with what makes their cases, which are the same in every situation."""
    salt = zlib.crc32(f"{array}/{variant}/{seed}".encode()) % 10**6
    return numbered(rows(array, variant, offered, strength), salt)


def many_masked(offered: Offered) -> tuple[Row, ...]:
    """Means over more masked positions, and over more rows, than a half counts one by one."""
    shapes = (("mean", (2, 2051)), ("mean", (2051, 2)), ("batch_mean", (2051, 2)))
    return tuple(row for each in shapes for row in _simplest(offered, *each))


def for_many_threads(offered: Offered) -> tuple[Row, ...]:
    """The first reduction at over 2²⁰ elements, where a loss may use threads of its own."""
    calls = offered.levels("call", LEVELS["call"])
    return _simplest(offered, calls[0][1], (1031, 1024)) if calls else ()


def _simplest(offered: Offered, reduction: Any, shape: tuple[int, int]) -> tuple[Row, ...]:
    """All but one position masked, the other levels as simple as offered; none without a call."""
    levels = _levels(offered)
    calls = [call for call in levels.get("call", ()) if call[1] == reduction]
    if not calls:
        return ()
    simplest = {name: given[0] for name, given in levels.items()}
    return ({**simplest, "call": calls[0], "mask": "all_but_one", "shape": shape},)


def _levels(offered: Offered) -> dict[str, tuple[Any, ...]]:
    """The levels that are offered of every dimension; nothing where one of them has none."""
    levels = {name: offered.levels(name, given) for name, given in LEVELS.items()}
    return levels if all(levels.values()) else {}


def scattered(offered: Offered, seed: int, count: int) -> tuple[Row, ...]:
    """Rows of any levels and of any size up to 2¹⁴ elements, all by chance; small ones first.

    Where a mistake needs a certain length, no array has it. Sides are of every magnitude, round
    numbers among them.
    """
    chance = random.Random(seed)
    levels = _levels(offered)
    found: list[Row] = []
    while len(found) < count and levels:
        row = {name: chance.choice(given) for name, given in levels.items()}
        if chance.random() < 0.5:
            row |= {"x_recon": "contiguous", "x": "contiguous", "mask layout": "contiguous"}
        long = chance.randint(1, 2 ** chance.randint(1, 14))
        if chance.random() < 0.5:
            step = chance.choice((6, 8, 10, 32, 48, 100, 1000))
            long = step * chance.randint(
                1, 2 ** chance.randint(0, (2**14 // step).bit_length() - 1)
            )
        short = chance.randint(1, 2 ** chance.randint(0, (2**14 // long).bit_length() - 1))
        row["shape"] = chance.choice([(short, long), (long, short)])
        if together(row):
            found.append(row)
    return tuple(sorted(found, key=lambda row: row["shape"][0] * row["shape"][1]))


def strided(offered: Offered, seed: int) -> tuple[Row, ...]:
    """Rows in which all inputs have the same strides, the other levels by chance; small ones first.

    In each pairing of dtypes are those that are not dense, though as much memory is reached as
    there are elements, of all shapes up to eight by eight; of one shape there are all up to six.
    """
    chance = random.Random(seed)
    levels = _levels(offered)
    if not levels:
        return ()
    levels |= dict.fromkeys(("x_recon", "x", "mask layout"), ("contiguous",))
    dtypes = offered.levels("dtypes", FEW_DTYPES)
    tricky = itertools.product(*(range(2, 9),) * 2, *(range(2, 8),) * 2, dtypes)
    asked = [((a, b), *more) for a, b, *more in tricky if extent((a, b), *more[:2]) == a * b]
    asked += [((3, 5), p, q, chance.choice(dtypes)) for p in range(1, 7) for q in range(1, 7)]
    found: list[Row] = []
    for shape, step, hop, pair in sorted(asked):
        row = {name: chance.choice(given) for name, given in levels.items()}
        row |= {"shape": shape, "alike": strides(step, hop), "dtypes": pair}
        found.append(row if together(row) else {**row, "born": "leaf"})
    return tuple(found)


def case_of(row: Mapping[str, Any], salt: int) -> Case:
    """The case that has these levels; `salt` decides the numbers."""
    alike = row["alike"]
    layouts = [alike or row["x_recon"], alike or row["x"], alike or row["mask layout"]]
    shared = layouts[1] if layouts[1] in SHARED else ""
    if shared:
        layouts[1] = "contiguous"
    mask = Mask(row["mask"], salt, layouts[2])
    function, reduction = row["call"]
    case = Case(
        function,
        reduction,
        shape=row["shape"],
        x_recon=Operand(row["dtypes"][0], layout=layouts[0]),
        x=Operand(row["dtypes"][1], layout=layouts[1]),
        mask=mask,
        grads=row["grads"],
        upstream=row["upstream"],
        salt=salt,
        shared=shared,
        born=row["born"],
    )
    return _poisoned(_valued(case, row["values"]), row["outside"])


def seen(case: Case) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The bits of the mask as its layout shows them."""
    bits: np.ndarray[Any, np.dtype[np.bool_]] = mask_bits(case.mask, case.shape).reshape(-1)
    return bits[sources(case.mask.layout, case.shape)]


def _valued(case: Case, values: str) -> Case:
    salt, dtypes = case.salt, (case.x_recon.dtype, case.x.dtype)
    selected = max(1, int(seen(case).sum())) if values == "large" else 1
    result = functools.reduce(
        torch.promote_types, (getattr(torch, d) for d in dtypes), torch.float32
    )
    fmt = torch.finfo(result)
    most = min(0.9 * torch.finfo(getattr(torch, d)).max for d in dtypes)
    large = min(math.sqrt(0.8 * fmt.max / selected), most)
    least = math.sqrt(fmt.smallest_normal) / 2**5
    if "float16" in dtypes:
        least = max(least, 2.0**-17)
    x_recon, x = {
        "lattice": (Lattice(salt), Lattice(salt + 1)),
        "constant": (Constant(1.1), Constant(0.3)),
        "reals": (Reals(salt, 4.0), Reals(salt + 1, 4.0)),
        "wide": (Constant(2048.0), Constant(0.5)),
        "offset": (Reals(salt, 4.0, 1000.0), Reals(salt + 1, 4.0, 1000.0)),
        "equal": (Lattice(salt), Lattice(salt)),
        # the sum ends near three quarters of the largest number
        "large": (
            Reals(salt, large / 16, 9 / 16 * large),
            Reals(salt + 1, large / 64, -3 / 8 * large),
        ),
        "subnormal": (Reals(salt, least / 2, 1.5 * least), Constant(0.0)),
        "overflow": (Spike(1.0, most, salt), Constant(0.25)),
        "nan": (Lattice(salt), Lattice(salt + 1)),
        "inf": (Lattice(salt), Lattice(salt + 1)),
        "inf and nan": (Lattice(salt), Lattice(salt + 1)),
    }[values]
    case = case.but(x_recon__values=x_recon, x__values=x)
    if values not in ("nan", "inf", "inf and nan"):
        return case
    masked = np.flatnonzero(seen(case))
    if masked.size == 0:
        return case
    first, last = int(masked[salt % masked.size]), int(masked[-1])
    side = "x" if salt % 2 and not case.shared else "x_recon"
    sign = -1 if salt % 3 == 0 else 1
    case = _edited(case, side, first, NAN if values == "nan" else sign * INF)
    if values == "inf and nan":
        case = _edited(case, "x_recon", last, NAN if salt % 4 else INF)
    return case


def _edited(case: Case, side: str, position: int, value: float) -> Case:
    """The case with this value where this position of an input shows it."""
    operand = getattr(case, side)
    source = int(sources(operand.layout, case.shape).reshape(-1)[position])
    return case.but(**{f"{side}__edits": (*operand.edits, (source, value))})


def _poisoned(case: Case, outside: str) -> Case:
    if case.shared:
        return case.but(x_recon__outside={"as drawn": None, "nan and inf": NAN}[outside])
    x_recon, x = {
        "as drawn": (None, None),
        "nan in x_recon": (NAN, None),
        "nan in x": (None, NAN),
        "inf in both": (INF, -INF),
        "nan and inf": (NAN, INF),
        # whose difference is infinite, or is not
        "huge": tuple(
            share * torch.finfo(getattr(torch, dtype)).max
            for share, dtype in (
                (0.9, case.x_recon.dtype),
                ((-0.9, -0.09)[case.salt % 2], case.x.dtype),
            )
        ),
    }[outside]
    return case.but(x_recon__outside=x_recon, x__outside=x)
