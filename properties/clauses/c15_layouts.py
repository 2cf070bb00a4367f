"""C15: memory layouts that do not matter."""

from __future__ import annotations

from ..judge.contract import PARTS
from ..judge.sweep import laid_out
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
