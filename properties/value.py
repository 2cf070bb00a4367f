"""C4–C10: the value."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import torch

from . import oracle
from .cases import (
    DENSE_LAYOUTS,
    DTYPES,
    FUNCTIONS,
    REDUCTIONS,
    Case,
    Constant,
    Inputs,
    Lattice,
    Mask,
    Operand,
    Palette,
    Recipe,
    Spike,
    mask_bits,
)
from .effort import Effort
from .probe import Probe, same_bits
from .registry import prop
from .strategies import (
    CALLS,
    EMPTY_SHAPES,
    cases,
    scattered,
    sized_grid,
    small_grid,
    special,
    thinned,
)
from .violation import Violation

NAN, INF = float("nan"), float("inf")
SAME_PAIRS = tuple((d, d) for d in DTYPES)


def _some(cases: Iterable[Case], effort: Effort) -> Iterator[Case]:
    """All cases of a short list, or every fifth in a thin profile."""
    return itertools.islice(
        cases, effort.seed % 5 if effort.thin > 1 else 0, None, min(5, effort.thin)
    )


@prop(
    "C4-oracle",
    cost=5,
    statement="sum, mean and batch_mean equal exact rational arithmetic over the masked positions.",
    rationale="The definition of the loss, for every call, dtype pairing and kind of mask.",
    catches="mask inverted or ignored; wrong divisor, factor or power; mean of means; epsilons",
    cases=cases(),
    grid=lambda effort: small_grid(effort, share=4),
    weight=2,
)
def matches_oracle(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C4-sizes",
    cost=3,
    statement="The value is right at sizes around powers of two, for masks that single out few.",
    rationale="Vectors, blocks and threads begin and end there; one element left out must show.",
    catches="kernel tails dropped or counted twice; code paths that only large inputs take",
    grid=lambda effort: sized_grid(effort, repeat=2),
)
def sizes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C4-any-size",
    statement="The value is right at any size, round ones among them, with any dtypes and mask.",
    rationale="Real batches are 48 × 1000 as well as 32 × 64.",
    catches="whatever needs a certain length together with a certain dtype, mask or call",
    grid=scattered,
)
def any_size(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C4-every-position",
    statement="A difference at one masked position alone is counted, wherever it stands.",
    rationale="With zeros everywhere else nothing can hide one position that is skipped.",
    catches="a skipped first, last or tail element; an off-by-one between mask and values",
    grid=lambda effort: _single_differences(effort),
)
def every_position(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _single_differences(effort: Effort) -> Iterator[Case]:
    def unthinned() -> Iterator[Case]:
        number = effort.seed % 97
        for shape in (
            (1, 1),
            (1, 9),
            (9, 1),
            (3, 5),
            (1, 37),
            (8, 16),
            (3, 67),
            (2, 1030),
            (70, 33),
        ):
            count = shape[0] * shape[1]
            inner = range(count) if count <= 150 else range(0, count, 37)
            for at in sorted({*inner, count - 1, count - 2, count // 2} & set(range(count))):
                number += 1
                function, reduction = CALLS[number % len(CALLS)]
                pattern = "full" if number % 3 else "bernoulli"
                operands = [
                    Operand(DTYPES[number % 4], Spike(0.5, 3.0, at)),
                    Operand(DTYPES[number % 4], Constant(0.5)),
                ]
                if number % 2:
                    operands.reverse()
                x_recon, x = operands
                yield Case(function, reduction, shape, x_recon, x, Mask(pattern, number))

    return thinned(unthinned(), effort)


@prop(
    "C4-functions-agree",
    statement="For equal reductions masked_sse and masked_mse are the same.",
    rationale="The two functions differ in their default and in nothing else.",
    catches="two copies of the arithmetic that have drifted apart",
    cases=cases(),
    grid=lambda effort: small_grid(
        effort, share=2, calls=tuple(("masked_sse", r) for r in REDUCTIONS), pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def functions_agree(probe: Probe, case: Case) -> None:
    case = case.but(reduction=case.effective_reduction)
    results = {}
    for function in FUNCTIONS:
        loss, inputs = probe.loss(case.but(function=function))
        probe.right_value(loss, case, inputs)
        results[function] = loss
    a, b = results.values()
    if a.dtype != b.dtype or a.requires_grad != b.requires_grad:
        raise Violation("masked_mse differs from masked_sse in kind", got=b, wanted=a)


_GRID_VALUES = {
    dtype: [0.0, -0.0, 1.0, -1.0, 0.25, 2.0**-12, *special(dtype)[2:9], NAN, INF, -INF]
    for dtype in DTYPES
}


@prop(
    "C4-exhaustive",
    cost=3,
    statement="Every mask of every shape with B·L ≤ 9 gives the exact value, on hard values.",
    rationale="Small worlds can be searched whole: no mask of these shapes is left out.",
    catches="whatever depends on a particular small mask, row or shape",
    scaled=True,
)
def exhaustive(probe: Probe, effort: Effort) -> None:
    """Call every (shape, mask) with finite lattice values and with hard ones.

    The hard values (±0, ±1, powers of two, subnormal, largest, NaN, Inf) wander over the positions
    from call to call; function and reduction rotate, so that each meets every mask size. Each call
    is a call of the subject: nothing is batched.
    """
    number = effort.seed % 101
    for rows, columns in sorted(
        ((b, n) for b in range(1, 10) for n in range(1, 10) if b * n <= 9),
        key=lambda s: s[0] * s[1],
    ):
        count = rows * columns
        for code in range(2**count):
            number += 1
            if effort.thin > 1 and count > 4 and number % effort.thin:
                continue
            bits = tuple(bool(code >> i & 1) for i in range(count))
            for hard in (False, True):
                for function, reduction in itertools.islice(
                    itertools.cycle(CALLS), number % len(CALLS), number % len(CALLS) + 2
                ):
                    dtype = DTYPES[number // 3 % 4]
                    if hard:
                        grid = _GRID_VALUES[dtype]
                        values = [
                            tuple(
                                grid[(number * k + i * i * j + i) % len(grid)] for i in range(count)
                            )
                            for j, k in ((3, 5), (1, 7))
                        ]
                    else:
                        values = [
                            tuple(((number * k + i * 5) % 17 - 8) / 4 for i in range(count))
                            for k in (3, 5)
                        ]
                    case = Case(
                        function,
                        reduction,
                        (rows, columns),
                        Operand(dtype, values[0]),
                        Operand(dtype, values[1]),
                        Mask(bits),
                    )
                    case = probe.fit(case)
                    loss, inputs = probe.loss(case)
                    probe.right_value(loss, case, inputs)


@prop(
    "C5-result",
    statement="The result is 0-d, on the inputs' device, of dtype promote(x_recon, x, float32).",
    rationale="A training loop calls .backward() and adds losses; logging calls .item().",
    catches="a Python float; shape (1,); a half result; float64 whenever it is convenient",
    cases=cases(),
    grid=lambda effort: small_grid(
        effort, shapes=((0, 0), (0, 3), (3, 0), (1, 1), (2, 3)), patterns=("full", "empty", "one")
    ),
    weight=0.3,
)
def result_kind(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_dtype(loss, inputs)
    if loss.device != inputs.x.device:
        raise Violation(
            "the result is on another device", got=str(loss.device), wanted=str(inputs.x.device)
        )
    with torch.inference_mode():
        apart = probe.build(case)
    for result in (loss, probe.call(case, apart)):
        if result.is_inference():
            raise Violation(
                "the result is an inference tensor, which no graph can take",
                got="is_inference() is True",
                wanted="a normal tensor",
            )
    if loss.layout != torch.strided or loss.requires_grad:
        raise Violation(
            "the result of inputs without grad is not a plain tensor",
            got=f"layout {loss.layout}, requires_grad={loss.requires_grad}",
            wanted="layout torch.strided, requires_grad=False",
        )


@prop(
    "C5-half-range",
    statement="Half inputs whose squares or sum leave the half range give the right, finite value.",
    rationale="65504 is the end of float16: 256² overflows, and so does a sum of ordinary spectra.",
    catches="squaring or summing in half; autocast-like downcasts",
    cases=cases(tier="wide", dtypes=("float16", "bfloat16"), empty=False),
    grid=lambda effort: _some(_half_range(), effort),
)
def half_range(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _half_range() -> Iterator[Case]:
    pairs = (
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("float16", "float32"),
        ("float32", "float16"),
        ("float16", "bfloat16"),
    )
    values = ((65504.0, -65504.0), (300.0, 0.0), (0.0, 300.0), (16.0, 0.0), (2048.0, 0.5))
    for pair, (a, b), (function, reduction) in itertools.product(pairs, values, CALLS):
        for shape in ((1, 1), (4, 100)):
            yield Case(
                function,
                reduction,
                shape,
                Operand(pair[0], Constant(a)),
                Operand(pair[1], Constant(b)),
            )


@prop(
    "C5-upcast-first",
    statement="The difference is taken after the upcast, so it is not rounded to half.",
    rationale="In float16, 2048 − 0.5 is 2048: subtracting first loses the target.",
    catches="subtraction in half, followed by a cast that comes too late",
    cases=cases(tier="lattice", empty=False, patterns=False),
    grid=lambda effort: _some(
        (
            Case(f, r, (1, 3), Operand(p[0], Constant(a)), Operand(p[1], Constant(b)))
            for p in itertools.product(DTYPES, DTYPES)
            for (a, b) in ((2048.0, 0.5), (0.5, 2048.0), (1.0, 2.0**-14), (-(2.0**-12), 256.0))
            for f, r in CALLS
        ),
        effort,
    ),
    weight=0.5,
)
def upcast_first(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C5-count",
    cost=4,
    statement="With every masked difference 1, mean is 1 and sum is the count, however many.",
    rationale="A count kept in half sticks at 256 (bfloat16) or 2048 (float16).",
    catches="counts and sums in half; counts in uint8 or int16; rounding of n",
    scaled=True,
)
def counts(probe: Probe, effort: Effort) -> None:
    number = effort.seed % 89
    sizes_ = [1, 255, 257, 2047, 2049, 4100, 65537]
    sizes_ += [256, 2048, 32769, 70000] if effort.thin == 1 else []
    sizes_ += [2**18 + 3] if effort.thin == 1 else []
    sizes_ += [2**24 - 1, 2**24] if effort.profile == "deep" else []
    for count in sizes_:
        for dtype in DTYPES:
            for pattern in ("full", "bernoulli", "all_but_one"):
                number += 1
                if effort.thin > 1 and number % 5:
                    continue
                for function, reduction in CALLS if count < 5000 else CALLS[number % 2 :: 3]:
                    shape = ((1, count), (count, 1))[number % 2]
                    ones = Operand(dtype, Constant(1.0)), Operand(dtype, Constant(0.0))
                    case = probe.fit(Case(function, reduction, shape, *ones, Mask(pattern, number)))
                    loss, inputs = probe.loss(case)
                    probe.right_value(loss, case, inputs)


@prop(
    "C6-extremes",
    statement="For finite values the relative error is within C6's roundoffs; beyond range, +inf.",
    rationale="Bounds from C6: subnormals and squares that underflow are allowed their own.",
    catches="expanded squares; epsilons; clamps; NaN or the largest number for an overflow",
    cases=cases(tier="extreme", empty=False),
    weight=2,
)
def extremes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C6-overflow",
    statement="A sum beyond the range is +inf, never NaN, zero or a finite number.",
    rationale="Training code looks for inf to skip a step; a NaN or a 0 misleads it.",
    catches="nan_to_num on the loss; inf − inf in compensated sums; saturating clamps",
    grid=lambda effort: _some(_overflows(), effort),
)
def overflow(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _overflows() -> Iterator[Case]:
    huge = {"float32": 1e30, "float64": 1e300, "bfloat16": 1e30}
    for dtype, function, shape in itertools.product(huge, FUNCTIONS, ((1, 1), (2, 3), (1, 40))):
        recipes: tuple[Recipe, ...] = (
            Constant(huge[dtype]),
            Spike(0.0, -huge[dtype], -1),
            Spike(huge[dtype], 0.0),
        )
        for reduction, recipe in itertools.product(REDUCTIONS, recipes):
            operands = Operand(dtype, recipe), Operand(dtype, Lattice(1))
            yield Case(function, reduction, shape, *operands)
            yield Case(function, reduction, shape, *operands[::-1])
            below = {"float32": 2.0**63.4, "float64": 2.0**511.4, "bfloat16": 2.0**63}[dtype]
            yield Case(
                function,
                reduction,
                shape,
                Operand(dtype, Constant(below)),
                Operand(dtype, Constant(0.0)),
            )


@prop(
    "C6-offset",
    statement="A large offset common to both inputs costs no accuracy.",
    rationale="Only the difference enters; raw spectra stand far from zero.",
    catches="x_recon² − 2·x_recon·x + x²; variances from moments",
    grid=lambda effort: (
        Case(
            function,
            reduction,
            shape,
            Operand(dtype, Lattice(k, shift=offset)),
            Operand(dtype, Lattice(k + 9, shift=offset)),
            Mask(pattern, k),
        )
        for k, ((dtype, offset), (function, reduction), shape, pattern) in enumerate(
            itertools.product(
                (
                    ("float32", 2.0**12),
                    ("float32", 2.0**18),
                    ("float64", 2.0**30),
                    ("float64", -(2.0**44)),
                ),
                CALLS,
                ((1, 3), (4, 50)),
                ("full", "bernoulli"),
            )
        )
    ),
)
def offset(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C6-large",
    cost=8,
    statement="Long sums stay within C6's roundoffs: constant, skewed, one huge among small.",
    rationale="Constants expose the order of summation, where random data averages the error away.",
    catches="sequential sums; torch.dot; vector_norm squared; running means",
    grid=lambda effort: _large(effort),
)
def large(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    torch.set_num_threads(1 + case.mask.seed % 2)  # threads split the sum; the engine restores it
    probe.right_value(probe.call(case, inputs), case, inputs)


def _large(effort: Effort) -> Iterator[Case]:
    lengths = [2**12 + 1, 2**16] if effort.thin > 1 else [2**12 + 1, 2**14 - 1, 2**16]
    if effort.largest >= 2**20:
        lengths += [2**17 + 1, 2**20]
    if effort.largest >= 2**24:
        lengths += [2**20 + 1, 2**22 - 1, 2**24 - 1, 2**24]
    small = tuple(1.1**k for k in range(40))
    number = effort.seed % 83
    for length, dtype in itertools.product(lengths, ("float32", "float64", "float16", "bfloat16")):
        recipes: tuple[Recipe, ...] = (
            Constant(1.1),
            Constant(0.7853),
            Constant(1.9),
            Palette(number, small),
            Spike(0.01, 900.0, 0),
            Spike(0.01, 900.0, -1),
        )
        if length >= 2**20 and effort.thin > 1:
            continue
        if length >= 2**20 and dtype in ("float16", "bfloat16"):
            recipes = recipes[:1]
        elif length >= 2**17:
            recipes = (recipes[number % 3], *recipes[3:5])
        for recipe in recipes:
            number += 1
            function, reduction = CALLS[number % len(CALLS)]
            shape = ((1, length), (length, 1), (max(1, length // 64), 64))[number % 3]
            target = (Constant(0.0), Constant(-0.3), Constant(0.25))[number % 3]
            pattern = ("full", "bernoulli", "full", "all_but_one")[number % 4]
            operands = [Operand(dtype, recipe), Operand(dtype, target)]
            if number % 2:
                operands.reverse()
            x_recon, x = operands
            yield Case(function, reduction, shape, x_recon, x, Mask(pattern, number))


@prop(
    "C7-empty",
    statement="With nothing masked, B = 0 or L = 0, the result is exactly +0.0 for any reduction.",
    rationale="A batch in which nothing was hidden has no error; 0/0 would end the training.",
    catches="NaN from 0/0; −0.0; a crash on B = 0 or L = 0",
    empty=True,
    grid=lambda effort: itertools.chain(
        small_grid(effort, patterns=("empty",)),
        small_grid(effort, shapes=EMPTY_SHAPES, patterns=("full", "empty")),
        _poisoned_empties(effort),
    ),
)
def empty(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    if loss.item() != 0 or math.copysign(1, loss.item()) < 0:
        raise Violation("nothing is masked and the loss is not +0.0", got=loss, wanted="0.0")


def _poisoned_empties(effort: Effort) -> Iterator[Case]:
    shapes = ((1, 1), (2, 3), (1, 40), (70, 70))
    return thinned(
        (
            Case(
                function,
                reduction,
                shape,
                Operand(dtype, Constant(a)),
                Operand(dtype, Constant(b)),
                Mask("empty"),
            )
            for shape in shapes
            for a, b in ((NAN, 1.0), (1.0, NAN), (INF, INF), (-INF, 0.0), (6e4, -6e4))
            for dtype in DTYPES
            for function, reduction in CALLS
        ),
        effort,
    )


_POISONS = (NAN, INF, -INF, 1e30, -65504.0, 3.5)


def poisonings(case: Case) -> Iterator[Case]:
    """The case with a poison outside the mask: in x_recon, in x, in both."""
    for poison in _POISONS:
        if case.x_recon.dtype == "float16" and abs(poison) == 1e30:
            continue
        yield case.but(x_recon__outside=poison)
        yield case.but(x__outside=poison)
        yield case.but(x_recon__outside=poison, x__outside=-poison)
        yield case.but(x_recon__outside=poison, x__outside=poison)


@prop(
    "C8-excluded-value",
    statement="Whatever stands outside the mask, NaN and Inf included, the loss keeps its bits.",
    rationale="What was not hidden is not scored. NaN marks missing data there.",
    catches="multiplying by the mask; huge excluded values; masks inferred from NaN or a sentinel",
    cases=cases(tier="lattice", empty=False, layouts=DENSE_LAYOUTS),
    grid=lambda effort: small_grid(
        effort,
        share=10,
        shapes=((1, 2), (2, 1), (2, 3), (1, 5), (4, 4)),
        patterns=("empty", "bernoulli", "one", "all_but_one", "one_row", "blocks", "first"),
        pairs=(*SAME_PAIRS, ("float16", "float32"), ("float32", "float64")),
    ),
    weight=0.5,
)
def excluded_value(probe: Probe, case: Case) -> None:
    case = case.but(x_recon__outside=0.0, x__outside=0.0)
    clean, _ = probe.loss(case)
    for poisoned in poisonings(case):
        loss, inputs = probe.loss(poisoned)
        if not same_bits(clean, loss):
            raise Violation(
                "the loss changes with what stands outside the mask", got=loss, wanted=clean
            )


@prop(
    "C8-excluded-sizes",
    statement="At every size, NaN or Inf outside the mask leaves the value right.",
    rationale="Vectors and tails have code of their own, and masked loads of their own.",
    catches="a tail loop that multiplies where the main loop selects",
    grid=lambda effort: (
        case.but(
            x_recon__outside=(NAN, INF, 6e4, 1.0)[case.salt % 4],
            x__outside=(NAN, 1.0, -INF, NAN, INF)[case.salt % 5],
        )
        for case in sized_grid(
            effort, patterns=("bernoulli", "all_but_one", "last", "first", "tail"), largest=2**17
        )
    ),
)
def excluded_sizes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C9-non-finite",
    cost=4,
    statement="NaN inside the mask gives NaN, an infinite difference gives +inf.",
    rationale="A loss that hides a NaN hides a broken model or a broken target.",
    catches="nan_to_num; NaN positions dropped from the mask; Inf clamped",
    cases=cases(tier="hard", empty=False),
    grid=lambda effort: _non_finite(effort),
    weight=1.5,
)
def non_finite(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _non_finite(effort: Effort) -> Iterator[Case]:
    number = effort.seed % 79

    def unthinned() -> Iterator[Case]:
        nonlocal number
        shapes = ((1, 1), (2, 3), (1, 9), (5, 1), (8, 9), (3, 67), (2, 1030), (1, 40000))
        for shape, a, b in itertools.product(shapes, (NAN, INF, -INF, 1.5), (NAN, INF, -INF, -2.0)):
            count = shape[0] * shape[1]
            spots = range(count) if count < 10 else (0, 1, count // 2, count - 2, count - 1)
            for spot in spots:
                for _ in range(8 if count < 10 else 1):
                    number += 1
                    function, reduction = CALLS[number % len(CALLS)]
                    dtype = DTYPES[number % 4 if number % 9 else 0]
                    yield Case(
                        function,
                        reduction,
                        shape,
                        Operand(dtype, Lattice(number), edits=((spot, a),)),
                        Operand(dtype, Lattice(number + 1), edits=((spot, b),)),
                        Mask(("full", "bernoulli", "all_but_one")[number % 3], number),
                    )

    return thinned(unthinned(), effort)


_SENTINELS = (
    *(0.0, -1.0, 1.0, -100.0, 99.0, -99.0, 100.0, 255.0, 999.0, -999.0, 9999.0, -9999.0),
    *(1e4, -1e4, 32767.0, -32768.0, 65504.0, 65535.0, 1e20, -1e30, 2.0**-24, -0.0, 0.5),
)


@prop(
    "C9-sentinels",
    statement="No finite value stands for missing data: each counts, in x as in x_recon.",
    rationale="What is missing is said by the mask; a genuine 0, −1 or −999 is data.",
    catches="zeros, −1, −100, 9999 or saturated values taken for missing",
    grid=lambda effort: (
        Case(
            *CALLS[number % len(CALLS)],
            shape,
            Operand(dtype, Lattice(number), edits=((spot, value),) if side != 1 else ()),
            Operand(dtype, Lattice(number + 1), edits=((spot, other),) if side else ()),
            Mask("full" if number % 3 else "all_but_one", number),
        )
        for number, (shape, value, side, dtype) in enumerate(
            itertools.product(
                ((1, 1), (2, 3)), _SENTINELS, (0, 1, 2), ("float32", "float64", "bfloat16")
            )
        )
        for spot in ((number // 2) % (shape[0] * shape[1]),)
        for other in (value if side == 1 else 3.0,)
        if effort.thin == 1 or number % 5 != effort.seed % 5
    ),
)
def sentinels(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C10-non-negative",
    statement="The loss is never negative, and never −0.0.",
    rationale="It is a sum of squares.",
    catches="expanded squares that cancel below zero; signs lost",
    cases=cases(tier="extreme"),
    weight=0.5,
)
def non_negative(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    if not math.isnan(loss.item()) and math.copysign(1, loss.item()) < 0:
        raise Violation("the loss is negative", got=loss, wanted="≥ +0.0")


@prop(
    "C10-zero",
    statement="The loss is 0 where every masked difference is 0, and only there, underflow aside.",
    rationale="A perfect reconstruction costs nothing, and nothing else does.",
    catches="epsilons; differences below a threshold dropped; additive terms outside the mask",
    cases=cases(tier="wide"),
    grid=lambda effort: small_grid(effort, share=3, pairs=SAME_PAIRS),
    weight=0.5,
)
def zero(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    bits = mask_bits(case.mask, case.shape)
    values = oracle.as_array(inputs.x).reshape(-1)
    perfect = case.but(x_recon=Operand(case.x.dtype, tuple(values.tolist()), outside=1.5))
    loss, _ = probe.loss(perfect)
    if loss.item() != 0:
        raise Violation("x_recon equals x on the whole mask", got=loss, wanted="0.0")
    spots = np.flatnonzero(bits)
    if len(spots) == 0:
        return
    spot = int(spots[case.salt % len(spots)])
    small = 2.0**-10
    one_off = perfect.but(
        x_recon__edits=((spot, small),), x__values=tuple(values.tolist()), x__edits=((spot, 0.0),)
    )
    loss, inputs = probe.loss(one_off)
    probe.right_value(loss, one_off, inputs)
    if not loss.item() > 0:
        raise Violation("one masked difference is not zero", got=loss, wanted="> 0")


@prop(
    "C10-symmetric",
    statement="Exchanging x_recon and x changes nothing.",
    rationale="(a − b)² = (b − a)²; also for dtypes, which are exchanged with the values.",
    catches="result dtype, target or mask taken from one side; a signed error",
    cases=cases(),
    grid=lambda effort: small_grid(
        effort, shapes=((1, 2), (2, 3), (4, 4)), patterns=("bernoulli",)
    ),
)
def symmetric(probe: Probe, case: Case) -> None:
    first, inputs = probe.loss(case)
    swapped = case.but(x_recon=case.x, x=case.x_recon)
    second, _ = probe.loss(swapped)
    _alike(probe, first, second, case, inputs, "exchanging x_recon and x")


def _alike(
    probe: Probe, first: torch.Tensor, second: torch.Tensor, case: Case, inputs: Inputs, how: str
) -> None:
    """Both within C6 of the exact value, and of one dtype."""
    probe.right_value(first, case, inputs)
    if first.dtype != second.dtype:
        raise Violation(f"{how} changes the dtype", got=second, wanted=first)
    answer, coarser = oracle.exact(inputs), probe.coarser(second, inputs)
    fault = oracle.value_fault(
        second,
        answer,
        case.effective_reduction,
        roundoffs=probe.roundoffs(answer, coarser),
        dtype=coarser,
    )
    if fault:
        raise Violation(f"{how} changes the value", got=second, wanted=first, bound=fault[1])


@prop(
    "C10-permutation",
    statement="Permuting rows and columns of all three inputs together changes nothing.",
    rationale="The loss is a sum over positions; none of them is special.",
    catches="weights by position; the first row or column treated apart; per-row normalisation",
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort, share=2, shapes=((2, 2), (1, 5), (5, 1), (3, 2), (3, 7)), pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def permutation(probe: Probe, case: Case) -> None:
    first, inputs = probe.loss(case)
    shuffle = random.Random(case.salt)
    rows, columns = (shuffle.sample(range(n), n) for n in case.shape)
    moved = Inputs(*(t[rows][:, columns] for t in inputs))
    explicit = _explicit(case, moved)
    second = probe.call(explicit, explicit.build(probe.device))
    _alike(probe, first, second, case, inputs, "a permutation of rows and columns")


def _explicit(case: Case, inputs: Inputs) -> Case:
    """A case with these tensors' values."""
    rows, columns = inputs.mask.shape
    recon, target, mask = (oracle.as_array(t).reshape(-1) for t in inputs)
    return case.but(
        shape=(rows, columns),
        x_recon=Operand(case.x_recon.dtype, tuple(recon.tolist())),
        x=Operand(case.x.dtype, tuple(target.tolist())),
        mask=Mask(tuple(bool(b) for b in mask)),
    )


@prop(
    "C10-additive",
    statement="`sum` is additive over any partition of batch, length or mask.",
    rationale="What lets micro-batches and ranks add up: the sum knows no whole.",
    catches="terms per call or per row; normalisation inside the sum; state between calls",
    needs=("sum",),
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 2), (1, 5), (5, 1), (3, 7)),
        pairs=SAME_PAIRS,
        calls=(("masked_sse", "sum"), ("masked_mse", "sum")),
    ),
    weight=0.5,
)
def additive(probe: Probe, case: Case) -> None:
    case = case.but(reduction="sum")
    whole, inputs = probe.loss(case)
    probe.right_value(whole, case, inputs)
    if not math.isfinite(whole.item()):
        return
    choose = random.Random(case.salt)
    row, column = choose.randint(0, case.shape[0]), choose.randint(0, case.shape[1])
    some = torch.tensor([choose.random() < 0.5 for _ in range(case.count)]).reshape(case.shape)
    some = some.to(inputs.mask.device).bool()
    partitions = {
        f"rows at {row}": [[t[:row] for t in inputs], [t[row:] for t in inputs]],
        f"columns at {column}": [[t[:, :column] for t in inputs], [t[:, column:] for t in inputs]],
        "the mask": [[*inputs[:2], inputs.mask & some], [*inputs[:2], inputs.mask & ~some]],
    }
    dtype, answer = probe.coarser(whole, inputs), oracle.exact(inputs)
    bound = 2 * oracle.value_bound(answer, "sum", dtype, probe.roundoffs(answer, dtype))
    for name, parts in partitions.items():
        values = [probe.call(case, Inputs(*part)).item() for part in parts]
        together = sum(Fraction(v) for v in values)
        if abs(together - Fraction(whole.item())) > bound:
            raise Violation(
                f"the parts do not add up to the whole, split by {name}",
                got=" + ".join(repr(v) for v in values),
                wanted=whole,
                bound=f"± {oracle.shown(bound)}",
            )


@prop(
    "C10-scaling",
    statement="Scaling both inputs by 2ᵏ scales the loss by exactly 4ᵏ.",
    rationale="Powers of two are exact; another answer has a constant in it: an epsilon, a clamp.",
    catches="epsilons in the denominator; additive constants; thresholds",
    cases=cases(tier="lattice", empty=False, dtypes=("float32", "float64", "bfloat16")),
    grid=lambda effort: small_grid(
        effort,
        share=2,
        shapes=((1, 1), (2, 3), (4, 4)),
        pairs=(("float32", "float32"), ("float64", "float64"), ("bfloat16", "bfloat16")),
    ),
    weight=0.5,
)
def scaling(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    for power in (-40, -13, 1, 20):
        x_recon, x = (t * 2.0**power for t in inputs[:2])
        explicit = _explicit(case, Inputs(x_recon, x, inputs.mask))
        scaled = probe.call(explicit, explicit.build(probe.device))
        if "float16" in (case.x_recon.dtype, case.x.dtype):
            return  # float16 cannot hold these powers
        if scaled.item() != loss.item() * 4.0**power:
            raise Violation(
                f"inputs scaled by 2^{power} do not scale the loss by 4^{power}",
                got=scaled,
                wanted=repr(loss.item() * 4.0**power),
            )
