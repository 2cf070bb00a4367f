"""Right pieces that wrong gradients, manners and executions are built from.

Everything here keeps the contract. A mutant takes these pieces and replaces one of them, so that it
is wrong in one respect and right in every other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from .formula import right, widened

Gradients = Callable[[Tensor, Tensor, Tensor, str, Tensor], tuple[Tensor | None, Tensor | None]]


def masked_difference(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """x_recon - x where masked, 0 elsewhere."""
    wide_recon, wide_x = widened(x_recon, x)
    return torch.where(mask, wide_recon - wide_x, 0.0)


def scaled(total: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """The sum (or its gradient) divided as the reduction wants."""
    if reduction == "mean":
        return total / torch.count_nonzero(mask).clamp(min=1)
    if reduction == "batch_mean":
        return total / max(mask.shape[0], 1)
    return total


def slope(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str, upstream: Tensor) -> Tensor:
    """The gradient for x_recon, in the dtype of the result; itself differentiable."""
    doubled = 2.0 * masked_difference(x_recon, x, mask)  # 2 · upstream alone may leave the range
    return torch.where(mask, doubled * scaled(upstream, mask, reduction), 0.0)


def both_slopes(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str, upstream: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients for x_recon and x."""
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, -gradient


def ordinary(*tensors: Tensor) -> bool:
    """Eager mode, real data, no function transform: where a kernel of one's own would run."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.maybe_current_level() is None
        and forward_ad._current_level < 0
        and not any(t.is_meta or isinstance(t, FakeTensor) for t in tensors)
    )


def of_a_million(*tensors: Tensor) -> bool:
    """Eager mode, transforms included, and so many elements that threads of one's own would pay."""
    real = not torch.compiler.is_compiling() and all(type(t) is Tensor for t in tensors)
    return real and not tensors[0].is_meta and tensors[0].numel() >= 2**20


class Kernel(torch.autograd.Function):
    """Forward and backward by hand, both right. A mutant overrides one of them."""

    @staticmethod
    def forward(ctx: Any, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        ctx.save_for_backward(x_recon, x, mask)
        ctx.reduction = reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


def run(
    kernel: type[torch.autograd.Function], x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str
) -> Tensor:
    """The kernel where kernels run; the plain formula under compile, transforms and on meta."""
    if ordinary(x_recon, x, mask):
        return kernel.apply(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


def by_hand(gradients: Gradients) -> Callable[[Tensor, Tensor, Tensor, str], Tensor]:
    """A loss with the right value and the given gradients(x_recon, ..., upstream)."""

    class ByHand(Kernel):
        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
            x_recon, x, mask = ctx.saved_tensors
            for_recon, for_x = gradients(x_recon, x, mask, ctx.reduction, upstream)
            return (
                None if for_recon is None else for_recon.to(x_recon.dtype),
                None if for_x is None else for_x.to(x.dtype),
                None,
                None,
            )

    @functools.wraps(gradients)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        return run(ByHand, x_recon, x, mask, reduction)

    return loss


def in_front(
    info: Any, in_dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]
) -> list[Tensor]:
    """For a vmap rule: every tensor with the mapped dimension first, repeated if it had none."""
    return [
        t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
        for t, d in zip(tensors, in_dims, strict=False)
    ]


def each(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """The losses of many (B, L) problems stacked on dimension 0."""
    total = masked_difference(x_recon, x, mask).square().sum((-2, -1))
    if reduction == "mean":
        return total / mask.sum((-2, -1)).clamp(min=1)
    if reduction == "batch_mean":
        return total / max(mask.shape[-2], 1)
    return total


def with_rule(rule: Callable[..., tuple[Tensor, int | None]]) -> Callable[..., Tensor]:
    """A loss with a vmap rule of its own: rule(info, in_dims, (x_recon, x, mask), reduction)."""

    class WithRule(torch.autograd.Function):
        @staticmethod
        def forward(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
            return right(x_recon, x, mask, reduction)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            ctx.save_for_backward(*inputs[:3])
            ctx.reduction = inputs[3]

        backward = staticmethod(Kernel.backward)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int | None]:
            return rule(info, in_dims, inputs[:3], inputs[3])

    @functools.wraps(rule)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
            return right(x_recon, x, mask, reduction)
        return WithRule.apply(x_recon, x, mask, reduction)

    return loss
