"""C6: accuracy and range."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..inputs.cases import FUNCTIONS, REDUCTIONS, Case, Inputs
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS, some
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.trees import (
    additions,
    against_blocks,
    against_trees,
    largest_lost,
    tree_places,
    tree_sizes,
)
from ..inputs.values import Constant, Lattice, Palette, Recipe, Spike
from ..judge import claims
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation


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
    grid=lambda effort: some(_overflows(), effort),
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
    statement="Long sums stay within C6's roundoffs: constant, skewed, one huge among small, and "
    "what blocks that are added one by one lose.",
    rationale="Constants expose the order of summation, where random data averages the error away.",
    catches="sequential sums, of blocks too; torch.dot; vector_norm squared; running means",
    grid=lambda effort: _large(effort),
)
def large(probe: Probe, case: Case) -> None:
    _on_threads(probe, case, 1 + case.mask.seed % 2)


def _on_threads(probe: Probe, case: Case, threads: int) -> None:
    """The value is right with so many threads, which split the sum; the engine restores them."""
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    torch.set_num_threads(threads)
    try:
        probe.right_value(probe.call(case, inputs), case, inputs)
    except Violation as violation:
        before = (f"torch.set_num_threads({threads})",)
        violation.claim = violation.claim and replace(violation.claim, before=before)
        raise


def _large(effort: Effort) -> Iterator[Case]:
    lengths = [2**12 + 1, 2**16] if effort.quick else [2**12 + 1, 2**14 - 1, 2**16]
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
        if length >= 2**20 and effort.quick:
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
            grads = ((), *GRADS)[number // 2 % 4]
            yield Case(function, reduction, shape, x_recon, x, Mask(pattern, number), grads)
    if not effort.quick:
        yield from _largest(effort)


def _largest(effort: Effort) -> Iterator[Case]:
    """As many positions as the bound is for, tall and flat: constants, and what blocks lose."""
    shapes = [(2**20, 16), (2**17, 128), (2**12, 2**12), (16, 2**20), (4, 2**22), (1, 2**24)]
    if effort.profile == "deep":  # loops over rows, which are right too, take minutes
        shapes += [(2**24, 1), (2**22, 4)]
    dtypes = itertools.cycle(("float32", "float16", "float32", "bfloat16", "float64"))
    for number, shape in enumerate(shapes):
        given = [against_blocks(next(dtypes), shape, from_the_end=number % 4 == 3)]
        if number % 3 == 0:
            given.append(Operand(next(dtypes), Constant(1.3)))
        for x in given:
            function, reduction = CALLS[(number + effort.seed) % len(CALLS)]
            zero = Operand(x.dtype, Constant(0.0))
            yield Case(function, reduction, shape, zero, x, Mask("full", number))


@prop(
    "C6-tree",
    cost=6,
    statement="Data made against sums in lanes and levels stay within C6's roundoffs.",
    rationale="A bound for any data has to hold on the worst: here every partial sum loses.",
    catches="chunks so long that a term meets hundreds of additions, each of which rounds",
    grid=lambda effort: against_trees(effort),
)
def tree(probe: Probe, case: Case) -> None:
    _on_threads(probe, case, 1 + case.salt % 2)


@prop(
    "C6-depth",
    cost=8,
    statement="However many additions a term passes on its way, data that lose the most in each of "
    "them stay within C6's roundoffs.",
    rationale="The order of addition can be seen from outside: what is added to a 1 by itself, and "
    "is just too small for it, is lost; what meets another before it is not. So for any order the "
    "worst data can be found, and need not be guessed.",
    catches="rows, columns or blocks added one by one; partial sums of partial sums of hundreds",
    scaled=True,
)
def depth(probe: Probe, effort: Effort) -> None:
    for size in tree_sizes(effort):
        places = list(itertools.product(("float32", "float64"), tree_places(size)))
        if size > 2**20:  # where each of a thousand calls takes a tenth of a second
            del places[1:]
        for number, (dtype, (shape, at)) in enumerate(places):
            case = Case("masked_sse", "sum", shape, salt=number)
            case = case.but(x_recon=Operand(dtype, Constant(0.0)), mask=Mask("full"))
            case = case.but(x=case.x_recon, grads=((), ("x",))[number % 2])
            case = probe.without_gradients(probe.fit(case))
            inputs = probe.build(case)
            probe.note(inputs.mask)
            # One thread adds the highest tree, and thousands of small calls in two take long.
            threads = 1 + number % 2 if effort.profile == "deep" else 1
            torch.set_num_threads(threads)

            def loss(x_recon: Tensor, case: Case = case, inputs: Inputs = inputs) -> Tensor:
                return probe.call(case, Inputs(x_recon, inputs.x, inputs.mask))

            lost = additions(loss, inputs.x_recon, at)
            worst = case.but(
                x_recon__values=Spike(0.0, largest_lost(inputs.x_recon.dtype), tuple(lost)),
                x_recon__edits=((at, 1.0),),
            )
            _on_threads(probe, worst, threads)


situation(
    "C6-accuracy",
    "The value is within C6's roundoffs, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C6"]),
)
situation(
    "C6-any-size",
    "The value is within C6's roundoffs; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    whole=True,  # only a few of them lose much in a wrong order of addition
    parts=frozenset(["C6"]),
    draws=0,
)


@prop(
    "C6-count",
    fixed=True,
    statement="In float64, a mean over more positions than float32 can count is right.",
    rationale="From 2²⁴ on float32 misses whole numbers, and a count in it spoils the quotient.",
    catches="n as a sum or a quotient in float32, whatever the inputs are",
    needs=("mean", "float64"),
)
def count_beyond_float32(probe: Probe) -> None:
    x_recon, x = (Operand("float64", Constant(value), "one_element") for value in (1.5, 0.5))
    shape = (4097, 4097)  # an odd number of positions, above 2²⁴
    probe.selected = True
    case = probe.fit(Case("masked_mse", "mean", shape, x_recon, x, Mask("full", 0, "one_element")))
    one = case.but(shape=(1, 1)).build(probe.device)  # all of them are this one
    got = probe.call(case, Inputs(*(tensor.expand(shape) for tensor in one)))
    roundoffs = shape[0] * shape[1] + 8  # for any order: a tenth of what a count in float32 costs
    if abs(got.item() - 1.0) > roundoffs * 2.0**-53:
        raise Violation(
            "the mean of ones is not one",
            got=got,
            wanted="1.0",
            bound=f"± {roundoffs} unit roundoffs",
            case=case,
            claim=claims.near("loss.item()", 1.0, roundoffs * 2.0**-53),
        )
