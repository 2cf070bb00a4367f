"""Losses that break C8: what stands outside the mask comes in."""

from __future__ import annotations

import torch
from torch import Tensor

from .catalogue import mutant
from .pieces.autograd import ordinary
from .pieces.blocks import BLOCK, streamed, streams
from .pieces.formula import difference, normalise, reduce, right, scaled_down, widened

# --- what stands outside the mask ----------------------------------------------------------------


@mutant(
    "C8", "multiplied by the mask after squaring (seen in MAE and its family)", "C8-excluded-value"
)
def multiplied_by_mask_after_squaring(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return normalise(((r - t).square() * mask).sum(), mask, reduction)


@mutant(
    "C8",
    "x is selected, x_recon multiplied: NaN and Inf in x_recon come through",
    "C8-excluded-value",
)
def x_recon_multiplied_by_mask(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return reduce(r * mask - torch.where(mask, t, 0.0), mask, reduction)


@mutant(
    "C8", "x_recon is selected, x multiplied: NaN and Inf in x come through", "C8-excluded-value"
)
def x_multiplied_by_mask(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return reduce(torch.where(mask, r, 0.0) - t * mask, mask, reduction)


@mutant("C8", "NaN outside the mask is cleared, Inf is multiplied by 0", "C8-excluded-value")
def excluded_infinity_comes_through(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    cleared = torch.where(~mask & (r - t).isnan(), 0.0, r - t)
    return reduce(cleared * mask, mask, reduction)


@mutant(
    "C8",
    "a finite difference outside the mask is squared, 1e30 overflows (keras #6825)",
    "C8-excluded-value",
)
def excluded_square_overflows(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    cleared = torch.where(mask | (r - t).isfinite(), r - t, 0.0)
    return normalise((cleared.square() * mask).sum(), mask, reduction)


@mutant(
    "C8", "every NaN of x is taken off the count, masked or not", "C8-excluded-value", "C11-oracle"
)
def excluded_nan_taken_off_the_count(x_recon, x, mask, reduction):
    count = (torch.count_nonzero(mask) - x.isnan().sum()).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C8", "a row with a NaN anywhere in x is left out", "C8-excluded-value")
def row_with_nan_left_out(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x.isnan().any(1, keepdim=True), reduction)


@mutant(
    "C8", "scaled by the largest finite difference, outside the mask included", "C8-excluded-value"
)
def scaled_by_largest_of_all(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    finite = (r - t).nan_to_num(0.0, 0.0, 0.0)
    return scaled_down(difference(x_recon, x, mask), finite, mask, reduction)


@mutant(
    "C8",
    "scaled by a power of two, exactly, that is taken from all positions",
    "C9-sentinels",
)
def power_of_two_from_all(x_recon, x, mask, reduction):
    if x_recon.requires_grad or x.requires_grad or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    r, t = widened(x_recon, x)
    exponent = (r - t).nan_to_num(0.0, 0.0, 0.0).abs().frexp().exponent
    powers = torch.ldexp(torch.ones_like(r), exponent.clamp(-100, 100))
    return scaled_down(difference(x_recon, x, mask), powers, mask, reduction)


@mutant(
    "C8",
    "kept in the graph by 0 * x.sum(): NaN outside the mask becomes NaN",
    "C8-excluded-value",
)
def graph_kept_by_zero_times_sum(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss + 0.0 * x_recon.sum().to(loss.dtype)


# --- blocks that pass through one scratch --------------------------------------------------------


@mutant(
    "C8",
    "whole blocks select bits, the rest multiplies numbers by the mask: NaN leaks there",
    "C8-excluded-sizes",
)
def remainder_multiplied_by_mask(x_recon, x, mask, reduction):
    if not streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        if len(difference) < BLOCK:
            return (difference * chosen).square().sum()
        return torch.where(chosen, difference, 0.0).square().sum()

    return streamed(x_recon, x, mask, reduction, block_sum)
