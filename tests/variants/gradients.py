"""Right with a gradient made in another way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .catalogue import (
    divided,
    formula_where,
    masked_difference,
    plainly,
    pushed,
    transformed,
    variant,
    whole,
    widened,
)


class ByHand(torch.autograd.Function):
    """The sum of the squared masked difference; backward, jvp and vmap by hand."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return masked_difference(x_recon, x, mask).square().sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors
        difference = masked_difference(x_recon, x, mask)
        gradient = torch.where(mask, 2.0 * (difference * upstream), 0.0)
        for_recon = gradient.to(x_recon.dtype) if ctx.needs_input_grad[0] else None
        return for_recon, (-gradient).to(x.dtype) if ctx.needs_input_grad[1] else None, None

    @staticmethod
    def jvp(ctx: Any, t_recon: Tensor, t_x: Tensor, _: None) -> Tensor:
        x_recon, x, mask = ctx.saved_tensors
        change = masked_difference(t_recon, t_x, mask)
        return (2.0 * masked_difference(x_recon, x, mask) * change).sum()


@variant
@formula_where(plainly)
def function_by_hand(x_recon, x, mask):
    """A torch.autograd.Function of its own; the formula in compiled code and nested transforms."""
    return ByHand.apply(x_recon, x, mask)


class _WithVmapRule(torch.autograd.Function):
    """The same with a vmap rule that sums over the last two dimensions."""

    forward = staticmethod(ByHand.forward)
    setup_context = staticmethod(ByHand.setup_context)
    backward = staticmethod(ByHand.backward)
    jvp = staticmethod(ByHand.jvp)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        x_recon, x, mask = (
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(inputs, in_dims, strict=True)
        )
        return masked_difference(x_recon, x, mask).square().sum((-2, -1)), 0


@variant
@formula_where(pushed)
def function_with_own_vmap_rule(x_recon, x, mask):
    """A Function whose vmap rule is written out."""
    return _WithVmapRule.apply(x_recon, x, mask)


class _RoundsUnderAutocast(ByHand):
    """Rounds its gradients to half where backward itself runs under autocast."""

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        found = ByHand.backward(ctx, upstream)
        if not torch.is_autocast_enabled("cpu"):
            return found
        return tuple(g if g is None else g.half().to(g.dtype) for g in found)


@variant
@formula_where(plainly)
def backward_in_half_under_autocast(x_recon, x, mask):
    """What a backward under autocast does, which torch advises against, is left open."""
    return _RoundsUnderAutocast.apply(x_recon, x, mask)


@variant
def gradient_through_inner_product(x_recon, x, mask, reduction):
    """d times d as the product of two separately selected differences."""
    first = masked_difference(x_recon, x, mask)
    second = masked_difference(x, x_recon, mask)
    return divided(-(first * second).sum() + 0.0, mask, reduction)


@variant
def product_of_two_fills(x_recon, x, mask, reduction):
    """d times d: one factor filled through the inputs, the other through the difference."""
    wide_recon, wide_x = widened(x_recon, x)
    kept = torch.where(mask, wide_recon, 0.0) - torch.where(mask, wide_x, 0.0)
    return divided((kept * masked_difference(x_recon, x, mask)).sum(), mask, reduction)


class _SavesDifference(ByHand):
    """Backward from the difference that forward kept, unless it is differentiated itself."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.save_for_forward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        difference = masked_difference(x_recon, x, mask)
        return difference.square().sum(), difference

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        x_recon, x, mask, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            kept = masked_difference(x_recon, x, mask)
        gradient = torch.where(mask, 2.0 * kept * upstream, 0.0)
        return gradient.to(x_recon.dtype), (-gradient).to(x.dtype), None


@variant
@formula_where(transformed)
def difference_kept_for_backward(x_recon, x, mask):
    """Forward keeps the masked difference, backward scales it; the formula under transforms."""
    return _SavesDifference.apply(x_recon, x, mask)[0]


class _ColumnMajor(ByHand):
    """Gradients in column-major memory, -0.0 outside the mask, that of x made anew."""

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors

        def side(a: Tensor, b: Tensor) -> Tensor:
            slope = -torch.where(mask, masked_difference(b, a, mask) * 2.0 * upstream, 0.0)
            return slope.mT.clone(memory_format=torch.contiguous_format).mT

        return side(x_recon, x).to(x_recon.dtype), side(x, x_recon).to(x.dtype), None


@variant
@formula_where(plainly)
def column_major_gradients(x_recon, x, mask):
    """No clause speaks of a gradient's strides, nor of the sign of its zeros."""
    return _ColumnMajor.apply(x_recon, x, mask)


@variant
def gradient_as_made(x_recon, x, mask, reduction):
    """Saves a copy of the mask and the difference alone: what changes an input changes nothing."""
    x_recon, x, mask = whole(x_recon, x, mask)
    chosen = mask.clone()
    total = masked_difference(x_recon, x, chosen).pow(2).sum()
    if reduction != "mean":
        return divided(total, chosen, reduction)
    return (total.double() * chosen.sum().clamp(min=1).double().reciprocal()).to(total.dtype)


class _Step(torch.autograd.Function):
    """A step of four, whose backward is another step."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


class _Cut(_Step):
    @staticmethod
    def forward(value: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, value, torch.zeros_like(value))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return _Cut.apply(upstream, ctx.saved_tensors[1]), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> Tensor:
        return _Cut.apply(tangent, ctx.saved_tensors[1])


class _Minus(_Step):
    @staticmethod
    def forward(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, a - b, torch.zeros_like(a))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        cut = _Cut.apply(upstream, ctx.saved_tensors[2])
        return cut, cut.neg(), None

    @staticmethod
    def jvp(ctx: Any, for_a: Tensor, for_b: Tensor, _: Any) -> Tensor:
        return _Cut.apply(for_a - for_b, ctx.saved_tensors[2])


class _Square(_Step):
    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return value * value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (difference,) = ctx.saved_tensors  # once, as checkpoints want it
        return (difference + difference) * upstream

    jvp = backward


class _Total(_Step):
    @staticmethod
    def forward(squares: Tensor) -> Tensor:
        return squares.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return upstream.expand(ctx.saved_tensors[0].shape)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.sum()


@variant
@formula_where(plainly)
def four_functions_in_a_row(x_recon, x, mask):
    """Difference, selection, square and sum each a Function, whose backwards call one another."""
    return _Total.apply(_Square.apply(_Minus.apply(*widened(x_recon, x), mask)))


@variant
def mask_saved_in_fewer_bytes(x_recon, x, mask, reduction):
    """Hooks of its own on what autograd saves: a bool tensor becomes eight times fewer bytes."""
    elsewhere = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
    if elsewhere or hasattr(mask, "full_tensor"):  # which take no such hooks
        return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    powers = 2 ** torch.arange(8, device=mask.device)

    def packed(tensor: Tensor) -> Any:
        if tensor.dtype is not torch.bool or tensor.is_meta:
            return tensor
        flat = torch.nn.functional.pad(tensor.reshape(-1), (0, -tensor.numel() % 8))
        return (flat.reshape(-1, 8) * powers).sum(1).byte(), tensor.shape

    def unpacked(kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        bits = (kept[0][:, None] & powers) != 0
        return bits.reshape(-1)[: kept[1].numel()].reshape(kept[1])

    with torch.autograd.graph.saved_tensors_hooks(packed, unpacked):
        return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
