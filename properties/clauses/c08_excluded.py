"""C8: what stands outside the mask."""

from __future__ import annotations

from ..judge.contract import hides
from .situations import situation

_LEAKS = "NaN times 0, which is NaN; a scale or a count taken from all positions"
_WHY = "What is not masked is what nobody asked about: padding, gaps, a dead sensor."

situation(
    "C8-excluded-value",
    "What stands outside the mask leaves the value's bits alone, whichever two traits meet.",
    catches=_LEAKS,
    rationale=_WHY,
    array="full",
    again=True,
    whole=True,  # only a few of them show bits that were rounded with what is hidden
    large=False,
    parts=frozenset(["C8"]),
    only=hides,
    because="this is about those",
)
situation(
    "C8-excluded-sizes",
    "What stands outside the mask leaves the value's bits alone; large sizes, any two traits.",
    catches=_LEAKS,
    rationale=_WHY,
    array="large",
    large=False,
    parts=frozenset(["C8"]),
    only=hides,
    because="this is about those",
    draws=0,
)
