"""C11: the gradient."""

from __future__ import annotations

import itertools
import math

import torch

from ..inputs.cases import DTYPES, Case, Inputs
from ..inputs.grids import (
    CALLS,
    GRADS,
    SAME_PAIRS,
    gradcheck_cases,
    large_grid,
    sized_grid,
    small_grid,
)
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import Constant
from ..judge import acts, claims
from ..judge.gradcheck import numerically
from ..judge.oracle import result_dtype
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import GRADIENTS, prop
from .situations import TWO_TRAITS, situation

UPSTREAMS = (1.0, -2.5, 3.0, 0.0, 2.0**-6)


@prop(
    "C11-sizes",
    cost=3,
    statement="The gradient is right at every position, at sizes around powers of two.",
    rationale="A backward kernel has tails and blocks of its own.",
    catches="tails without a gradient; a gradient right only at the first elements",
    needs=GRADIENTS,
    grid=lambda effort: itertools.chain(
        sized_grid(
            effort,
            patterns=("full", "bernoulli", "all_but_one", "blocks", "one"),
            grads=("x_recon", "x"),
            largest=2**18,
        ),
        large_grid(effort),
    ),
)
def sizes(probe: Probe, case: Case) -> None:
    case = case.but(grads=GRADS[case.salt % 3])
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-extremes",
    statement="The gradient is within 16 roundoffs for finite values, and follows NaN and Inf.",
    rationale="It is an elementwise formula: no value elsewhere may reach a position.",
    catches="gradient clamping or clipping; NaN zeroed; one bad element spoiling the others; none "
    "where the loss is zero",
    needs=GRADIENTS,
    cases=cases(tier="hard", grads=GRADS, upstreams=(1.0, -2.5), empty=False),
    grid=lambda effort: (
        Case(f, r, (2, 4), Operand(p[0], Constant(a)), Operand(p[1], Constant(b)), grads=g)
        for p in itertools.product(DTYPES, DTYPES)
        for (a, b) in (
            *((2048.0, 0.5), (0.5, 2048.0), (1.0, 2.0**-14), (65504.0, -65504.0)),
            *((2.0**-24, 0.0), (2.0**-20, 2.0**-24), (0.0, 1e-12)),
            *((1e-25, 0.0), (0.0, 1e-170)),  # of which the squares are zero
        )
        for f, r in CALLS
        for g in (GRADS if r == "sum" else GRADS[1:2])
    ),
    weight=2,
)
def extremes(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-negation",
    statement="The gradient of x is the exact negation of x_recon's, if their dtypes are equal.",
    rationale="Only the difference enters the loss.",
    catches="gradients swapped, equal, or computed twice with different rounding",
    needs=GRADIENTS,
    cases=cases(grads=(("x_recon", "x"),), upstreams=UPSTREAMS, empty=False),
    grid=lambda effort: sized_grid(
        effort, patterns=("full", "bernoulli"), grads=("x_recon", "x"), largest=2**16
    ),
    weight=0.5,
)
def negation(probe: Probe, case: Case) -> None:
    case = case.but(x__dtype=case.x_recon.dtype)
    loss, inputs, found = probe.gradients(case)
    a, b = found["x_recon"], -found["x"]
    if not bool(((a == b) | (a.isnan() & b.isnan())).all()):
        opposite = 'got == -found["x_recon"]'
        nan = 'got.isnan() & found["x_recon"].isnan()'
        raise Violation(
            "the two gradients do not cancel",
            got=found["x"],
            wanted=-found["x_recon"],
            claim=claims.Claim(
                'found["x"]', f"bool((({opposite}) | ({nan})).all())", gradients=True
            ),
        )


@prop(
    "C11-upstream",
    statement="The gradient is linear in the upstream gradient.",
    rationale="The loss is a term in a sum, or scaled by AMP: what comes from above must pass.",
    catches="upstream ignored, read as 1, clamped, or used for one input only",
    needs=GRADIENTS,
    cases=cases(tier="lattice", grads=GRADS, empty=False),
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3),), patterns=("full", "bernoulli"), grads=GRADS, pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def upstream(probe: Probe, case: Case) -> None:
    factors = [0.5, 1.25, -1.0, 0.0, 7.0, 2.0]
    if "float16" not in _dtypes(case):
        # Twice the last one is beyond the range of the result, where small gradients are not.
        factors[-1:] = [65536.0, 2.0 ** (math.frexp(torch.finfo(_result(case)).max)[1] - 1)]
    for factor in factors:
        scaled = case.but(upstream=factor)
        loss, inputs, found = probe.gradients(scaled)
        probe.right_gradients(found, scaled, inputs)
    inputs = probe.build(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    loss = probe.call(case, inputs)
    if probe.unconnected(loss, wrt, inputs):
        return
    ways = probe.perform(case, inputs, acts.three_times, case.grads)["ways"]
    for number, found in enumerate(ways):
        with probe.found_at(f'found["ways"][{number}]'):
            probe.right_gradients(found, case.but(upstream=3.0), inputs)


def _dtypes(case: Case) -> tuple[str, str]:
    return case.x_recon.dtype, case.x.dtype


def _result(case: Case) -> torch.dtype:
    return result_dtype(*(getattr(torch, dtype) for dtype in _dtypes(case)))


@prop(
    "C11-accumulation",
    statement="backward() adds to .grad, also through non-leaf inputs and one tensor given twice.",
    rationale="Inputs come from a model; the same tensor may stand on both sides.",
    catches="writing into .grad; gradients only for leaves; inputs told apart by identity",
    needs=GRADIENTS,
    cases=cases(tier="lattice", grads=(("x_recon", "x"),), empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 2), (2, 3)),
        patterns=("full", "bernoulli"),
        pairs=(("float32", "float32"),),
        grads=(("x_recon", "x"),),
    ),
    weight=0.5,
)
def accumulation(probe: Probe, case: Case) -> None:
    case = case.but(x_recon__dtype="float32", x__dtype="float32")
    case = probe.fit(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    x_recon, x, mask = inputs
    moved = Inputs(x_recon.detach() * 2, x.detach() + 1, mask)
    found = probe.perform(case, inputs, acts.accumulated)
    for number, gradients in enumerate(found["times"]):
        with probe.found_at(f'found["times"][{number}]'):
            probe.right_gradients(gradients, case, moved)
    with probe.found_at():
        if not bool((found["same"] == 0).all()):
            raise Violation(
                "x_recon is x, and its gradient is not zero",
                got=found["same"],
                wanted="zeros",
                claim=claims.all_zero('found["same"]'),
            )


@prop(
    "C11-gradcheck",
    cost=9,
    statement="torch.autograd.gradcheck agrees in float64: reverse and forward mode.",
    rationale="Finite differences know nothing of this suite's formulas: an oracle of its own.",
    catches="a backward that belongs to another forward",
    needs=(*GRADIENTS, "float64"),
    grid=lambda effort: gradcheck_cases(effort),
)
def gradcheck(probe: Probe, case: Case) -> None:
    numerically(probe, case, torch.autograd.gradcheck, check_forward_ad=probe.claims.forward_mode)


situation(
    "C11-oracle",
    "Gradients are right, and of their inputs' dtypes, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    again=True,
    large=False,
    parts=frozenset(["C11"]),
    needs=GRADIENTS,
)
situation(
    "C11-any-size",
    "Gradients are right, and of their inputs' dtypes; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C11"]),
    needs=GRADIENTS,
    draws=0,
)
situation(
    "C11-scattered",
    "Gradients are right at any size, round ones among them, on cases drawn by chance.",
    catches="a path for certain sizes; a tail or a remainder that some numbers have alone",
    array="scattered",
    large=False,
    parts=frozenset(["C11", "C12"]),
    needs=GRADIENTS,
    draws=0,
)
