"""Wrong gradients: clauses C11, C12 and C13. The value is right throughout."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from .autograd_pieces import (
    Kernel,
    both_slopes,
    by_hand,
    masked_difference,
    ordinary,
    right,
    run,
    scaled,
    slope,
    widened,
)
from .catalogue import mutant

# --- C11: factor and scale -----------------------------------------------------------------------


@mutant("C11", "gradient lacks the factor 2", "C11-extremes", "C11-gradcheck")
@by_hand
def gradient_without_factor_two(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream / 2)


@mutant("C11", "gradient has the factor 2 twice", "C11-extremes")
@by_hand
def gradient_with_factor_four(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream * 2)


@mutant("C11", "gradient of the sum whatever the reduction", "C11-extremes")
@by_hand
def gradient_without_scale(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, "sum", upstream)


@mutant("C11", "gradient of batch_mean divided by the count of the mask", "C11-extremes")
@by_hand
def gradient_of_batch_mean_divided_by_count(x_recon, x, mask, reduction, upstream):
    return both_slopes(
        x_recon, x, mask, "mean" if reduction == "batch_mean" else reduction, upstream
    )


@mutant("C11", "gradient of mean divided by all elements, the value by the count", "C11-extremes")
@by_hand
def gradient_of_mean_divided_by_all(x_recon, x, mask, reduction, upstream):
    if reduction == "mean":
        return both_slopes(x_recon, x, mask, "sum", upstream / max(mask.numel(), 1))
    return both_slopes(x_recon, x, mask, reduction, upstream)


@mutant("C11", "gradient of mean divided by each row's own count", "C11-oracle")
@by_hand
def gradient_of_mean_divided_by_row_counts(x_recon, x, mask, reduction, upstream):
    if reduction != "mean":
        return both_slopes(x_recon, x, mask, reduction, upstream)
    rows = mask.any(1).sum().clamp(min=1)
    step = upstream / (rows * mask.sum(1, keepdim=True).clamp(min=1))
    gradient = masked_difference(x_recon, x, mask) * (2 * step)
    return gradient, -gradient


@mutant("C11", "gradient scale 1/n rounded to half precision", "C11-extremes")
@by_hand
def gradient_scale_in_half(x_recon, x, mask, reduction, upstream):
    scale = scaled(torch.ones_like(upstream), mask, reduction).half().to(upstream.dtype)
    return both_slopes(x_recon, x, mask, "sum", upstream * scale)


# --- C11: upstream gradient ----------------------------------------------------------------------


@mutant("C11", "upstream gradient ignored", "C11-extremes")
@by_hand
def upstream_ignored(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, torch.ones_like(upstream))


@mutant("C11", "only the sign of the upstream gradient used", "C11-extremes")
@by_hand
def upstream_sign_only(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.sign())


@mutant("C11", "sign of the upstream gradient lost", "C11-extremes")
@by_hand
def upstream_sign_lost(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.abs())


@mutant("C11", "negative upstream gradient dropped", "C11-extremes")
@by_hand
def upstream_dropped_when_negative(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.clamp(min=0))


@mutant("C11", "upstream gradient 0 taken for 'none given', hence 1", "C11-upstream")
@by_hand
def upstream_zero_read_as_one(x_recon, x, mask, reduction, upstream):
    one = torch.ones_like(upstream)
    return both_slopes(x_recon, x, mask, reduction, torch.where(upstream == 0, one, upstream))


@mutant("C11", "upstream gradient applied in backward and again by the scale", "C11-extremes")
@by_hand
def upstream_applied_twice(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream * upstream)


@mutant("C11", "upstream gradient capped at 1", "C11-upstream")
@by_hand
def upstream_capped_at_one(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.clamp(max=1))


@mutant("C11", "upstream gradient read as an integer", "C11-extremes")
@by_hand
def upstream_read_as_integer(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.trunc())


@mutant(
    "C11",
    "upstream gradient passed through half precision: 1e-9 becomes 0, 1e5 infinite",
    "C11-upstream",
)
@by_hand
def upstream_through_half(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.half().to(upstream.dtype))


@mutant("C11", "upstream gradient applied to x_recon only", "C11-extremes")
@by_hand
def upstream_missing_for_target(x_recon, x, mask, reduction, upstream):
    for_recon, _ = both_slopes(x_recon, x, mask, reduction, upstream)
    return for_recon, -slope(x_recon, x, mask, reduction, torch.ones_like(upstream))


@mutant(
    "C11",
    "upstream gradient applied to the first element only (kernel without a load per block)",
    "C11-extremes",
)
@by_hand
def upstream_reaches_first_element_only(x_recon, x, mask, reduction, upstream):
    factor = torch.ones_like(mask, dtype=upstream.dtype)
    factor = torch.cat([upstream.reshape(1), factor.flatten()[1:]])[: mask.numel()]
    gradient = slope(x_recon, x, mask, reduction, torch.ones_like(upstream))
    gradient = gradient * factor.view_as(gradient)
    return gradient, -gradient


@mutant("C11", "upstream gradient applied for reduction='sum' only", "C11-extremes")
@by_hand
def upstream_ignored_unless_sum(x_recon, x, mask, reduction, upstream):
    used = upstream if reduction == "sum" else torch.ones_like(upstream)
    return both_slopes(x_recon, x, mask, reduction, used)


# --- C11: which input gets what ------------------------------------------------------------------


@mutant("C11", "gradients of the two inputs swapped", "C11-extremes")
@by_hand
def gradients_swapped(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream)[::-1]


@mutant("C11", "target gets the gradient of x_recon without the minus", "C11-extremes")
@by_hand
def target_gradient_not_negated(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, gradient


@mutant("C11", "one buffer negated in place and returned for both inputs", "C11-extremes")
@by_hand
def one_buffer_for_both_gradients(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, gradient.neg_()


@mutant("C11", "target treated as a constant", "C11-extremes")
def target_detached(x_recon, x, mask, reduction):
    return right(x_recon, x.detach(), mask, reduction)


@mutant("C11", "x_recon treated as a constant: stop-gradient on the wrong side", "C11-extremes")
def reconstruction_detached(x_recon, x, mask, reduction):
    return right(x_recon.detach(), x, mask, reduction)


@mutant("C11", "target treated as a constant whenever x_recon requires grad", "C11-extremes")
def target_detached_beside_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, x.detach() if x_recon.requires_grad else x, mask, reduction)


@mutant("C11", "gradient of zeros for x in place of the negated one", "C11-extremes")
@by_hand
def target_gradient_zero(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, torch.zeros_like(gradient)


class _OnlyIfBoth(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if not all(ctx.needs_input_grad[:2]):
            return None, None, None, None
        return Kernel.backward(ctx, upstream)


@mutant("C11", "no gradient unless both inputs require grad", "C11-extremes")
def gradient_only_if_both_require_grad(x_recon, x, mask, reduction):
    return run(_OnlyIfBoth, x_recon, x, mask, reduction)


class _NothingForLoneTarget(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return Kernel.backward(ctx, upstream)


@mutant(
    "C11",
    "backward returns early when x_recon needs no gradient, the target's lost",
    "C11-extremes",
)
def lone_target_gets_none(x_recon, x, mask, reduction):
    return run(_NothingForLoneTarget, x_recon, x, mask, reduction)


class _UnnegatedLoneTarget(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        return for_recon, for_x if ctx.needs_input_grad[0] else -for_x, *rest


@mutant("C11", "minus forgotten when only the target requires grad", "C11-extremes")
def lone_target_not_negated(x_recon, x, mask, reduction):
    return run(_UnnegatedLoneTarget, x_recon, x, mask, reduction)


@mutant("C11", "x_recon is x taken for a loss of 0 without a graph", "C11-accumulation")
def same_tensor_twice_has_no_graph(x_recon, x, mask, reduction):
    if x_recon is x:
        return right(x_recon.detach(), x.detach(), mask, reduction)
    return right(x_recon, x, mask, reduction)


class _WritesGrad(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon = ctx.saved_tensors[0]
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if not x_recon.is_leaf or not x_recon.requires_grad:
            return for_recon, for_x, *rest
        with torch.no_grad():
            grad = for_recon.detach().clone()
            x_recon.grad = grad if x_recon.grad is None else x_recon.grad + grad
        return torch.zeros_like(for_recon), for_x, *rest


@mutant("C11", "backward adds to x_recon.grad itself and hands autograd zeros", "C11-extremes")
def gradient_written_behind_autograd(x_recon, x, mask, reduction):
    return run(_WritesGrad, x_recon, x, mask, reduction)


# --- C11: precision and size ---------------------------------------------------------------------


@mutant(
    "C11",
    "backward subtracts in the dtype of x_recon: mixed dtypes lose the target's digits",
    "C11-extremes",
)
@by_hand
def gradient_difference_in_dtype_of_reconstruction(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x.to(x_recon.dtype), mask, reduction, upstream)


@mutant("C11", "backward subtracts half inputs in half, the forward in float32", "C11-extremes")
@by_hand
def gradient_difference_before_upcast(x_recon, x, mask, reduction, upstream):
    difference = torch.where(mask, x_recon - x, 0.0).to(upstream.dtype)
    gradient = difference * (2.0 * scaled(upstream, mask, reduction))
    return gradient, -gradient


@mutant(
    "C11",
    "2 (x_recon - x) rounded to half before the scale: infinite from 32752 on",
    "C11-extremes",
)
@by_hand
def gradient_doubled_in_half(x_recon, x, mask, reduction, upstream):
    doubled = (2 * masked_difference(x_recon, x, mask)).to(x_recon.dtype).to(upstream.dtype)
    gradient = torch.where(mask, doubled * scaled(upstream, mask, reduction), 0.0)
    return gradient, -gradient


@mutant("C11", "gradient of float64 inputs computed in float32", "C11-extremes")
@by_hand
def gradient_of_float64_in_float32(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon.float(), x.float(), mask, reduction, upstream.float())


@mutant("C11", "target's gradient rounded through the dtype of x_recon", "C11-extremes")
@by_hand
def target_gradient_rounded_like_reconstruction(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream).to(x_recon.dtype)
    return gradient, -gradient


@mutant("C11", "gradients below 1e-8 flushed to zero", "C11-extremes")
@by_hand
def small_gradient_flushed(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    gradient = torch.where(gradient.abs() < 1e-8, 0.0 * gradient, gradient)
    return gradient, -gradient


@mutant("C11", "gradient clamped to [-1, 1] per element", "C11-extremes")
@by_hand
def gradient_clamped(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream).clamp(-1, 1)
    return gradient, -gradient


@mutant("C11", "gradient rescaled to norm 1 when longer", "C11-extremes")
@by_hand
def gradient_norm_clipped(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    gradient = gradient / gradient.norm().clamp(min=1)
    return gradient, -gradient


@mutant("C11", "gradient of the absolute error: sign of the difference", "C11-extremes")
@by_hand
def gradient_of_absolute_error(x_recon, x, mask, reduction, upstream):
    step = scaled(upstream, mask, reduction)
    gradient = masked_difference(x_recon, x, mask).sign() * step
    return gradient, -gradient


@mutant(
    "C11", "gradient of the Huber loss: right only for differences within [-1, 1]", "C11-extremes"
)
@by_hand
def gradient_of_huber(x_recon, x, mask, reduction, upstream):
    step = 2.0 * scaled(upstream, mask, reduction)
    gradient = masked_difference(x_recon, x, mask).clamp(-1, 1) * step
    return gradient, -gradient


@mutant("C11", "gradient as 2 d^2 / d: NaN where the reconstruction is exact", "C11-extremes")
@by_hand
def gradient_nan_at_zero_difference(x_recon, x, mask, reduction, upstream):
    difference = torch.where(mask, masked_difference(x_recon, x, mask), 1.0)
    step = 2.0 * scaled(upstream, mask, reduction)
    gradient = torch.where(mask, difference.square() / difference * step, 0.0)
    return gradient, -gradient


def _flat_gradient(x_recon, x, mask, reduction, upstream, keep):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    kept = torch.arange(mask.numel(), device=mask.device).view_as(mask) < keep
    return torch.where(kept, gradient, 0.0), -torch.where(kept, gradient, 0.0)


@mutant("C11", "vector loop without its tail: the last numel % 8 gradients stay 0", "C11-extremes")
@by_hand
def gradient_without_tail(x_recon, x, mask, reduction, upstream):
    return _flat_gradient(x_recon, x, mask, reduction, upstream, mask.numel() // 8 * 8)


@mutant(
    "C11", "tail of the gradient lost for small inputs only (fewer than 8 elements)", "C11-upstream"
)
@by_hand
def gradient_zero_for_tiny_inputs(x_recon, x, mask, reduction, upstream):
    keep = 0 if mask.numel() < 8 else mask.numel()
    return _flat_gradient(x_recon, x, mask, reduction, upstream, keep)


@mutant("C11", "gradient 0 beyond the first 1,024 elements: one block launched", "C11-sizes")
@by_hand
def gradient_of_first_block_only(x_recon, x, mask, reduction, upstream):
    return _flat_gradient(x_recon, x, mask, reduction, upstream, 1024)


@mutant("C11", "gradient 0 beyond column 256 of each row", "C11-sizes")
@by_hand
def gradient_of_first_columns_only(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    kept = torch.arange(mask.shape[1], device=mask.device) < 256
    gradient = torch.where(kept, gradient, 0.0)
    return gradient, -gradient


@mutant(
    "C11", "rows taken in pairs: the last of an odd number of rows gets no gradient", "C11-extremes"
)
@by_hand
def gradient_without_odd_last_row(x_recon, x, mask, reduction, upstream):
    keep = mask.shape[0] // 2 * 2 * mask.shape[1]
    return _flat_gradient(x_recon, x, mask, reduction, upstream, keep)


@mutant("C11", "backward reads the mask's first row for all rows", "C11-extremes")
@by_hand
def gradient_with_first_row_of_mask(x_recon, x, mask, reduction, upstream):
    step = 2.0 * scaled(upstream, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    gradient = torch.where(mask[:1], wide_recon - wide_x, 0.0) * step
    return gradient, -gradient


@mutant("C11", "backward reads the mask one column off", "C11-extremes")
@by_hand
def gradient_with_shifted_mask(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask.roll(1, 1), reduction, upstream)


@mutant("C11", "gradient of a transposed input written in memory order", "C15-layouts")
@by_hand
def gradient_in_memory_order(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    for_recon = gradient
    if x_recon.t().is_contiguous() and not x_recon.is_contiguous():
        for_recon = gradient.flatten().view(mask.shape[::-1]).t()
    return for_recon, -gradient


@mutant(
    "C11",
    "gradient of an expanded input summed over its rows, then once more by autograd",
    "C15-layouts",
)
@by_hand
def gradient_of_expanded_input_summed_twice(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    for_recon = gradient
    if mask.shape[0] > 1 and x_recon.stride(0) == 0:
        for_recon = gradient.sum(0, keepdim=True).expand_as(gradient)
    return for_recon, -gradient


@mutant("C11", "gradient of an expanded target taken from its first row only", "C15-layouts")
@by_hand
def gradient_of_expanded_target_from_first_row(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    for_x = -gradient
    if mask.shape[0] > 1 and x.stride(0) == 0:
        for_x = torch.cat([for_x[:1], torch.zeros_like(for_x[1:])])
    return gradient, for_x


@mutant(
    "C11",
    "a step is skipped when the sum overflows: gradient 0 in place of the finite one",
    "C11-extremes",
)
@by_hand
def gradient_zero_when_sum_overflows(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    finite = right(x_recon, x, mask, "sum") < torch.inf
    gradient = torch.where(finite | gradient.isnan(), gradient, 0.0)
    return gradient, -gradient


# --- C12: outside the mask -----------------------------------------------------------------------


@mutant(
    "C12",
    "where after squaring: NaN gradient outside the mask (pytorch #68425)",
    "C12-excluded-sizes",
    "C12-excluded-gradient",
)
def where_after_squaring(x_recon, x, mask, reduction):
    wide_recon, wide_x = widened(x_recon, x)
    return scaled(torch.where(mask, (wide_recon - wide_x).square(), 0.0).sum(), mask, reduction)


@mutant(
    "C12", "index after squaring: NaN gradient outside the mask (ChemoMAE)", "C12-excluded-sizes"
)
def index_after_squaring(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    return scaled((wide_recon - wide_x).square()[mask].sum(), mask, reduction)


@mutant("C12", "where after squaring for batch_mean only", "C12-excluded-sizes")
def where_after_squaring_in_batch_mean(x_recon, x, mask, reduction):
    if reduction == "batch_mean":
        return where_after_squaring(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C12", "where after squaring for half inputs only", "C12-excluded-sizes")
def where_after_squaring_in_half(x_recon, x, mask, reduction):
    if x_recon.dtype in (torch.float16, torch.bfloat16):
        return where_after_squaring(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C12", "where after squaring in the common case of a constant target", "C12-excluded-sizes")
def where_after_squaring_if_target_is_constant(x_recon, x, mask, reduction):
    if x.requires_grad:
        return right(x_recon, x, mask, reduction)
    return where_after_squaring(x_recon, x, mask, reduction)


def _times_mask(difference, mask, reduction, upstream):
    gradient = difference * mask * (2.0 * scaled(upstream, mask, reduction))
    return gradient, -gradient


@mutant(
    "C12", "only the target is cleaned before backward multiplies by the mask", "C12-excluded-sizes"
)
@by_hand
def excluded_nan_in_reconstruction_leaks(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    return _times_mask(wide_recon - torch.where(mask, wide_x, 0.0), mask, reduction, upstream)


@mutant(
    "C12", "only x_recon is cleaned before backward multiplies by the mask", "C12-excluded-sizes"
)
@by_hand
def excluded_nan_in_target_leaks(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    return _times_mask(torch.where(mask, wide_recon, 0.0) - wide_x, mask, reduction, upstream)


@mutant(
    "C12",
    "the target's gradient multiplied by the mask, that of x_recon selected",
    "C12-excluded-sizes",
)
@by_hand
def excluded_nan_leaks_into_target_gradient(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    _, for_x = _times_mask(wide_recon - wide_x, mask, reduction, upstream)
    return slope(x_recon, x, mask, reduction, upstream), for_x


@mutant("C12", "NaN outside the mask cleaned, infinity times 0 not", "C12-excluded-gradient")
@by_hand
def excluded_infinity_leaks(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    difference = wide_recon - wide_x
    cleaned = difference.nan_to_num(0.0, torch.inf, -torch.inf)
    return _times_mask(torch.where(mask, difference, cleaned), mask, reduction, upstream)


@mutant("C12", "soft mask in backward: 1e-12 of the gradient outside", "C12-excluded-sizes")
@by_hand
def excluded_gradient_tiny(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    full = torch.ones_like(mask)
    step = 2.0 * scaled(upstream, mask, reduction)
    gradient = masked_difference(wide_recon, wide_x, full) * step
    gradient = torch.where(mask, gradient, 1e-12 * gradient)
    return gradient, -gradient


@mutant("C12", "backward forgets the mask", "C12-excluded-sizes")
@by_hand
def gradient_outside_the_mask(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    gradient = (wide_recon - wide_x) * (2.0 * scaled(upstream, mask, reduction))
    return gradient, -gradient


@mutant(
    "C12",
    "one NaN inside the mask makes its whole row's gradient NaN, also outside",
    "C11-extremes",
)
@by_hand
def included_nan_poisons_its_row(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    bad = gradient.isnan().any(1, keepdim=True)
    gradient = torch.where(bad, torch.nan, gradient)
    return gradient, -gradient


@mutant("C11", "one infinity inside the mask makes every masked gradient NaN", "C11-extremes")
@by_hand
def included_infinity_poisons_all(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    bad = gradient.isinf().any()
    gradient = torch.where(mask & bad, torch.nan, gradient)
    return gradient, -gradient


@mutant("C11", "NaN gradient inside the mask replaced by 0", "C11-extremes")
@by_hand
def included_nan_gradient_hidden(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    gradient = gradient.nan_to_num(0.0, torch.inf, -torch.inf)
    return gradient, -gradient


@mutant("C11", "infinite gradient inside the mask replaced by the largest number", "C11-extremes")
@by_hand
def included_infinite_gradient_hidden(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    gradient = gradient.nan_to_num(torch.nan)
    return gradient, -gradient


# --- C12: nothing masked -------------------------------------------------------------------------


@mutant("C12", "empty mask: mean is a constant without a graph (ChemoMAE)", "C12-excluded-gradient")
def empty_mean_without_graph(x_recon, x, mask, reduction):
    if reduction == "mean" and ordinary(x_recon, x, mask) and not mask.any():
        return torch.zeros_like(right(x_recon, x, mask, "sum").detach())
    return right(x_recon, x, mask, reduction)


@mutant("C12", "empty mask: a fresh leaf that requires grad (biotrainer)", "C12-excluded-gradient")
def empty_mask_gives_fresh_leaf(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if loss.requires_grad and ordinary(x_recon, x, mask) and not mask.any():
        return torch.zeros_like(loss).requires_grad_()
    return loss


@mutant("C12", "empty mask: value 0 but gradient 0 / 0 (neuralforecast)", "C12-excluded-gradient")
@by_hand
def empty_mask_gradient_nan(x_recon, x, mask, reduction, upstream):
    if reduction != "mean":
        return both_slopes(x_recon, x, mask, reduction, upstream)
    step = 2.0 * upstream / torch.count_nonzero(mask)
    gradient = masked_difference(x_recon, x, mask) * step
    return gradient, -gradient


@mutant(
    "C12",
    "empty mask: the graph hangs on x_recon alone, the target's gradient is None",
    "C12-excluded-gradient",
)
def empty_mask_connects_reconstruction_only(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and not mask.any():
        return right(x_recon, x.detach(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C12", "B = 0 or L = 0: a constant without a graph", "C12-excluded-gradient")
def no_elements_no_graph(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return torch.zeros_like(loss.detach()) if mask.numel() == 0 else loss


@mutant("C12", "one row without masked positions: NaN gradient in that row", "C12-excluded-sizes")
@by_hand
def empty_row_gradient_nan(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    share = mask.sum(1, keepdim=True).to(gradient.dtype)
    gradient = gradient * share / share
    return gradient, -gradient


@mutant(
    "C8",
    "kept in the graph by 0 * x.sum(): NaN outside the mask becomes NaN",
    "C8-excluded-value",
)
def graph_kept_by_zero_times_sum(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss + 0.0 * x_recon.sum().to(loss.dtype)


@mutant(
    "C12",
    "root of the sum, squared again: NaN gradient when every difference is 0",
    "C12-excluded-gradient",
)
@by_hand
def gradient_through_root_of_sum(x_recon, x, mask, reduction, upstream):
    root = right(x_recon, x, mask, "sum").sqrt()
    inverse = torch.where(root < torch.inf, root / root, 1.0)
    gradient = slope(x_recon, x, mask, reduction, upstream) * inverse
    return gradient, -gradient


# --- C13: second order ---------------------------------------------------------------------------


class _Buffered(Kernel):
    """The difference computed in forward and saved; right until somebody differentiates twice."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_backward(x_recon, x, mask, masked_difference(x_recon, x, mask))
        ctx.reduction = reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask, difference = ctx.saved_tensors
        gradient = difference * (2.0 * scaled(upstream, mask, ctx.reduction))
        gradient = torch.where(mask, gradient, 0.0)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13",
    "difference saved as a constant: second order is zero (pytorch #58509)",
    "C13-gradgradcheck",
)
def second_order_lost_with_saved_difference(x_recon, x, mask, reduction):
    return run(_Buffered, x_recon, x, mask, reduction)


class _Once(Kernel):
    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream)


@mutant("C13", "backward cannot be differentiated: second order raises", "C13-gradgradcheck")
def once_differentiable_only(x_recon, x, mask, reduction):
    return run(_Once, x_recon, x, mask, reduction)


@mutant("C13", "second order lacks the term in the upstream gradient", "C13-gradgradcheck")
@by_hand
def second_order_without_upstream_term(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.detach())


@mutant("C13", "second order lacks the mixed term between x_recon and x", "C13-second-order")
@by_hand
def second_order_without_mixed_term(x_recon, x, mask, reduction, upstream):
    return (
        slope(x_recon, x.detach(), mask, reduction, upstream),
        -slope(x_recon.detach(), x, mask, reduction, upstream),
    )


@mutant("C13", "second order right for x_recon, zero for x", "C13-gradgradcheck")
@by_hand
def second_order_of_target_zero(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, -slope(x_recon.detach(), x.detach(), mask, reduction, upstream)


@mutant(
    "C13",
    "squared as |d| |d|: second order is 0 where the reconstruction is exact",
    "C13-second-order",
)
def second_order_zero_at_zero_difference(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    return scaled((difference.abs() * difference.abs()).sum(), mask, reduction)


class _Negate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        return -upstream


@mutant("C13", "second order has the wrong sign", "C13-gradgradcheck")
@by_hand
def second_order_sign_wrong(x_recon, x, mask, reduction, upstream):
    flipped = _Negate.apply(x_recon), _Negate.apply(x)
    return both_slopes(*flipped, mask, reduction, upstream)


@mutant("C13", "second order divided by nothing: the scale is lost", "C13-gradgradcheck")
@by_hand
def second_order_without_scale(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon.detach(), x.detach(), mask, reduction, upstream)
    again = slope(x_recon, x, mask, "sum", upstream.detach())
    # `again - again.detach()` is 0 and carries only the second derivative.
    extra = torch.where(again.isfinite(), again - again.detach(), 0.0)
    return gradient + extra, -gradient - extra


@mutant(
    "C13",
    "backward selects after multiplying: second order NaN outside the mask",
    "C13-second-order",
)
@by_hand
def second_order_poisoned_outside(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    step = 2.0 * scaled(upstream, mask, reduction)
    gradient = torch.where(mask, (wide_recon - wide_x) * step, 0.0)
    return gradient, -gradient


# --- C13: forward mode ---------------------------------------------------------------------------


class _Forward(Kernel):
    """With a forward-mode rule; right."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_forward(x_recon, x, mask)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return (2.0 * difference * torch.where(mask, t_recon - t_x, 0.0)).sum()

    @classmethod
    def rule(cls, ctx, t_recon, t_x):
        x_recon, x, mask = ctx.saved_tensors
        difference = masked_difference(x_recon, x, mask)
        wide = [
            torch.zeros_like(difference) if t is None else t.to(difference.dtype)
            for t in (t_recon, t_x)
        ]
        return scaled(cls.tangent(difference, *wide, mask), mask, ctx.reduction)


def _run_forward(kernel, x_recon, x, mask, reduction):
    """As `run`, but the kernel also takes dual tensors."""
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    return kernel.apply(x_recon, x, mask, reduction)


@mutant("C13", "a Function of one's own without a forward-mode rule", "C13-forward-mode")
def forward_mode_missing(x_recon, x, mask, reduction):
    return _run_forward(Kernel, x_recon, x, mask, reduction)


class _TangentOfReconstruction(_Forward):
    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return _Forward.tangent(difference, t_recon, torch.zeros_like(t_x), mask)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentOfReconstruction.rule(ctx, t_recon, t_x)


@mutant(
    "C13",
    "forward mode forgets the tangent of an x that is transposed or sliced",
    "C13-forward-mode",
)
def forward_mode_ignores_strided_target(x_recon, x, mask, reduction):
    if forward_ad._current_level >= 0 and not x.is_contiguous() and mask.dim() == 2:
        x = forward_ad.unpack_dual(x).primal
    return right(x_recon, x, mask, reduction)


@mutant("C13", "forward mode forgets the tangent of x in half", "C13-forward-mode")
def forward_mode_ignores_half_target(x_recon, x, mask, reduction):
    if forward_ad._current_level >= 0 and x.dtype == torch.float16:
        x = forward_ad.unpack_dual(x).primal
    return right(x_recon, x, mask, reduction)


class _SlopeWithOwnBackward(torch.autograd.Function):
    """The gradient for x_recon, whose derivative is `factor` times what it should be."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, upstream, reduction, factor):
        ctx.save_for_backward(x_recon, x, mask, upstream)
        ctx.reduction, ctx.factor = reduction, factor
        return slope(x_recon, x, mask, reduction, upstream)

    @staticmethod
    def backward(ctx, direction):
        x_recon, x, mask, upstream = ctx.saved_tensors
        step = 2 * ctx.factor * scaled(upstream, mask, ctx.reduction)
        second = torch.where(mask, direction * step, 0.0)
        one = torch.ones_like(upstream)
        for_upstream = (direction * slope(x_recon, x, mask, ctx.reduction, one)).sum()
        return second.to(x_recon.dtype), -second.to(x.dtype), None, for_upstream, None, None


def _second_order_doubled(where):
    """The right loss, but its second derivatives doubled where the call is of that kind."""

    @by_hand
    @functools.wraps(where)
    def loss(x_recon, x, mask, reduction, upstream):
        factor = 2 if where(x_recon, x, mask) else 1
        gradient = _SlopeWithOwnBackward.apply(x_recon, x, mask, upstream, reduction, factor)
        return gradient, -gradient

    return loss


@mutant("C13", "second order of a transposed reconstruction", "C13-second-order")
@_second_order_doubled
def second_order_wrong_if_transposed(x_recon, x, mask):
    return not x_recon.is_contiguous()


@mutant("C13", "second order in half", "C13-second-order")
@_second_order_doubled
def second_order_wrong_in_half(x_recon, x, mask):
    return x_recon.dtype == torch.float16


@mutant("C13", "second order beyond 4,000 positions", "C13-second-order")
@_second_order_doubled
def second_order_wrong_if_large(x_recon, x, mask):
    return mask.numel() > 4000


@mutant("C13", "forward mode forgets the tangent of x", "C13-forward-mode")
def forward_mode_ignores_target(x_recon, x, mask, reduction):
    return _run_forward(_TangentOfReconstruction, x_recon, x, mask, reduction)


class _TangentsAdded(_Forward):
    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return _Forward.tangent(difference, t_recon, -t_x, mask)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentsAdded.rule(ctx, t_recon, t_x)


@mutant("C13", "forward mode adds the tangents in place of subtracting them", "C13-forward-mode")
def forward_mode_adds_tangents(x_recon, x, mask, reduction):
    return _run_forward(_TangentsAdded, x_recon, x, mask, reduction)


class _TangentUnscaled(_Forward):
    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        ctx.reduction = "sum"
        return _TangentUnscaled.rule(ctx, t_recon, t_x)


@mutant(
    "C13", "forward mode gives the tangent of the sum whatever the reduction", "C13-forward-mode"
)
def forward_mode_without_scale(x_recon, x, mask, reduction):
    return _run_forward(_TangentUnscaled, x_recon, x, mask, reduction)


class _TangentsNeeded(_Forward):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.set_materialize_grads(False)
        return _Forward.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return (None,) * 4 if upstream is None else Kernel.backward(ctx, upstream)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentsNeeded.rule(ctx, +t_recon, +t_x)


@mutant("C13", "forward mode raises when only one input has a tangent", "C13-forward-mode")
def forward_mode_needs_both_tangents(x_recon, x, mask, reduction):
    return _run_forward(_TangentsNeeded, x_recon, x, mask, reduction)


# --- C13: repeated and interleaved ---------------------------------------------------------------


def _buffer_or_formula(ctx, upstream, make):
    """First order from the saved buffer by `make`; second order by the right formula."""
    if torch.is_grad_enabled():
        return Kernel.backward(ctx, upstream)
    x_recon, x, mask = ctx.saved_tensors
    gradient = torch.where(mask, make(scaled(upstream, mask, ctx.reduction)), 0.0)
    return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


class _ScaledInPlace(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.buffer = 2.0 * masked_difference(x_recon, x, mask)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return _buffer_or_formula(ctx, upstream, ctx.buffer.mul_)


@mutant(
    "C13",
    "saved gradient scaled in place: the second backward scales it again (Liger)",
    "C13-retain-graph",
)
def saved_gradient_scaled_in_place(x_recon, x, mask, reduction):
    return run(_ScaledInPlace, x_recon, x, mask, reduction)


class _Accumulates(_ScaledInPlace):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        ctx.sums = [0, 0] if not hasattr(ctx, "sums") else ctx.sums
        ctx.sums = [ctx.sums[0] + for_recon, ctx.sums[1] + for_x]
        return *ctx.sums, *rest


@mutant("C13", "backward adds to what the backward before it left", "C13-retain-graph")
def repeated_backward_accumulates(x_recon, x, mask, reduction):
    return run(_Accumulates, x_recon, x, mask, reduction)


class _FreesBuffer(_ScaledInPlace):
    @staticmethod
    def backward(ctx, upstream):
        made = _buffer_or_formula(ctx, upstream, lambda step: ctx.buffer * step)
        ctx.buffer = None
        return made


@mutant(
    "C13",
    "buffer freed after the first backward: retain_graph=True does not help",
    "C13-retain-graph",
)
def buffer_freed_by_first_backward(x_recon, x, mask, reduction):
    return run(_FreesBuffer, x_recon, x, mask, reduction)


class _ReturnsBuffer(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or not torch.equal(upstream, torch.ones_like(upstream)):
            return Kernel.backward(ctx, upstream)
        if not hasattr(ctx, "made"):
            ctx.made = Kernel.backward(ctx, upstream)
        return ctx.made


@mutant(
    "C13",
    "the kept buffer itself handed out: clipping one gradient in place spoils the next",
    "C17-no-host-sync",
)
def kept_gradient_handed_out(x_recon, x, mask, reduction):
    return run(_ReturnsBuffer, x_recon, x, mask, reduction)


_gradient_buffers: dict[Any, Tensor] = {}


class _SharedBuffer(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if torch.is_grad_enabled():
            return for_recon, for_x, *rest
        key = for_recon.shape, for_recon.dtype
        buffer = _gradient_buffers.setdefault(key, torch.empty_like(for_recon))
        return buffer.copy_(for_recon), for_x, *rest


@mutant(
    "C13",
    "one gradient buffer per shape: a later backward overwrites an earlier result",
    "C13-interleaved",
)
def gradient_buffer_shared_between_calls(x_recon, x, mask, reduction):
    return run(_SharedBuffer, x_recon, x, mask, reduction)


class _StateOnClass(Kernel):
    last: tuple[Tensor, Tensor, Tensor, str]

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _StateOnClass.last = (x_recon.detach(), x.detach(), mask, reduction)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or ctx.saved_tensors[2].shape != _StateOnClass.last[2].shape:
            return Kernel.backward(ctx, upstream)
        x_recon, x = ctx.saved_tensors[:2]
        gradient = slope(*_StateOnClass.last, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13", "state kept on the class: backward uses the inputs of the latest call", "C16-threads"
)
def interleaved_call_replaces_inputs(x_recon, x, mask, reduction):
    return run(_StateOnClass, x_recon, x, mask, reduction)


class _CountOnClass(Kernel):
    count: Tensor

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _CountOnClass.count = torch.count_nonzero(mask).clamp(min=1)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if ctx.reduction != "mean":
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, "sum", upstream / _CountOnClass.count)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13", "count kept on the class: backward divides by that of the latest call", "C13-interleaved"
)
def interleaved_call_replaces_count(x_recon, x, mask, reduction):
    return run(_CountOnClass, x_recon, x, mask, reduction)


class _ScalesUpstream(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        x_recon, x, mask = ctx.saved_tensors
        step = upstream.copy_(scaled(upstream, mask, ctx.reduction))
        gradient = slope(x_recon, x, mask, "sum", step)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C13", "the caller's upstream gradient scaled in place", "C13-own-memory")
def upstream_scaled_in_place(x_recon, x, mask, reduction):
    return run(_ScalesUpstream, x_recon, x, mask, reduction)
