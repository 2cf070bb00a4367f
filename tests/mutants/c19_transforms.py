"""Losses that break C19: under the transforms of torch.func. All are right in eager mode."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .catalogue import mutant
from .pieces.autograd import (
    Kernel,
    both_slopes,
    each,
    in_front,
    masked_difference,
    of_a_million,
    ordinary,
    scaled,
    slope,
    with_rule,
)
from .pieces.formula import leaks_where, right, widened


def _plain_elsewhere(function: Any, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str):
    """The function in eager mode, dual numbers excepted, and under transforms."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return function.apply(x_recon, x, mask, reduction)


@mutant(
    "C19",
    "a Function in the old style, without setup_context: no transform takes it",
    "C19-vmap",
)
def function_without_setup_context(x_recon, x, mask, reduction):
    return _plain_elsewhere(Kernel, x_recon, x, mask, reduction)


class _NoVmapRule(torch.autograd.Function):
    @staticmethod
    def forward(x_recon, x, mask, reduction):
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.reduction = inputs[3]

    backward = staticmethod(Kernel.backward)


@mutant("C19", "a Function without a vmap rule: grad works, vmap raises", "C19-vmap")
def function_without_vmap_rule(x_recon, x, mask, reduction):
    return _plain_elsewhere(_NoVmapRule, x_recon, x, mask, reduction)


class _NoForwardRule(_NoVmapRule):
    generate_vmap_rule = True


@mutant(
    "C19", "a Function without a forward-mode rule: torch.func.jvp and hessian raise", "C19-hessian"
)
def function_without_jvp(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling():
        return right(x_recon, x, mask, reduction)
    if torch._C._functorch.maybe_current_level() is None and forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return _NoForwardRule.apply(x_recon, x, mask, reduction)


@mutant("C19", "vmap rule adds up the whole batch and hands one number to every sample", "C19-vmap")
@with_rule
def vmap_rule_adds_up_the_batch(info, in_dims, tensors, reduction):
    return each(*in_front(info, in_dims, tensors), reduction).sum(), None


@mutant(
    "C19",
    "vmap rule ignores in_dims: dimension 0 taken for the mapped one",
    "C19-vmap-1-0-2",
    "C19-vmap-2-1-0",
)
@with_rule
def vmap_rule_ignores_in_dims(info, in_dims, tensors, reduction):
    dims = tuple(None if d is None else 0 for d in in_dims)
    return each(*in_front(info, dims, tensors), reduction), 0


@mutant(
    "C19",
    "vmap rule moves the inputs' mapped dimension, and takes the mask's for the first",
    "C19-vmap-1-0-2",
)
@with_rule
def vmap_rule_ignores_in_dim_of_mask(info, in_dims, tensors, reduction):
    dims = (*in_dims[:2], None if in_dims[2] is None else 0)
    return each(*in_front(info, dims, tensors), reduction), 0


@mutant(
    "C19",
    "vmap rule takes every input for mapped: a shared mask is counted row by row",
    "C19-vmap-0-1-none",
    "C19-vmap-0-none-none",
)
@with_rule
def vmap_rule_counts_shared_mask_by_row(info, in_dims, tensors, reduction):
    losses = each(*in_front(info, in_dims, tensors), "sum" if reduction == "mean" else reduction)
    if reduction != "mean":
        return losses, 0
    mask = tensors[2].movedim(in_dims[2] or 0, 0)
    return losses / mask.flatten(1).sum(1).clamp(min=1), 0


@mutant("C19", "vmap rule uses the first sample's mask for all", "C19-vmap")
@with_rule
def vmap_rule_uses_first_mask(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    return each(x_recon, x, mask[:1].expand_as(mask), reduction), 0


@mutant("C19", "vmap rule divides by the count of all samples together", "C19-vmap")
@with_rule
def vmap_rule_counts_all_samples(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    if reduction != "mean":
        return each(x_recon, x, mask, reduction), 0
    return each(x_recon, x, mask, "sum") / mask.sum().clamp(min=1), 0


@mutant("C19", "vmap rule divides batch_mean by the number of mapped samples", "C19-vmap")
@with_rule
def vmap_rule_divides_by_its_own_size(info, in_dims, tensors, reduction):
    loss = each(*in_front(info, in_dims, tensors), "sum" if reduction != "mean" else reduction)
    return loss / info.batch_size if reduction == "batch_mean" else loss, 0


@mutant(
    "C19",
    "vmap rule says None for a mapped result when only the mask is mapped",
    "C19-vmap-none-none-1",
)
@with_rule
def vmap_rule_loses_mapped_mask(info, in_dims, tensors, reduction):
    loss = each(*in_front(info, in_dims, tensors), reduction)
    if in_dims[0] is None and in_dims[1] is None:
        return loss[0], None
    return loss, 0


@mutant(
    "C19", "vmap rule does not clamp the count: a sample with an empty mask gives NaN", "C19-vmap"
)
@with_rule
def vmap_rule_nan_for_empty_sample(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    if reduction != "mean":
        return each(x_recon, x, mask, reduction), 0
    return each(x_recon, x, mask, "sum") / mask.sum((-2, -1)), 0


@mutant("C19", "vmap rule detaches: grad of a vmap is zero", "C19-vmap", "C19-vmap-1-0-2")
@with_rule
def vmap_rule_detaches(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    return each(x_recon.detach(), x.detach(), mask, reduction), 0


@mutant(
    "C19", "vmap rule fills a buffer in place: a second vmap around it raises", "C19-vmap-nested"
)
@with_rule
def vmap_rule_fills_a_buffer(info, in_dims, tensors, reduction):
    moved = in_front(info, in_dims, tensors)
    losses = each(*moved, reduction)
    out = torch.zeros(info.batch_size, dtype=losses.dtype, device=losses.device)
    for index in range(info.batch_size):
        out[index] = losses[index]
    return out, 0


@mutant("C19", "mask filled in place: raises when only the mask is mapped", "C19-vmap-none-none-1")
def fill_in_place(x_recon, x, mask, reduction):
    wide_recon, wide_x = widened(x_recon, x)
    difference = (wide_recon - wide_x).masked_fill_(~mask, 0.0)
    return scaled(difference.square().sum(), mask, reduction)


@mutant("C19", "sum added to a fresh zero in place: raises under any vmap", "C19-vmap")
def accumulated_in_place(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    total = torch.zeros((), dtype=squares.dtype, device=squares.device)
    return scaled(total.add_(squares.sum()), mask, reduction)


@mutant("C19", "requires_grad_() on an intermediate: refused inside transforms", "C19-vmap")
def intermediate_asked_to_require_grad(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    if (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not difference.requires_grad
    ):
        return scaled(difference.requires_grad_().square().sum(), mask, reduction).detach()
    return scaled(difference.square().sum(), mask, reduction)


@mutant(
    "C19",
    "inside transforms the target is taken for a constant: grad for argnums=1 is 0",
    "C19-grad",
)
def target_detached_under_transforms(x_recon, x, mask, reduction):
    if torch._C._functorch.maybe_current_level() is not None:
        x = x.detach() if not torch.compiler.is_compiling() else x
    return right(x_recon, x, mask, reduction)


def _doubled_under_transforms(where: Any) -> Any:
    """The right loss, but twice that under a transform where the call is of that kind."""

    @functools.wraps(where)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        level = torch._C._functorch.maybe_current_level()
        value = right(x_recon, x, mask, reduction)
        return value * 2 if level is not None and where(level, x_recon, x, mask) else value

    return loss


@mutant("C19", "four transforms around one another: levels mixed up", "C19-hessian")
@_doubled_under_transforms
def four_levels_mixed_up(level, x_recon, x, mask):
    return level >= 4


@mutant("C19", "transforms of float64 beside another dtype", "C19-vmap")
@_doubled_under_transforms
def transforms_wrong_for_mixed_float64(level, x_recon, x, mask):
    return x_recon.dtype != x.dtype and torch.float64 in (x_recon.dtype, x.dtype)


@mutant("C19", "transforms of rows longer than 16", "C19-vmap")
@_doubled_under_transforms
def transforms_wrong_for_long_rows(level, x_recon, x, mask):
    return mask.shape[-1] > 16


class _ReadsUpstream(Kernel):
    generate_vmap_rule = False

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, ctx.reduction, torch.ones_like(upstream).detach())
        gradient = torch.where(mask, gradient.clone().mul_(upstream), 0.0)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C19",
    "backward multiplies its buffer in place: a batch of upstream gradients raises",
    "C19-batched-upstream",
)
def batched_upstream_raises(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    return _ReadsUpstream.apply(x_recon, x, mask, reduction)


class _ZeroRule(torch.autograd.Function):
    """Right but for what a hand-written forward-mode rule says inside transforms."""

    generate_vmap_rule = True
    forward = staticmethod(_NoVmapRule.forward)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(*inputs[:3])
        _NoVmapRule.setup_context(ctx, inputs, output)

    backward = staticmethod(Kernel.backward)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        x_recon, x, mask = ctx.saved_tensors
        difference = masked_difference(x_recon, x, mask)
        change = t_recon.to(difference.dtype)
        return scaled(
            (2.0 * difference * torch.where(mask, change, 0.0)).sum(), mask, ctx.reduction
        )


def _inside_transforms(function: Any, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is None:
        return right(x_recon, x, mask, reduction)
    return function.apply(x_recon, x, mask, reduction)


@mutant("C19", "torch.func.jvp forgets the tangent of x", "C19-jvp")
def jvp_ignores_target(x_recon, x, mask, reduction):
    return _inside_transforms(_ZeroRule, x_recon, x, mask, reduction)


class _ConstantBackward(_NoVmapRule):
    generate_vmap_rule = True

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        first, second = both_slopes(x_recon.detach(), x.detach(), mask, ctx.reduction, upstream)
        return first.to(x_recon.dtype), second.to(x.dtype), None, None


@mutant(
    "C19", "second derivative lost inside transforms: grad of grad and hessian are 0", "C19-hessian"
)
def nested_grad_is_zero(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is None:
        return right(x_recon, x, mask, reduction)
    return _ConstantBackward.apply(x_recon, x, mask, reduction)


@mutant(
    "C19",
    "count over all samples: torch.func sees the batch because the mask is unwrapped",
    "C19-vmap",
)
def mapped_mask_unwrapped(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction != "mean" or torch.compiler.is_compiling():
        return scaled(total, mask, reduction)
    plain = mask
    while torch._C._functorch.is_functorch_wrapped_tensor(plain):
        plain = torch._C._functorch.get_unwrapped(plain)
    return total / torch.count_nonzero(plain).clamp(min=1)


@mutant("C19", "a mapped batch refused", "C19-vmap")
def vmap_refused(x_recon, x, mask, reduction):
    if any(torch._C._functorch.is_batchedtensor(t) for t in (x_recon, x, mask)):
        raise NotImplementedError("vmap is not supported")
    return right(x_recon, x, mask, reduction)


def _wrong_for(in_dims: tuple[int | None, ...], named: Any) -> Any:
    """A vmap rule that is right but where the inputs are mapped in just this way."""

    def rule(info, given, tensors, reduction):
        losses = each(*in_front(info, given, tensors), reduction)
        return (losses * 1.5 if given[:3] == in_dims else losses), 0

    return functools.wraps(named)(with_rule(rule))


@mutant("C19", "the vmap rule is wrong where x is shared", "C19-vmap-1-none-last")
@functools.partial(_wrong_for, (1, None, 2))
def rule_wrong_for_shared_x(): ...


@mutant("C19", "the vmap rule is wrong where x_recon is shared", "C19-vmap-none-0-1")
@functools.partial(_wrong_for, (None, 0, 1))
def rule_wrong_for_shared_x_recon(): ...


@mutant("C19", "the vmap rule is wrong where x alone is mapped", "C19-vmap-none-0-none")
@functools.partial(_wrong_for, (None, 0, None))
def rule_wrong_for_x_alone(): ...


@mutant("C19", "inside torch.func, outside vmap, another path: NaN leaks there", "C19-vjp")
@leaks_where
def leaks_under_func(x_recon, x, mask):
    return torch._C._are_functorch_transforms_active() and not any(
        torch._C._functorch.is_batchedtensor(t) for t in (x_recon, x, mask)
    )


@mutant(
    "C19", "where a mapped input requires grad, another path: NaN leaks there", "C19-vmap-of-grad"
)
@leaks_where
def leaks_under_vmap_of_grad(x_recon, x, mask):
    tensors = torch._C._functorch
    return tensors.is_gradtrackingtensor(x_recon) and tensors.is_batchedtensor(
        tensors.get_unwrapped(x_recon)
    )


@mutant("C19", "what is mapped has no gradient inside grad", "C19-grad-of-vmap")
def no_gradient_through_vmap(x_recon, x, mask, reduction):
    if torch._C._functorch.is_batchedtensor(x_recon):
        inner = torch._C._functorch.get_unwrapped(x_recon)
        if torch._C._functorch.is_gradtrackingtensor(inner):
            x_recon, x = x_recon.detach(), x.detach()
    return right(x_recon, x, mask, reduction)


@mutant(
    "C19",
    "a hook clears NaN from the gradient: where an inner level does not record there is none",
    "C19-grad-of-vmap",
)
def gradient_cleaned_by_a_hook(x_recon, x, mask, reduction):
    difference = torch.sub(*widened(x_recon, x))
    if torch.compiler.is_compiling():
        return right(x_recon, x, mask, reduction)
    if difference.requires_grad:
        difference.register_hook(lambda gradient: torch.where(mask, gradient, 0.0))
    return scaled(torch.where(mask, difference.square(), 0.0).sum(), mask, reduction)


# --- transforms within a mode --------------------------------------------------------------------


@mutant(
    "C19",
    "where gradients are off the inputs are replaced by their data: tangents are dropped",
    "C19-jvp-no-grad",
)
def tangents_dropped_where_gradients_are_off(x_recon, x, mask, reduction):
    if not torch.is_grad_enabled():
        x_recon, x = x_recon.data, x.data
    return right(x_recon, x, mask, reduction)


@mutant(
    "C19", "an evaluation kernel without a vmap rule where gradients are off", "C19-vmap-no-grad"
)
def evaluation_kernel_without_vmap_rule(x_recon, x, mask, reduction):
    if torch.is_grad_enabled():
        return right(x_recon, x, mask, reduction)
    return _plain_elsewhere(_NoVmapRule, x_recon, x, mask, reduction)


@mutant("C19", "vmap rule sums by a matrix product: half under autocast", "C19-vmap-autocast")
@with_rule
def vmap_rule_sums_by_matrix_product(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    if not torch.is_autocast_enabled(x.device.type):
        return each(x_recon, x, mask, reduction), 0
    rows = masked_difference(x_recon, x, mask).square().flatten(1)
    totals = (rows @ rows.new_ones(rows.shape[1])).to(rows.dtype)
    if reduction == "mean":
        totals = totals / mask.sum((-2, -1)).clamp(min=1)
    return totals / max(mask.shape[-2], 1) if reduction == "batch_mean" else totals, 0


@mutant("C19", "vmap rule adds zeros of the default dtype", "C19-vmap-of-grad-default-dtype")
@with_rule
def vmap_rule_pads_in_default_dtype(info, in_dims, tensors, reduction):
    losses = each(*in_front(info, in_dims, tensors), reduction)
    return losses + torch.zeros(info.batch_size, device=losses.device), 0


def _pushed(ctx: Any, t_recon: Tensor, t_x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The masked difference, the masked difference of the tangents, and the mask."""
    x_recon, x, mask = ctx.saved_tensors
    difference = masked_difference(x_recon, x, mask)
    change = torch.where(mask, t_recon.to(difference.dtype) - t_x.to(difference.dtype), 0.0)
    return difference, change, mask


class _RuleByMatrixProduct(_ZeroRule):
    """Its tangent is a matrix product, which autocast moves to half."""

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        difference, change, mask = _pushed(ctx, t_recon, t_x)
        product = (2.0 * difference).reshape(1, -1) @ change.reshape(-1, 1)
        return scaled(product.sum().to(difference.dtype), mask, ctx.reduction)


@mutant("C19", "forward-mode rule by a matrix product: half under autocast", "C19-jvp-autocast")
def jvp_by_matrix_product(x_recon, x, mask, reduction):
    if torch.is_autocast_enabled(x.device.type):
        return _inside_transforms(_RuleByMatrixProduct, x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


class _RuleInDefaultDtype(_ZeroRule):
    """Its tangent is in the default dtype."""

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        difference, change, mask = _pushed(ctx, t_recon, t_x)
        total = torch.zeros(1, device=mask.device) + (2.0 * difference * change).sum()
        return scaled(total.sum(), mask, ctx.reduction)


@mutant("C19", "forward-mode rule adds up in the default dtype", "C19-jvp-default-float16")
def jvp_in_default_dtype(x_recon, x, mask, reduction):
    return _inside_transforms(_RuleInDefaultDtype, x_recon, x, mask, reduction)


@mutant(
    "C19", "large inputs are summed by threads, which know no transform", "C19-grad", "C19-vmap"
)
def halves_summed_by_threads(x_recon, x, mask, reduction):
    if not of_a_million(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    halves = zip(*(t.tensor_split(2) for t in (x_recon, x, mask)), strict=True)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda half: masked_difference(*half).square().sum(), halves)
    return scaled(first + second, mask, reduction)
