"""C15: memory layouts that do not matter."""

from __future__ import annotations

from ..judge import handed
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

situation(
    "C15-strides",
    "With any strides, the same of all three inputs, a call keeps its whole contract.",
    catches="a flat loop where strides are equal; density guessed from how far a tensor reaches",
    rationale="Tensors that overlap may reach as far in memory as dense ones, and no further.",
    array="strides",
    parts=PARTS - {"C14"},
    large=False,
    layouts=True,
    refuses=False,
    draws=0,
)
