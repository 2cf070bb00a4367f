"""The losses as one node of autograd, over whichever kernels evaluate them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from wavemae.models.losses import Reduction

from .internals import is_one, observed


class Kernels(Protocol):
    """What an evaluator offers: the modules `native`, `cpu` and `cuda` are three."""

    def reduced(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
    ) -> tuple[Tensor, Tensor | int]:
        """The loss, and by what the sum was divided."""

    def gradients(
        self,
        x_recon: Tensor,
        x: Tensor,
        mask: Tensor,
        upstream: Tensor,
        divisor: Tensor | int,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """2 (x_recon - x) · mask · upstream / divisor, and its negation for x, where wanted.

        Each is in its input's dtype.
        """


class MaskedLoss(torch.autograd.Function):
    """The loss by given kernels. Saves the inputs, and takes the difference anew in backward."""

    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
    ) -> Tensor:
        """The loss; `ctx` keeps the inputs and what the sum was divided by."""
        ctx.save_for_backward(x_recon, x, mask)
        ctx.kernels = kernels
        loss, ctx.divisor = kernels.reduced(x_recon, x, mask, reduction)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of C11: of x_recon and x, in the order of forward's arguments."""
        x_recon, x, mask = ctx.saved_tensors
        _, for_recon, for_x, _, _ = ctx.needs_input_grad
        wanted = for_recon, for_x
        if torch.is_grad_enabled() or observed() or not is_one(upstream):
            found = _differentiable_gradients(x_recon, x, mask, upstream / ctx.divisor, wanted)
        else:
            found = ctx.kernels.gradients(x_recon, x, mask, upstream, ctx.divisor, wanted)
        return None, found[0], found[1], None, None


def _differentiable_gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The same gradients in operators that autograd and function transforms know (C13)."""
    difference = x_recon.to(scale.dtype) - x.to(scale.dtype)
    # Once more after the product: an infinite upstream gradient times 0 is NaN.
    gradient = torch.where(mask, torch.where(mask, difference, 0.0) * 2 * scale, 0.0)
    return (
        gradient.to(x_recon.dtype) if wanted[0] else None,
        -gradient.to(x.dtype) if wanted[1] else None,
    )
