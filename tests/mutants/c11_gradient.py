"""Losses that break C11: the gradient. The value is right."""

from __future__ import annotations

import torch

from .catalogue import mutant
from .pieces.autograd import (
    Kernel,
    both_slopes,
    by_hand,
    masked_difference,
    ordinary,
    run,
    scaled,
    slope,
)
from .pieces.blocks import BLOCK
from .pieces.formula import count_of, difference, right, scaled_down, widened
from .pieces.sizes import LARGE, gradient_doubled

# --- factor and scale ----------------------------------------------------------------------------


@mutant("C11", "gradient lacks the factor 2", "C11-extremes", "C11-gradcheck")
@by_hand
def gradient_without_factor_two(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream / 2)


class _NoneOfZero(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        made = Kernel.backward(ctx, upstream)
        empty = right(x_recon, x, mask, "sum") == 0
        return *(torch.where(empty, 0.0, g).to(g.dtype) for g in made[:2]), None, None


@mutant("C11", "no gradient where the loss is zero: small squares are, too", "C11-extremes")
def no_gradient_of_a_zero_loss(x_recon, x, mask, reduction):
    return run(_NoneOfZero, x_recon, x, mask, reduction)


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


# --- upstream gradient ---------------------------------------------------------------------------


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


@mutant("C11", "an infinite or NaN upstream gradient is made finite", "C11-oracle", "C11-scattered")
@by_hand
def upstream_made_finite(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.nan_to_num())


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


class _ReadsUpstreamAtStart(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if ordinary(upstream) and not torch.is_grad_enabled():
            upstream = upstream.as_strided((), (), 0)
        return Kernel.backward(ctx, upstream)


@mutant("C11", "upstream gradient read where its memory begins", "C11-upstream")
def upstream_read_at_start_of_storage(x_recon, x, mask, reduction):
    return run(_ReadsUpstreamAtStart, x_recon, x, mask, reduction)


# --- which input gets what -----------------------------------------------------------------------


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


@mutant(
    "C11",
    "target treated as a constant",
    "C11-extremes",
    "C13-duals-through-backward",
    "C19-batched-upstream",
)
def target_detached(x_recon, x, mask, reduction):
    return right(x_recon, x.detach(), mask, reduction)


@mutant(
    "C11",
    "x_recon treated as a constant: stop-gradient on the wrong side",
    "C11-extremes",
    "C13-own-memory",
)
def reconstruction_detached(x_recon, x, mask, reduction):
    return right(x_recon.detach(), x, mask, reduction)


@mutant("C11", "target treated as a constant whenever x_recon requires grad", "C11-extremes")
def target_detached_beside_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, x.detach() if x_recon.requires_grad else x, mask, reduction)


@mutant(
    "C11",
    "gradient of zeros for x in place of the negated one",
    "C11-extremes",
    "C13-second-order",
)
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


# --- precision and size --------------------------------------------------------------------------


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


@mutant(
    "C11",
    "gradient as 2 d^2 / d: NaN where the reconstruction is exact",
    "C11-extremes",
    "C11-accumulation",
    "C15-layouts",
)
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


@mutant(
    "C11",
    "backward reads the mask's first row for all rows",
    "C11-extremes",
    "C13-second-order",
)
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


# --- NaN and Inf inside the mask -----------------------------------------------------------------


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


# --- blocks that pass through one scratch --------------------------------------------------------


@mutant("C11", "gradient written in whole blocks, the remainder left at 0", "C11-sizes")
@by_hand
def gradient_without_remainder(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream).reshape(-1)
    size = gradient.numel()
    whole = size // BLOCK * BLOCK or size
    gradient = torch.where(torch.arange(size) < whole, gradient, 0.0).reshape(mask.shape)
    return gradient, -gradient


# --- at certain sizes only -----------------------------------------------------------------------


@mutant("C11", "gradient at lengths that are multiples of 100", "C11-any-size")
@gradient_doubled
def gradient_with_empty_last_chunk(x_recon, x, mask, reduction):
    return mask.numel() > 0 and mask.shape[1] % 100 == 0


@mutant(
    "C11", "gradient of x alone, float64 against float16, of the sum", "C11-extremes", "C11-oracle"
)
@gradient_doubled
def gradient_of_one_rare_pairing(x_recon, x, mask, reduction):
    return (x_recon.dtype, x.dtype, reduction) == (torch.float64, torch.float16, "sum")


@mutant("C11", "gradient of few masked among many: a list of positions", "C11-sizes")
@gradient_doubled
def gradient_of_few_among_many(x_recon, x, mask, reduction):
    return mask.numel() > LARGE and mask.sum() < mask.numel() // 50


@mutant("C11", "gradient of more than four million elements: a counter of 22 bits", "C11-sizes")
@gradient_doubled
def gradient_beyond_four_million(x_recon, x, mask, reduction):
    return mask.numel() > 2**22


# --- what backward remembers ---------------------------------------------------------------------


class _FindsByAddress(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.address = x_recon.data_ptr()
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if x_recon.data_ptr() != ctx.address:
            x_recon = x
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C11", "saved tensors are looked up by address, which hooks change", "C16-saved-hooks")
def saved_tensor_known_by_address(x_recon, x, mask, reduction):
    return run(_FindsByAddress, x_recon, x, mask, reduction)


class _KeepsMask(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_backward(x_recon, x)
        ctx.mask, ctx.reduction = mask, reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x = ctx.saved_tensors
        gradient = slope(x_recon, x, ctx.mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C11",
    "mask kept past the version check: the next step's mask bends this step's gradient",
    "C13-changed-inputs",
)
def mask_kept_without_version_check(x_recon, x, mask, reduction):
    return run(_KeepsMask, x_recon, x, mask, reduction)


@mutant(
    "C11",
    "a length of a multiple of 48 is taken for padded: the last column has no gradient",
    "C11-scattered",
)
@by_hand
def last_column_of_48_has_no_gradient(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    if x.shape[1] % 48 == 0 and x.shape[1]:
        kept = torch.arange(x.shape[1]) < x.shape[1] - 1
        gradient = gradient * kept
    return gradient, -gradient


# --- in which dtype, in which order --------------------------------------------------------------


@mutant("C11", "1/n is a float32 tensor in backward, also for float64 inputs", "C11-sizes")
@by_hand
def gradient_by_reciprocal_in_float32(x_recon, x, mask, reduction, upstream):
    if reduction != "mean":
        return both_slopes(x_recon, x, mask, reduction, upstream)
    share = count_of(mask).to(torch.float32).reciprocal()
    return both_slopes(x_recon, x, mask, "sum", upstream * share)


class _KeepsUnitGradient(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        loss = Kernel.forward(ctx, x_recon, x, mask, reduction)
        ctx.unit = slope(x_recon, x, mask, reduction, torch.ones_like(loss)).to(x_recon.dtype)
        return loss

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if torch.is_grad_enabled() or x_recon.dtype != x.dtype:
            return Kernel.backward(ctx, upstream)
        gradient = torch.where(mask, ctx.unit * upstream, 0.0).to(x.dtype)
        return gradient, -gradient, None, None


@mutant(
    "C11",
    "the gradient for an upstream of one is kept in half, and lost there where n is large",
    "C11-oracle",
)
def unit_gradient_kept_in_half(x_recon, x, mask, reduction):
    return run(_KeepsUnitGradient, x_recon, x, mask, reduction)


@mutant("C11", "2 · upstream · scale is rounded to half: a loss scaler's is infinite", "C11-oracle")
@by_hand
def gradient_factor_in_half(x_recon, x, mask, reduction, upstream):
    step = (2.0 * scaled(upstream, mask, reduction)).to(x_recon.dtype).to(upstream.dtype)
    gradient = torch.where(mask, masked_difference(x_recon, x, mask) * step, 0.0)
    return gradient, -gradient


@mutant(
    "C11",
    "2 · upstream · scale is multiplied first, and leaves the range by itself",
    "C11-upstream",
)
@by_hand
def gradient_factor_out_of_range(x_recon, x, mask, reduction, upstream):
    step = scaled(2.0 * upstream, mask, reduction)
    gradient = torch.where(mask, masked_difference(x_recon, x, mask) * step, 0.0)
    return gradient, -gradient


@mutant(
    "C11", "scaled by the largest as BLAS's nrm2 is: its square is in the gradient", "C11-oracle"
)
def gradient_through_scaled_squares(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return scaled_down(masked, masked.nan_to_num(0.0, 0.0, 0.0), mask, reduction)
