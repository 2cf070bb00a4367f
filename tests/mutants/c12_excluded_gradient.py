"""Losses that break C12: gradients outside the mask, and where nothing is masked."""

from __future__ import annotations

import torch

from .catalogue import mutant
from .pieces.autograd import both_slopes, by_hand, masked_difference, ordinary, scaled, slope
from .pieces.blocks import BLOCK
from .pieces.formula import right, widened

# --- outside the mask ----------------------------------------------------------------------------


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


@mutant("C12", "where after squaring for half inputs only", "C12-excluded-gradient")
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


# --- nothing masked ------------------------------------------------------------------------------


@mutant("C12", "empty mask: mean is a constant without a graph (ChemoMAE)", "C12-empty-trains")
def empty_mean_without_graph(x_recon, x, mask, reduction):
    if reduction == "mean" and ordinary(x_recon, x, mask) and not mask.any():
        return torch.zeros_like(right(x_recon, x, mask, "sum").detach())
    return right(x_recon, x, mask, reduction)


@mutant("C12", "empty mask: a fresh leaf that requires grad (biotrainer)", "C12-empty-trains")
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
    "C12-empty-trains",
)
def empty_mask_connects_reconstruction_only(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and not mask.any():
        return right(x_recon, x.detach(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C12",
    "B = 0 or L = 0: a constant without a graph",
    "C12-empty-trains",
    "C19-batched-upstream",
)
def no_elements_no_graph(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return torch.zeros_like(loss.detach()) if mask.numel() == 0 else loss


@mutant("C12", "B = 0 or L = 0: the graph hangs on x_recon alone", "C12-empty-trains")
def no_elements_connect_reconstruction_only(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return x_recon.sum(dtype=loss.dtype) if mask.numel() == 0 else loss


@mutant("C12", "one row without masked positions: NaN gradient in that row", "C12-excluded-sizes")
@by_hand
def empty_row_gradient_nan(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    share = mask.sum(1, keepdim=True).to(gradient.dtype)
    gradient = gradient * share / share
    return gradient, -gradient


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


# --- blocks that pass through one scratch --------------------------------------------------------


@mutant("C12", "backward selects every block with the mask of the first one", "C12-excluded-sizes")
@by_hand
def gradient_selected_by_first_mask_block(x_recon, x, mask, reduction, upstream):
    if mask.numel() <= BLOCK or not ordinary(x_recon, x, mask):
        gradient = slope(x_recon, x, mask, reduction, upstream)
        return gradient, -gradient
    wide_recon, wide_x = widened(x_recon, x)
    first = mask.reshape(-1)[:BLOCK]
    chosen = first.repeat(-(-mask.numel() // BLOCK))[: mask.numel()].reshape(mask.shape)
    difference = torch.where(chosen, wide_recon - wide_x, 0.0)
    gradient = 2.0 * difference * scaled(upstream, mask, reduction)
    return gradient, -gradient


# --- upstream gradient ---------------------------------------------------------------------------


@mutant(
    "C12", "the upstream gradient is multiplied in after the mask: 0 · inf", "C12-excluded-gradient"
)
@by_hand
def upstream_after_the_mask(x_recon, x, mask, reduction, upstream):
    gradient = 2.0 * masked_difference(x_recon, x, mask) * scaled(upstream, mask, reduction)
    return gradient, -gradient
