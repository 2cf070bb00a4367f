"""The losses as one node of autograd, over whichever kernels evaluate them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..models.losses import Reduction


class Kernels(Protocol):
    """What an evaluator offers: the modules `cpu` and `cuda` are two."""

    def sums(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, counting: bool
    ) -> tuple[Tensor, Tensor | None]:
        """S of C4 in the result's dtype, and if asked for the number of True; both 0-d."""

    def gradients(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """2 (x_recon - x) · mask · scale, and its negation for x, each in its dtype, if wanted."""


def evaluate(
    kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> Tensor:
    """The loss of arguments known to be right; a node of autograd only where one is needed."""
    if torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad):
        loss: Tensor = _MaskedLoss.apply(kernels, x_recon, x, mask, reduction)
        return loss
    return _reduced(kernels, x_recon, x, mask, reduction)[0]


def transformed() -> bool:
    """Whether a function transform or forward-mode AD is at work, which kernels cannot see."""
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def _plain(upstream: Tensor) -> bool:
    """Whether a gradient is one ordinary tensor; `is_grads_batched` brings many in one."""
    batched: bool = torch._C._functorch.is_legacy_batchedtensor(upstream)
    return type(upstream) is Tensor and not batched


def _reduced(
    kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> tuple[Tensor, Tensor | int]:
    """The loss, and by what the sum was divided."""
    total, count = kernels.sums(x_recon, x, mask, reduction == "mean")
    if count is not None:
        divisor = count.clamp_min_(1)
        return total / divisor, divisor
    if reduction == "sum":
        return total, 1
    return total / max(mask.shape[0], 1), max(mask.shape[0], 1)


class _MaskedLoss(torch.autograd.Function):
    """Saves the inputs, and takes the difference anew in backward."""

    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
    ) -> Tensor:
        ctx.save_for_backward(x_recon, x, mask)
        ctx.kernels = kernels
        loss, ctx.divisor = _reduced(kernels, x_recon, x, mask, reduction)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors
        _, for_recon, for_x, _, _ = ctx.needs_input_grad
        scale = upstream / ctx.divisor
        if torch.is_grad_enabled() or transformed() or not _plain(upstream):
            found = _differentiable_gradients(x_recon, x, mask, scale, (for_recon, for_x))
        else:
            found = ctx.kernels.gradients(x_recon, x, mask, scale, (for_recon, for_x))
        return None, found[0], found[1], None, None


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
