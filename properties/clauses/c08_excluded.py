"""C8: what stands outside the mask."""

from __future__ import annotations

from ..inputs.cases import Case
from ..inputs.grids import SAME_PAIRS, poisonings, sized_grid, small_grid
from ..inputs.layouts import DENSE_LAYOUTS
from ..inputs.strategies import cases
from ..inputs.values import INF, NAN
from ..judge.bits import same_bits
from ..judge.contract import hides
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation


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


situation(
    "C8-pairs",
    "What stands outside the mask leaves the value's bits alone, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C8"]),
    only=hides,
    because="this is about those",
)
situation(
    "C8-large-pairs",
    "What stands outside the mask leaves the value's bits alone; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C8"]),
    only=hides,
    because="this is about those",
    draws=0,
)
