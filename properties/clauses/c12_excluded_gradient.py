"""C12: gradients outside the mask, and where nothing is masked."""

from __future__ import annotations

from ..judge.contract import nothing_masked
from .registry import GRADIENTS
from .situations import situation

_LEAKS = "0 times NaN in backward; where() after the square; gradients that leak from outside"
_WHY = "One NaN in a gradient ends a training."

situation(
    "C12-excluded-gradient",
    "Gradients are zero outside the mask, whatever stands there, whichever two traits meet.",
    catches=_LEAKS,
    rationale=_WHY,
    array="full",
    again=True,
    large=False,
    parts=frozenset(["C12"]),
    only=lambda case: not nothing_masked(case),
    because="C12-empty-trains has the others",
    needs=GRADIENTS,
)
situation(
    "C12-excluded-sizes",
    "At large sizes too, gradients are zero outside the mask, whichever two traits meet.",
    catches=_LEAKS,
    rationale=_WHY,
    array="large",
    large=False,
    parts=frozenset(["C12"]),
    needs=GRADIENTS,
    draws=0,
)
situation(
    "C12-empty-trains",
    "With nothing masked, backward runs and gradients are exactly 0, whichever two traits meet.",
    catches="a constant without a graph; a fresh zero; 0/0 in backward",
    array="full",
    large=False,
    parts=frozenset(["C12"]),
    only=nothing_masked,
    because="this is about those",
    needs=GRADIENTS,
    empty=True,
)
