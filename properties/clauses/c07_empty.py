"""C7: nothing masked."""

from __future__ import annotations

from ..judge.contract import nothing_masked
from .situations import TWO_TRAITS, situation

situation(
    "C7-empty",
    "With nothing masked the value is +0.0, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C7"]),
    only=nothing_masked,
    because="this is about those",
    empty=True,
)
