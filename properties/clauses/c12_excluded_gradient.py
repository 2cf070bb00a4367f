"""C12: gradients outside the mask, and where nothing is masked."""

from __future__ import annotations

import itertools

import torch

from ..inputs.cases import Case, Inputs
from ..inputs.grids import (
    CALLS,
    EMPTY_SHAPES,
    GRADS,
    SAME_PAIRS,
    poisonings,
    sized_grid,
    small_grid,
)
from ..inputs.layouts import DENSE_LAYOUTS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import INF, NAN, Constant
from ..judge.probe import Probe
from ..judge.second_order import right_second_derivatives
from ..judge.tangents import right_forward_mode
from ..judge.transforms import POISONS, right_functional_gradients, right_jvps
from ..judge.violation import Violation
from .registry import GRADIENTS, SECOND, prop
from .situations import TWO_TRAITS, situation


@prop(
    "C12-excluded-gradient",
    cost=4,
    statement="Outside the mask the gradient is exactly zero, whatever stands there; inside it is "
    "untouched.",
    rationale="0 · NaN is NaN: masking after the square, or by a product, poisons the backward.",
    catches="`where` or indexing after squaring; multiplying by the mask",
    needs=GRADIENTS,
    cases=cases(tier="lattice", empty=False, layouts=DENSE_LAYOUTS, grads=GRADS),
    grid=lambda effort: small_grid(
        effort,
        share=16,
        shapes=((1, 2), (2, 3), (1, 5)),
        patterns=("bernoulli", "one", "all_but_one", "empty"),
        pairs=(*SAME_PAIRS, ("float16", "float32")),
        grads=GRADS,
    ),
    weight=0.5,
)
def excluded_gradient(probe: Probe, case: Case) -> None:
    for poisoned in poisonings(case):
        loss, inputs, found = probe.gradients(poisoned)
        probe.right_gradients(found, poisoned, inputs)


@prop(
    "C12-excluded-upstream",
    statement="Outside the mask the gradient is zero whatever the upstream gradient is, infinite "
    "and NaN included.",
    rationale="When a loss scale overflows, what was not scored must not learn from it; and "
    "0 · inf is NaN.",
    catches="a product with the upstream gradient after the mask was applied",
    needs=GRADIENTS,
    grid=lambda effort: (
        case.but(upstream=(INF, -INF, NAN)[case.salt % 3])
        for case in small_grid(
            effort,
            shapes=((1, 2), (2, 3), (33, 40)),
            patterns=("bernoulli", "one", "all_but_one", "empty"),
            pairs=(*SAME_PAIRS, ("float16", "float32")),
            grads=GRADS,
            share=4,
        )
    ),
)
def excluded_upstream(probe: Probe, case: Case) -> None:
    _, inputs, found = probe.gradients(case)
    for name, gradient in found.items():
        outside = gradient[~inputs.mask]
        if not bool((outside == 0).all()):
            raise Violation(
                f"outside the mask the gradient of {name} is not zero",
                got=outside[outside != 0][0],
                wanted="0.0, of either sign",
            )


@prop(
    "C12-excluded-sizes",
    statement="At every size, poisoned positions outside the mask have gradient zero.",
    rationale="Backward kernels have vectors and tails of their own.",
    catches="a tail loop that multiplies where the main loop selects",
    needs=GRADIENTS,
    grid=lambda effort: (
        case.but(
            grads=GRADS[case.salt % 3],
            x_recon__outside=(NAN, INF, 6e4)[case.salt % 3],
            x__outside=(1.0, NAN, -INF, NAN)[case.salt % 4],
        )
        for case in sized_grid(
            effort, patterns=("bernoulli", "all_but_one", "last", "empty"), largest=2**17
        )
    ),
)
def excluded_sizes(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C12-empty-trains",
    statement="With nothing masked, backward runs and gradients are exactly 0, for any reduction.",
    rationale="A training step in which nothing was hidden must not crash, nor spoil the weights.",
    catches="a constant without a graph; a fresh leaf; 0 with a NaN gradient; None for one input",
    needs=GRADIENTS,
    empty=True,
    grid=lambda effort: itertools.chain(
        small_grid(effort, patterns=("empty",), grads=GRADS, pairs=SAME_PAIRS),
        small_grid(effort, shapes=EMPTY_SHAPES, patterns=("full",), grads=GRADS, pairs=SAME_PAIRS),
        (
            Case(
                f,
                r,
                (3, 4),
                Operand(d, Constant(a)),
                Operand(d, Constant(b)),
                Mask("empty"),
                grads=g,
            )
            for f, r in CALLS
            for d in ("float32", "float16")
            for a, b in ((NAN, 1.0), (1.0, NAN), (INF, -INF))
            for g in GRADS
        ),
    ),
)
def empty_trains(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)
    weight = torch.ones((), device=inputs.x.device, requires_grad=True)
    x_recon = torch.zeros_like(inputs.x_recon).detach() * weight
    probe.call(case, Inputs(x_recon, inputs.x.detach(), inputs.mask)).backward()
    if weight.grad is None or weight.grad.item() != 0:
        raise Violation(
            "a weight behind x_recon gets a wrong gradient", got=weight.grad, wanted="0.0"
        )


@prop(
    "C12-excluded-second-order",
    cost=9,
    statement="Poison outside the mask reaches neither second derivatives nor forward mode.",
    rationale="A double backward, and a jvp, pass the mask by paths of their own.",
    catches="masking after the square or by a product, one derivative further on",
    needs=SECOND,
    grid=lambda effort: (
        case.but(x_recon__outside=NAN, x__outside=INF)
        for case in small_grid(
            effort,
            shapes=((2, 3), (33, 32)),
            patterns=("bernoulli", "all_but_one", "empty"),
            pairs=SAME_PAIRS[:2],
            share=2,
            grads=GRADS,
        )
    ),
)
def excluded_second_order(probe: Probe, case: Case) -> None:
    right_second_derivatives(probe, case)
    if probe.claims.forward_mode:
        right_forward_mode(probe, case)


@prop(
    "C12-excluded-transforms",
    cost=9,
    statement="Under torch.func.grad, jvp and vmap, poison outside the mask reaches no derivative.",
    rationale="A transform takes other paths through a hand-written backward.",
    catches="masking after the square or by a product, in a vmap or jvp rule",
    needs=("transforms", "gradients"),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (4, 5)),
        patterns=("bernoulli",),
        pairs=SAME_PAIRS[:2],
        share=2,
    ),
)
def excluded_transforms(probe: Probe, case: Case) -> None:
    right_functional_gradients(probe, case, POISONS)
    if probe.claims.forward_mode:
        right_jvps(probe, case, POISONS)


situation(
    "C12-pairs",
    "Gradients are zero outside the mask, and with nothing masked, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C12"]),
    needs=GRADIENTS,
)
situation(
    "C12-large-pairs",
    "Gradients are zero outside the mask, and with nothing masked; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C12"]),
    needs=GRADIENTS,
    draws=0,
)
