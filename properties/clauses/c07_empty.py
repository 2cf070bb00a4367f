"""C7: nothing masked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from ..inputs.cases import DTYPES, Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, EMPTY_SHAPES, small_grid, thinned
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import INF, NAN, Constant
from ..judge.contract import nothing_masked
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation


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


situation(
    "C7-pairs",
    "With nothing masked the value is +0.0, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C7"]),
    only=nothing_masked,
    because="this is about those",
    empty=True,
)
