"""For what is wrong at certain sizes, or for certain calls, only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from .autograd import both_slopes, by_hand, ordinary
from .formula import right

Where = Callable[[Tensor, Tensor, Tensor, str], bool]


def doubled(where: Where) -> Callable[..., Tensor]:
    """A loss that is twice what it should be, in eager mode, where the call is of that kind."""

    @functools.wraps(where)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        value = right(x_recon, x, mask, reduction)
        wrong = ordinary(x_recon, x, mask) and where(x_recon, x, mask, reduction)
        return value * 2 if wrong else value

    return loss


def gradient_doubled(where: Where) -> Callable[..., Any]:
    """A loss whose gradients are twice what they should be, where the call is of that kind."""

    @functools.wraps(where)
    def gradients(x_recon, x, mask, reduction, upstream):
        factor = 2 if where(x_recon, x, mask, reduction) else 1
        return both_slopes(x_recon, x, mask, reduction, upstream * factor)

    return by_hand(gradients)


LARGE = 2**16
