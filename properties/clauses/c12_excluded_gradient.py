"""C12: gradients outside the mask, and where nothing is masked."""

from __future__ import annotations

from .registry import GRADIENTS
from .situations import TWO_TRAITS, situation

situation(
    "C12-excluded-gradient",
    "Gradients are zero outside the mask, and with nothing masked, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C12"]),
    needs=GRADIENTS,
)
situation(
    "C12-excluded-sizes",
    "Gradients are zero outside the mask, and with nothing masked; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C12"]),
    needs=GRADIENTS,
    draws=0,
)
