"""How cases are drawn: shapes, dtypes, masks, layouts, and values in tiers.

Two sources. Grids walk through every combination of what is small in number, simplest first, so
that a mistake in one corner cannot hide. Strategies draw the rest and shrink it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .cases import (
    DENSE_LAYOUTS,
    DTYPES,
    FUNCTIONS,
    LAYOUTS,
    MASK_PATTERNS,
    REDUCTIONS,
    Case,
    Lattice,
    Mask,
    Operand,
)
from .effort import Effort

SMALL_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (5, 1), (2, 3), (3, 2), (4, 4), (3, 7))
EMPTY_SHAPES = ((0, 0), (0, 3), (3, 0), (0, 1), (1, 0))
CALLS = tuple((function, reduction) for function in FUNCTIONS for reduction in (None, *REDUCTIONS))
GRADS = (("x_recon",), ("x_recon", "x"), ("x",))
SELECTING_PATTERNS = ("full", *(p for p in MASK_PATTERNS if p not in ("full", "empty")))
PAIRS = tuple(sorted(itertools.product(DTYPES, DTYPES), key=lambda p: (p[0] != p[1], p)))

_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38}


def sizes(largest: int) -> list[tuple[int, int]]:
    """Shapes whose sizes straddle powers of two, where tails, vectors, blocks and threads begin."""
    lengths = [15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 1023, 1024, 1025, 2049]
    shapes = [(1, n) for n in lengths] + [(n, 1) for n in lengths]
    shapes += [(2, 8), (3, 11), (8, 8), (7, 19), (16, 16), (33, 31), (5, 205), (64, 65), (257, 3)]
    shapes += [(4097, 2), (9, 1025), (128, 128), (1, 32769), (32769, 1), (300, 111), (257, 257)]
    shapes += [(256, 256), (1, 65537), (65537, 1), (129, 1023), (512, 512), (1, 2**18 + 1)]
    shapes += [(513, 1025), (1024, 1024), (1025, 1024)]
    return sorted((s for s in shapes if s[0] * s[1] <= largest * 1.01), key=lambda s: s[0] * s[1])


def thinned(cases: Iterable[Case], effort: Effort) -> Iterator[Case]:
    """Every case, or in a thin profile a share of them that the seed chooses."""
    everything = list(cases)
    effort = effort.for_grid_of(len(everything))
    return (case for number, case in enumerate(everything) if effort.keeps(number))


def small_grid(
    effort: Effort,
    *,
    shapes: Sequence[tuple[int, int]] = SMALL_SHAPES,
    patterns: Sequence[str] = MASK_PATTERNS,
    calls: Sequence[tuple[str, str | None]] = CALLS,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    grads: Sequence[tuple[str, ...]] = ((),),
    upstreams: Sequence[float] = (1.0,),
    share: int = 1,
) -> Iterator[Case]:
    """Shape × mask pattern × dtypes × call × which inputs require grad × upstream gradient.

    Values are lattice values that change with the seed and with every case.
    """
    combinations = list(itertools.product(shapes, patterns, pairs, calls, grads, upstreams))
    effort = effort.for_grid_of(len(combinations), share)
    for number, (shape, pattern, pair, (function, reduction), wanted, up) in enumerate(
        combinations
    ):
        if effort.keeps(number):
            yield Case(
                function,
                reduction,
                shape,
                Operand(pair[0], Lattice(effort.seed + 2 * number)),
                Operand(pair[1], Lattice(effort.seed + 2 * number + 1)),
                Mask(pattern, effort.seed + number),
                grads=wanted,
                upstream=up,
                salt=number,
            )


def sized_grid(
    effort: Effort,
    *,
    patterns: Sequence[str] = ("full", "last", "first", "bernoulli", "one", "all_but_one", "tail"),
    dtypes: Sequence[str] = DTYPES,
    largest: int = 2**20,
    grads: tuple[str, ...] = (),
    repeat: int = 1,
) -> Iterator[Case]:
    """One case or more for each size: patterns, dtypes, calls and layouts rotate through them."""
    shapes = sizes(min(largest, effort.largest))
    number = effort.seed % 1000
    cases = []
    for shape in shapes:
        small = shape[0] * shape[1] <= 5000
        for pattern in patterns:
            for _ in range(repeat if small else 1):
                number += 1
                function, reduction = CALLS[number % len(CALLS)]
                dtype = dtypes[number % len(dtypes)]
                other = dtypes[number // 3 % len(dtypes)] if number % 4 == 0 else dtype
                layout = LAYOUTS[number // 2 % 5] if number % 5 == 0 else "contiguous"
                cases.append(
                    Case(
                        function,
                        reduction,
                        shape,
                        Operand(dtype, Lattice(number), layout),
                        Operand(other, Lattice(number + 7)),
                        Mask(pattern, number),
                        grads=grads,
                        upstream=(1.0, -2.5, 3.0)[number % 3],
                        salt=number,
                    )
                )
    return thinned(cases, effort)


def shapes(*, empty: bool = True) -> SearchStrategy[tuple[int, int]]:
    """(B, L) with few elements: 0 now and then, 1, odd, around 8 and 16."""
    low = 0 if empty else 1
    side = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9] + ([0] if empty else []))
    long = st.tuples(st.just(1), st.sampled_from([15, 16, 17, 33]))
    both = st.tuples(side, side).filter(lambda s: s[0] * s[1] <= 40)
    return st.one_of(both, long, long.map(lambda s: (s[1], s[0]))).filter(lambda s: s[0] >= low)


def elements(dtype: str, tier: str) -> SearchStrategy[float]:
    """Single values of a tier.

    `lattice`, `wide` (finite, no square overflows), `extreme` (any finite), or `hard` (signed
    zeros, subnormals, largest, NaN and Inf as well).
    """
    lattice = st.integers(-64, 64).map(lambda k: k / 8)
    if tier == "lattice":
        return lattice
    width = {"float16": 16, "bfloat16": 32, "float32": 32, "float64": 64}[dtype]
    bound = min(_LARGEST.get(dtype, 2.0**120), 2.0**60)
    wide = st.floats(-bound, bound, width=width)  # type: ignore[arg-type]  # a literal to typeshed
    if tier == "wide":
        return st.one_of(lattice, wide)
    extreme = st.one_of(
        st.floats(width=width, allow_nan=False, allow_infinity=False),  # type: ignore[arg-type]
        st.sampled_from(special(dtype)),
        lattice,
    )
    if tier == "extreme":
        return extreme
    return st.one_of(st.sampled_from([float("nan"), float("inf"), -float("inf")]), extreme)


def special(dtype: str) -> list[float]:
    """Finite values that arithmetic gets wrong: zeros, smallest, largest, near 1, near the root."""
    largest, smallest, normal, epsilon = {
        "float16": (65504.0, 2.0**-24, 2.0**-14, 2.0**-10),
        "bfloat16": (3.3895313892515355e38, 2.0**-133, 2.0**-126, 2.0**-7),
        "float32": (3.4028234663852886e38, 2.0**-149, 2.0**-126, 2.0**-23),
        "float64": (1.7976931348623157e308, 2.0**-1074, 2.0**-1022, 2.0**-52),
    }[dtype]
    root = 2.0 ** (512 if dtype == "float64" else 64)
    positive = [smallest, normal, epsilon, 1.0, 1 + epsilon, min(root, largest), largest]
    return [0.0, -0.0] + positive + [-v for v in positive]


@st.composite
def cases(
    draw: DrawFn,
    *,
    tier: str = "wide",
    empty: bool = True,
    layouts: Sequence[str] = ("contiguous",),
    grads: Sequence[tuple[str, ...]] = ((),),
    upstreams: Sequence[float] = (1.0,),
    dtypes: Sequence[str] = DTYPES,
    patterns: bool = True,
) -> Case:
    """A case with few elements, each of them drawn, so that it shrinks to what matters."""
    function, reduction = draw(st.sampled_from(CALLS))
    shape = draw(shapes(empty=empty))
    count = shape[0] * shape[1]

    def operand() -> Operand:
        dtype = draw(st.sampled_from(list(dtypes)))
        values = draw(st.lists(elements(dtype, tier), min_size=count, max_size=count))
        return Operand(dtype, tuple(values), draw(st.sampled_from(list(layouts))))

    # The simplest case, which is drawn first, has a full mask: no run sees empty masks only.
    if patterns and draw(st.sampled_from([True, False])):
        bits: tuple[bool, ...] | str = draw(st.sampled_from(MASK_PATTERNS))
    else:
        bits = tuple(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    return Case(
        function,
        reduction,
        shape,
        operand(),
        operand(),
        Mask(bits, draw(st.integers(0, 99)), draw(st.sampled_from(list(layouts)))),
        grads=draw(st.sampled_from(list(grads))),
        upstream=draw(st.sampled_from(list(upstreams))),
        salt=draw(st.integers(0, 9999)),
    )


def scattered(
    effort: Effort,
    *,
    count: int = 320,
    largest: int = 2**14,
    layouts: Sequence[str] = ("contiguous",),
    grads: Sequence[tuple[str, ...]] = ((),),
) -> Iterator[Case]:
    """Cases of any size up to `largest` elements, everything about them by chance; small first.

    Where a mistake needs a certain length and a certain dtype, mask or layout together, no grid of
    either finds it. Sides are of every magnitude, round numbers among them.
    """
    chance = random.Random(effort.seed)
    cases = []
    for _ in range(count * (8 if effort.profile == "deep" else 1)):
        long = chance.randint(1, 2 ** chance.randint(1, largest.bit_length() - 1))
        if chance.random() < 0.5:
            step = chance.choice([n for n in (6, 8, 10, 32, 48, 100, 1000) if n <= largest])
            long = step * chance.randint(
                1, 2 ** chance.randint(0, (largest // step).bit_length() - 1)
            )
        short = chance.randint(1, 2 ** chance.randint(0, (largest // long).bit_length() - 1))
        function, reduction = chance.choice(CALLS)
        dtype, salt = chance.choice(DTYPES), chance.randrange(10000)
        other = dtype if chance.random() < 0.5 else chance.choice(DTYPES)
        laid_out = [chance.choice(layouts)] * 3
        if chance.random() < 0.6:
            laid_out = [chance.choice(layouts) for _ in range(3)]
        cases.append(
            Case(
                function,
                reduction,
                chance.choice([(short, long), (long, short)]),
                Operand(dtype, Lattice(salt), laid_out[0]),
                Operand(other, Lattice(salt + 1), laid_out[1]),
                Mask(chance.choice(SELECTING_PATTERNS), salt, laid_out[2]),
                grads=chance.choice(grads),
                upstream=chance.choice((1.0, -2.5, 3.0)) if any(grads) else 1.0,
                salt=salt,
            )
        )
    return iter(sorted(cases, key=lambda case: case.count))


__all__ = [
    "CALLS",
    "DENSE_LAYOUTS",
    "EMPTY_SHAPES",
    "GRADS",
    "PAIRS",
    "SMALL_SHAPES",
    "cases",
    "elements",
    "scattered",
    "sized_grid",
    "sizes",
    "small_grid",
    "special",
    "thinned",
]
