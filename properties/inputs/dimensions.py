"""The dimensions of a call and their levels; rows.py makes cases of them, in which any two meet.

A new level is one entry in `LEVELS`, and meets every other one in every situation, or in one of two
where a profile asks half of an array: in some row of `arrays.json` stand any two levels (for the
deep profile any three) that may stand together. A test says when that file is stale;
`python -m wavemae.properties.inputs.covering` makes it anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .cases import DTYPES, FUNCTIONS, REDUCTIONS, SHARED, Case
from .values import INF, NAN

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
    ("float64", "float32"),
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
    "middle": {
        "dtypes": FEW_DTYPES,
        "shape": LEVELS["shape"][:10],
        "upstream": (1.0, -2.5, 2.0**17, INF),
    },
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
            (300, 300), (70001, 1), (1, 70001), (2, 40001), (9001, 9), (1030, 2), (1024, 1100),
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
    "dtypes": FEW_DTYPES[1:6],
    "shape": ((4, 6), (5, 5), (1, 1), (2, 3), (0, 3), (3, 0), (70, 9), (1, 7), (300, 300)),
    "values": ("lattice", "reals", "wide", "nan", "inf"),
    "outside": ("as drawn", "nan in x_recon", "nan in x", "nan and inf"),
    "x_recon": ("contiguous", "strided_columns", "transposed"),
    "x": ("contiguous", "transposed", "strided_columns"),
    "mask layout": ("contiguous", "transposed", "strided_rows"),
    "alike": ("",),
    "grads": ((),),
    "upstream": (1.0,),  # of nothing
}
ARRAYS["compiled backward"] = {
    **ARRAYS["compiled"],
    "dtypes": (FEW_DTYPES[0], *FEW_DTYPES[2:4], FEW_DTYPES[5]),
    "shape": ((4, 6), (5, 5), (1, 1), (0, 3), (70, 9)),
    "call": (_SMALL_CALLS[1], _SMALL_CALLS[3]),
    "grads": (("x_recon", "x"), ("x_recon",), ("x",)),
    "upstream": (1.0, -2.5, 2.0**17),
}
# With nothing masked, so that any two of the other levels meet there.
ARRAYS["empty"] = {
    **ARRAYS["small"],
    "call": LEVELS["call"],
    "mask": ("empty",),
    "upstream": LEVELS["upstream"],
}
# With a NaN among the values of either input, in every pair of dtypes.
ARRAYS["nan"] = {
    **ARRAYS["small"],
    "dtypes": LEVELS["dtypes"],
    "shape": ((4, 5), (1, 1), (3, 3)),
    "values": ("nan", "inf and nan"),
    "mask": ("full", "bernoulli"),
}
# For what makes each call many times over.
ARRAYS["few"] = {
    **ARRAYS["small"],
    "dtypes": FEW_DTYPES[:6],
    "shape": ((4, 5),),
    "values": ("lattice", "reals"),
    "mask": ("bernoulli",),
    "outside": ("as drawn", "nan and inf"),
    "x_recon": ("contiguous",),
    "x": ("contiguous",),
    "mask layout": ("contiguous",),
    "alike": ("",),
    "upstream": (1.0,),
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


def simpler(row: Row, offered: Offered) -> Iterable[Row]:
    """Rows with one level replaced by a simpler one, the simplest first."""
    for name, everything in LEVELS.items():
        levels = offered.levels(name, everything)
        here = levels.index(row[name]) if row[name] in levels else len(levels)
        for level in levels[:here]:
            changed = {**row, name: level}
            if together(changed):
                yield changed
