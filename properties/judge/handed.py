"""How arguments are handed over: what the slot `wrap` of a situation takes besides `ways.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import NAMES
from ..inputs.source import remembered
from .acts import Call
from .bits import same_bits
from .situation import Wrap


def made_strings(loss: Call) -> Call:
    """A reduction that was made at run time."""

    def call(*arguments: Any, **named: Any) -> Any:
        made = {n: "".join(list(v)) if isinstance(v, str) else v for n, v in named.items()}
        return loss(*arguments, **made)

    return call


def by_name(loss: Call) -> Call:
    """All arguments by name, in another order."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        return loss(mask=mask, x=x, x_recon=x_recon, **named)

    return call


def some_by_name(loss: Call) -> Call:
    """The first argument by its place, the others by name."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        return loss(x_recon, mask=mask, x=x, **named)

    return call


class Alike(Tensor):
    """A subclass of Tensor that adds nothing."""


class Closer(Alike):
    """A subclass of that, which adds nothing either."""


@remembered
def as_subclass(*which: str) -> Wrap:
    """These arguments as subclasses of Tensor that add nothing; the result as a plain tensor.

    With x among them that is one of the others' class, which torch's operators take together.
    """

    def wrap(loss: Call) -> Call:
        def call(*arguments: Any, **named: Any) -> Any:
            given = [
                t.as_subclass(Closer if name == "x" else Alike)
                if name in which and isinstance(t, Tensor)
                else t
                for name, t in zip(NAMES, arguments, strict=True)
            ]
            found = loss(*given, **named)
            return found.as_subclass(Tensor) if isinstance(found, Alike) else found

        return call

    return wrap


def inference_inputs(loss: Call) -> Call:
    """On inference tensors, outside inference mode."""

    def call(*arguments: Any, **named: Any) -> Any:
        with torch.inference_mode():
            given = [t.clone() if isinstance(t, Tensor) else t for t in arguments]
        return loss(*given, **named)

    return call


class Produced(torch.autograd.Function):
    """The same numbers in memory of their own, which backward looks at, as that of exp does."""

    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        made = given.clone()
        ctx.save_for_backward(given, made)
        return made

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        given, made = ctx.saved_tensors
        return upstream if same_bits(given, made) else upstream * torch.nan


def unnamed(loss: Call) -> Call:
    """Tensors that only the call refers to, of memory that others see."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        held = [Produced.apply(t) if t.requires_grad else t.detach() for t in (x_recon, x, mask)][
            ::-1
        ]
        if "reduction" in named:
            return loss(held.pop(), held.pop(), held.pop(), reduction=named["reduction"])
        return loss(held.pop(), held.pop(), held.pop())

    return call


def unbound(loss: Call) -> Call:
    """x_recon and x as two slices of one tensor of three dimensions, recorded where need be."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        dimension = x.shape[1] % 3
        with torch.set_grad_enabled(x_recon.requires_grad or x.requires_grad):
            both = torch.stack([x_recon, x], dimension)
            return loss(*both.unbind(dimension), mask, **named)

    return call


class AllBits(torch.autograd.Function):
    """The same numbers, with every bit of a NaN set."""

    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[given.element_size()]
        made = given.clone()
        made.view(whole).masked_fill_(given.isnan(), -1)
        return made

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return upstream


def other_nans(loss: Call) -> Call:
    """With NaNs as no arithmetic makes them."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        return loss(AllBits.apply(x_recon), AllBits.apply(x), mask, **named)

    return call
