"""The dimensions of a call, their levels, and arrays of cases in which any two levels meet.

A new level is one entry in `LEVELS`, and meets every other one in every situation, or in one of two
where a profile asks half of an array: in some row of `arrays.json` stand any two levels (for the
deep profile any three) that may stand together. A test says when that file is stale;
`python -m wavemae.properties.inputs.covering` makes it anew.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .cases import DTYPES, FUNCTIONS, REDUCTIONS, SHARED, Case
from .covering import covering_rows
from .layouts import sources
from .masks import Mask, mask_bits
from .operands import Operand
from .values import INF, NAN, Constant, Lattice, Reals, Spike

Row = dict[str, Any]

# Simplest first: a case that fails is simplified towards the front of each.
LEVELS: dict[str, tuple[Any, ...]] = {
    "dtypes": tuple(
        sorted(itertools.product(DTYPES, DTYPES), key=lambda p: (p[0] != p[1], DTYPES.index(p[0])))
    ),
    "shape": (
        (1, 1), (4, 5), (3, 3), (1, 9), (9, 1), (0, 3), (3, 0), (7, 17), (33, 40), (3, 261),
        (16, 64), (64, 127), (129, 8), (5, 257),
    ),
    "values": (
        "lattice", "constant", "reals", "wide", "offset", "equal", "large", "subnormal", "overflow",
        "nan", "inf", "inf and nan",
    ),
    "call": tuple(
        (function, reduction)
        for reduction in ("sum", "mean", "batch_mean", None)
        for function in ("masked_mse", "masked_sse")
    ),
    "mask": ("full", "bernoulli", "empty", "one", "last", "one_row", "all_but_one", "blocks"),
    "outside": ("as drawn", "nan in x_recon", "nan in x", "inf in both", "nan and inf", "huge"),
    "x_recon": (
        "contiguous", "transposed", "offset", "expanded_rows", "strided_columns", "negated",
        "far_rows", "sliding_windows",
    ),
    "x": (
        "contiguous", "transposed", "offset", "expanded_rows", "strided_columns", "negated",
        "far_rows", "sliding_windows", *SHARED,
    ),
    "mask layout": (
        "contiguous", "transposed", "offset", "expanded_rows", "strided_rows", "one_element",
    ),
    "alike": ("", "transposed", "offset", "expanded_rows", "far_rows"),
    "grads": (("x_recon",), ("x_recon", "x"), ("x",), ()),
    "upstream": (1.0, -2.5, 2.0**17, 2.0**-30, INF, NAN),
    "born": ("leaf", "inner", "parameter"),
}  # fmt: skip
FEW_DTYPES = (
    *((dtype, dtype) for dtype in DTYPES),
    ("float16", "float32"),
    ("float32", "float64"),
    ("float16", "bfloat16"),
    ("float64", "bfloat16"),
)

# What is left out of each dimension, or put in its place, by the name of an array.
_SMALL_CALLS = (
    ("masked_mse", "sum"),
    ("masked_mse", "mean"),
    ("masked_sse", None),
    ("masked_sse", "batch_mean"),
)
ARRAYS: dict[str, Mapping[str, tuple[Any, ...]]] = {
    "full": {},
    "middle": {"dtypes": FEW_DTYPES, "shape": LEVELS["shape"][:10], "upstream": (1.0, -2.5, INF)},
    "small": {
        "dtypes": FEW_DTYPES[:6],
        "shape": ((4, 5), (1, 1), (3, 0), (3, 3)),
        "values": ("lattice", "reals", "wide", "subnormal", "nan", "inf"),
        "call": _SMALL_CALLS,
        "mask": ("full", "bernoulli", "empty", "one"),
        "x_recon": ("contiguous", "transposed"),
        "x": ("contiguous", "expanded_rows"),
        "mask layout": ("contiguous", "transposed"),
        "alike": ("", "transposed"),
        "upstream": (1.0, -2.5),
        "born": ("leaf",),
    },
    "large": {
        "dtypes": FEW_DTYPES[:6],
        "shape": (
            (300, 300), (70000, 1), (1, 70000), (2, 40000), (9000, 9), (1030, 2), (1024, 1100),
        ),
        "values": ("constant", "reals", "lattice", "large", "subnormal", "inf"),
        "mask": ("full", "bernoulli", "all_but_one", "last"),
        "outside": ("as drawn", "nan in x_recon", "nan in x", "nan and inf"),
        "x_recon": ("contiguous", "transposed", "offset"),
        "x": ("contiguous", "transposed"),
        "mask layout": ("contiguous", "transposed"),
        "alike": ("",),
        "upstream": (1.0, -2.5),
        "born": ("leaf",),
    },
}  # fmt: skip
# Compilers take a second for each kind of call, and guard on sizes 0 and 1.
ARRAYS["compiled"] = {
    **ARRAYS["small"],
    "dtypes": (FEW_DTYPES[2], FEW_DTYPES[1], *FEW_DTYPES[4:6]),  # C18-compile asks bfloat16
    "shape": ((4, 6), (5, 5), (1, 1), (2, 3), (0, 3), (3, 0), (70, 9), (1, 7), (300, 300)),
    "values": ("lattice", "reals", "wide", "nan", "inf"),
    "outside": ("as drawn", "nan in x_recon", "nan in x", "nan and inf"),
    "x_recon": ("contiguous",),
    "x": ("contiguous",),
    "mask layout": ("contiguous",),
    "alike": ("",),
    "grads": ((),),
    "upstream": (1.0,),
}
ARRAYS["compiled backward"] = {
    **ARRAYS["compiled"],
    "dtypes": (FEW_DTYPES[0], FEW_DTYPES[2], FEW_DTYPES[5]),
    "shape": ((4, 6), (5, 5), (1, 1), (0, 3), (70, 9)),
    "call": (_SMALL_CALLS[1], _SMALL_CALLS[3]),
    "grads": (("x_recon", "x"), ("x_recon",), ("x",)),
}
# Sizes that no other array has, so that what is kept by size is made where it is asked for.
ARRAYS["own sizes"] = {**ARRAYS["small"], "shape": ((17, 3), (19, 2), (23, 1), (13, 11))}
TRIPLES = ("middle", "small")  # the deep profile lets any three levels of these meet
VARIANTS = {"middle": 6, "small": 4}  # arrays of the same levels, in which other levels meet


@dataclass(frozen=True)
class Offered:
    """What a subject takes at all, as far as it decides which levels there are."""

    functions: tuple[str, ...] = FUNCTIONS
    reductions: tuple[str, ...] = REDUCTIONS
    dtypes: tuple[str, ...] = DTYPES
    gradients: bool = True

    def levels(self, name: str, levels: Iterable[Any]) -> tuple[Any, ...]:
        """Those of the levels of one dimension that it offers."""
        return tuple(level for level in levels if self._offers(name, level))

    def _offers(self, name: str, level: Any) -> bool:
        if name == "dtypes":
            return set(level) <= set(self.dtypes)
        if name == "call":
            case = Case(*level)
            return case.function in self.functions and case.effective_reduction in self.reductions
        return self.gradients or name != "grads" or level == ()


_OWNED = ("contiguous", "transposed")
_WHOLE = ("as drawn", "nan and inf")
_SHARED_OUTSIDE = {"same": _WHOLE, "opposite": _WHOLE, "shifted": _WHOLE[:1]}
# What cannot stand together, by two dimensions each: whether a level of one goes with one of the
# other. Only what is impossible by itself is left out.
GOES: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("x", "dtypes", lambda x, dtypes: x not in SHARED or dtypes[0] == dtypes[1]),
    ("x", "alike", lambda x, alike: x not in SHARED or not alike),
    ("x", "x_recon", lambda x, layout: x not in SHARED or layout == "contiguous"),
    ("x", "values", lambda x, v: x not in SHARED or v in ("lattice", "reals", "nan", "inf")),
    ("x", "outside", lambda x, outside: x not in SHARED or outside in _SHARED_OUTSIDE[x]),
    # A Parameter owns its memory.
    ("born", "x", lambda born, layout: born != "parameter" or layout in _OWNED),
    ("born", "x_recon", lambda born, layout: born != "parameter" or layout in _OWNED),
    ("born", "alike", lambda born, alike: born != "parameter" or not alike),
)


def together(row: Mapping[str, Any]) -> bool:
    """Whether levels, some or all of a row, may stand together."""
    return all(goes(row[a], row[b]) for a, b, goes in GOES if a in row and b in row)


def levels_of(array: str) -> dict[str, tuple[Any, ...]]:
    """The dimensions of an array, each with its levels."""
    return {name: ARRAYS[array].get(name, everything) for name, everything in LEVELS.items()}


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


def numbered(rows: Iterable[Row], salt: int) -> tuple[tuple[Row, Case], ...]:
    """Each row with its case, the numbers of each chosen anew."""
    return tuple((row, case_of(row, salt + number)) for number, row in enumerate(rows))


@functools.cache
def array_cases(
    array: str, variant: int, offered: Offered, strength: int, seed: int
) -> tuple[tuple[Row, Case], ...]:
    """The rows of an array with their cases: the same in every situation, and so made once."""
    salt = zlib.crc32(f"{array}/{variant}/{seed}".encode()) % 10**6
    return numbered(rows(array, variant, offered, strength), salt)


def many_masked(offered: Offered) -> tuple[Row, ...]:
    """Means over more masked positions, in rows and in columns, than a half counts one by one."""
    levels = {name: offered.levels(name, given) for name, given in LEVELS.items()}
    levels["call"] = tuple(call for call in levels["call"] if call[1] == "mean")
    if not all(levels.values()):
        return ()
    simplest = {name: given[0] for name, given in levels.items()} | {"mask": "all_but_one"}
    return tuple({**simplest, "shape": shape} for shape in ((2, 2051), (2051, 2)))


def scattered(offered: Offered, seed: int, count: int) -> tuple[Row, ...]:
    """Rows of any levels and of any size up to 2¹⁴ elements, all by chance; small ones first.

    Where a mistake needs a certain length, no array has it. Sides are of every magnitude, round
    numbers among them.
    """
    chance = random.Random(seed)
    levels = {name: offered.levels(name, given) for name, given in LEVELS.items()}
    found: list[Row] = []
    while len(found) < count and all(levels.values()):
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
    bits = mask_bits(mask, case.shape)
    seen = bits.reshape(-1)[sources(mask.layout, case.shape)]
    return _poisoned(_valued(case, row["values"], seen), row["outside"])


def _valued(case: Case, values: str, seen: np.ndarray[Any, np.dtype[np.bool_]]) -> Case:
    salt, dtypes = case.salt, (case.x_recon.dtype, case.x.dtype)
    selected = max(1, int(seen.sum()))
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
    if values not in ("nan", "inf", "inf and nan") or not seen.any():
        return case
    masked = np.flatnonzero(seen)
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
        "huge": tuple(
            sign * 0.9 * torch.finfo(getattr(torch, dtype)).max
            for sign, dtype in ((1, case.x_recon.dtype), (-1, case.x.dtype))
        ),
    }[outside]
    return case.but(x_recon__outside=x_recon, x__outside=x)


def simpler(row: Row, offered: Offered) -> Iterable[Row]:
    """Rows with one level replaced by a simpler one, the simplest first."""
    for name, everything in LEVELS.items():
        levels = offered.levels(name, everything)
        here = levels.index(row[name]) if row[name] in levels else len(levels)
        for level in levels[:here]:
            changed = {**row, name: level}
            if together(changed):
                yield changed
