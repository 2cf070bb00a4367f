"""The losses as one node of autograd, over whichever kernels evaluate them."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from wavemae.models.losses import Reduction

_Modes = torch._C._TorchDispatchModeKey
_TRACERS = (_Modes.FAKE, _Modes.PROXY, _Modes.FUNCTIONAL)


class Kernels(Protocol):
    """What an evaluator offers: the modules `cpu` and `cuda` are two."""

    def reduced(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
    ) -> tuple[Tensor, Tensor | int]:
        """The loss, and by what the sum was divided."""

    def gradients(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """2 (x_recon - x) · mask · scale, and its negation for x, each in its dtype, if wanted."""


def observed() -> bool:
    """Whether more than autograd watches: a compiler, a transform, forward mode or a tracer."""
    return (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or (
            torch._C._len_torch_dispatch_stack() > 0
            and any(torch._C._get_dispatch_mode(mode) is not None for mode in _TRACERS)
        )
    )


def _plain(upstream: Tensor) -> bool:
    """Whether a gradient is one ordinary tensor; `is_grads_batched` brings many in one."""
    batched: bool = torch._C._functorch.is_legacy_batchedtensor(upstream)
    return type(upstream) is Tensor and not batched


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
        scale = upstream / ctx.divisor
        if torch.is_grad_enabled() or observed() or not _plain(upstream):
            found = _differentiable_gradients(x_recon, x, mask, scale, (for_recon, for_x))
        else:
            found = ctx.kernels.gradients(x_recon, x, mask, scale, (for_recon, for_x))
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
