"""Grids: every combination of what is small in number, simplest first, so that no corner hides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from .cases import DTYPES, FUNCTIONS, REDUCTIONS, Case
from .effort import Effort
from .layouts import LAYOUTS
from .masks import MASK_PATTERNS, Mask
from .operands import Operand
from .values import NAN, Lattice

SAME_PAIRS = tuple((d, d) for d in DTYPES)


def some(cases: Iterable[Case], effort: Effort) -> Iterator[Case]:
    """All cases of a short list, or every fifth in the quick profile."""
    return itertools.islice(cases, effort.seed % 5, None, 5) if effort.quick else iter(cases)


def gradcheck_cases(effort: Effort) -> Iterator[Case]:
    return small_grid(
        effort,
        shapes=((2, 3), (1, 3)),
        patterns=("bernoulli", "full", "empty", "one"),
        pairs=(("float64", "float64"),),
        share=2,
        grads=GRADS,
    )


SMALL_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (5, 1), (2, 3), (3, 2), (4, 4), (3, 7))
CALLS = tuple((function, reduction) for function in FUNCTIONS for reduction in (None, *REDUCTIONS))
GRADS = (("x_recon",), ("x_recon", "x"), ("x",))
PAIRS = tuple(sorted(itertools.product(DTYPES, DTYPES), key=lambda p: (p[0] != p[1], p)))


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


LARGEST = ((2**21 + 1, 2), (3, 2**21 - 1), (2050, 2049))  # more than 2²²: tall, flat and square


def large_grid(
    effort: Effort,
    *,
    shapes: Sequence[tuple[int, int]] = LARGEST,
    grads: Sequence[tuple[str, ...]] = ((),),
) -> Iterator[Case]:
    """One case of each large shape and each of `grads`, with NaN outside; none if quick."""
    asked = () if effort.quick else itertools.product(shapes, grads)
    for number, (shape, wanted) in enumerate(asked, effort.seed):
        pair = (("float32", "float32"), ("bfloat16", "float16"), ("float16", "float32"))[number % 3]
        x_recon, x = (Operand(d, Lattice(number + n), outside=NAN) for n, d in enumerate(pair))
        function, reduction = CALLS[number % len(CALLS)]
        mask = Mask("bernoulli", number)
        yield Case(function, reduction, shape, x_recon, x, mask, grads=wanted, salt=number)
