"""The losses as one node of autograd, over whichever kernels evaluate them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..models.losses import Reduction


class Kernels(Protocol):
    """What an evaluator has to offer; `cpu` and `cuda` are two."""

    def sum_of_squares(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """S of C4, 0-d, in the result's dtype."""

    def count(self, mask: Tensor) -> Tensor:
        """The number of True, 0-d, integer."""

    def gradients(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """2 (x_recon - x) · mask · scale and its negation, each only if wanted."""


def evaluate(
    kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> Tensor:
    """The loss of arguments known to be right, with a node of autograd only where one is needed."""
    if torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad):
        loss: Tensor = _MaskedLoss.apply(kernels, x_recon, x, mask, reduction)
        return loss
    return _divided(
        kernels.sum_of_squares(x_recon, x, mask), _divisor(kernels, mask, reduction)
    )


def transformed() -> bool:
    """Whether a function transform or forward-mode AD is at work, which kernels cannot see."""
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def _divisor(kernels: Kernels, mask: Tensor, reduction: Reduction) -> Tensor | int | None:
    if reduction == "mean":
        return kernels.count(mask).clamp_(min=1)
    if reduction == "batch_mean":
        return max(mask.shape[0], 1)
    return None


def _divided(total: Tensor, divisor: Tensor | int | None) -> Tensor:
    return total if divisor is None else total / divisor


class _MaskedLoss(torch.autograd.Function):
    """Saves the inputs, and takes the difference anew in backward."""

    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
    ) -> Tensor:
        ctx.save_for_backward(x_recon, x, mask)
        ctx.kernels = kernels
        ctx.divisor = _divisor(kernels, mask, reduction)
        return _divided(kernels.sum_of_squares(x_recon, x, mask), ctx.divisor)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:3]
        scale = _divided(upstream, ctx.divisor)
        if torch.is_grad_enabled() or transformed() or type(upstream) is not Tensor:
            found = _differentiable_gradients(x_recon, x, mask, scale, wanted)
        else:
            found = ctx.kernels.gradients(x_recon, x, mask, scale, wanted)
        return None, *found, None, None


def _differentiable_gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The same gradients in operators that autograd and function transforms know (C13)."""
    difference = x_recon.to(scale.dtype) - x.to(scale.dtype)
    gradient = torch.where(mask, difference, 0.0) * 2 * scale
    return (
        gradient.to(x_recon.dtype) if wanted[0] else None,
        -gradient.to(x.dtype) if wanted[1] else None,
    )
