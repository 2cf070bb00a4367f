"""C15: memory layouts that do not matter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS, SAME_PAIRS
from ..inputs.layouts import strides
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from ..judge import handed
from ..judge.contract import PARTS
from ..judge.probe import Probe
from ..judge.situation import Situation
from ..judge.sweep import ask, laid_out
from .registry import prop
from .situations import situation

situation(
    "C15-layouts",
    "Whatever two layouts meet, or a layout and anything else, a call keeps its whole contract.",
    catches="a path for some layouts; addresses and strides taken for the tensor",
    array="full",
    again=True,
    parts=PARTS - {"C14"},
    only=laid_out,
    because="this is about those",
    layouts=True,
)
situation(
    "C15-sizes",
    "At large sizes too, layouts that meet leave a call its whole contract.",
    catches="a path for some layouts that large sizes take",
    array="large",
    parts=PARTS - {"C14"},
    large=False,
    only=laid_out,
    because="this is about those",
    layouts=True,
    draws=0,
)
situation(
    "C15-one-tensor",
    "With x_recon and x as slices of one tensor, along any dimension, a call keeps its whole "
    "contract.",
    catches="what is read through the tensor of which an input is a view",
    wrap=handed.unbound,
    array="own sizes",
    parts=PARTS - {"C14"},  # the gradients of slices are slices
    large=False,
    only=lambda case: case.x_recon.dtype == case.x.dtype,
    because="one tensor has one dtype",
    refuses=False,
)


def _stridden(effort: Effort) -> Iterator[Case]:
    """All strides up to six, of all three inputs, of shapes that such strides make dense or not."""
    numbers = itertools.count(effort.seed % 1000)
    for shape, step, hop in itertools.product(((2, 3), (4, 4), (3, 5)), range(7), range(7)):
        number, layout = next(numbers), strides(step, hop)
        a, b = SAME_PAIRS[number % len(SAME_PAIRS)]
        yield Case(
            *CALLS[number % len(CALLS)],
            shape,
            Operand(a, Lattice(number), layout),
            Operand(b, Lattice(number + 1), layout),
            Mask("bernoulli" if number % 3 else "full", number, layout),
            grads=GRADS[number % len(GRADS)],
            salt=number,
        )


@prop(
    "C15-strides",
    statement="Whatever strides all three inputs have, dense, with gaps or overlapping, value and "
    "gradients are right.",
    rationale="Equal strides, or as much memory as there are elements, make no tensor dense.",
    catches="a flat loop where strides are equal; density guessed from the extent in memory",
    grid=_stridden,
)
def any_strides(probe: Probe, case: Case) -> None:
    ask(_STRIDDEN, probe, probe.without_gradients(case), [])


_STRIDDEN = Situation("C15-strides", layouts=True, parts=PARTS - {"C14", "C16"})
