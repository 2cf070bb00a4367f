"""What Hypothesis draws and shrinks: shapes, dtypes, masks, layouts, and values in tiers."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from .cases import DTYPES, Case
from .grids import CALLS
from .masks import MASK_PATTERNS, Mask
from .operands import Operand

_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38}


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
