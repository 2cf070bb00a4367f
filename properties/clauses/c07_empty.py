"""C7: nothing masked."""

from __future__ import annotations

from ..judge.contract import nothing_masked
from .situations import situation

situation(
    "C7-empty",
    "With nothing masked the value is +0.0, whichever two traits meet.",
    catches="0/0; a sum of nothing that is no tensor; −0.0",
    rationale="A batch without masked positions must not end the run.",
    array="full",
    large=False,
    parts=frozenset(["C7"]),
    only=nothing_masked,
    because="this is about those",
    empty=True,
)
