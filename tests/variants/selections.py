"""Right in other ways to bring in the mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .catalogue import divided, masked_difference, variant, widened


@variant
def inputs_filled_before_subtraction(x_recon, x, mask, reduction):
    """Both inputs set to 0 outside the mask, then subtracted."""
    wide_recon, wide_x = widened(x_recon, x)
    difference = torch.where(mask, wide_recon, 0.0) - torch.where(mask, wide_x, 0.0)
    return divided(difference.square().sum(), mask, reduction)


@variant
def inputs_filled_before_upcast(x_recon, x, mask, reduction):
    """Selected in the input's own dtype, widened afterwards."""
    kept_recon = torch.where(mask, x_recon, torch.zeros_like(x_recon))
    wide_recon, wide_x = widened(kept_recon, torch.where(mask, x, torch.zeros_like(x)))
    return divided((wide_recon - wide_x).square().sum(), mask, reduction)


@variant
def difference_filled_with_masked_fill(x_recon, x, mask, reduction):
    """masked_fill with the inverted mask in place of where."""
    wide_recon, wide_x = widened(x_recon, x)
    difference = (wide_recon - wide_x).masked_fill(~mask, 0.0)
    return divided((difference * difference).sum(), mask, reduction)


@variant
def cleared_by_assignment(x_recon, x, mask, reduction):
    """d[~mask] = 0, which torch turns into a fill: nothing is read back."""
    elsewhere = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
    if elsewhere or type(mask) is not Tensor:  # vmap and DTensor have no rule for it
        return difference_filled_with_masked_fill(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    difference = wide_recon - wide_x
    difference[~mask] = 0.0
    return divided(difference.square().sum(), mask, reduction)


@variant
def filled_before_and_cleared_after(x_recon, x, mask, reduction):
    """Selected twice, before the subtraction and after the squaring."""
    difference = masked_difference(x_recon, x, mask)
    return divided(torch.where(mask, difference.pow(2), 0.0).sum(), mask, reduction)


@variant
def other_fill_value(x_recon, x, mask, reduction):
    """Outside the mask both inputs are set to the same number that is not 0."""
    wide_recon, wide_x = widened(x_recon, x)
    difference = wide_recon.masked_fill(~mask, 3.0) - wide_x.masked_fill(~mask, 3.0)
    return divided(difference.square().sum(), mask, reduction)


@variant
def mse_loss_on_filled_inputs(x_recon, x, mask, reduction):
    """torch's own mse_loss, on inputs filled outside the mask."""
    wide_recon, wide_x = widened(x_recon, x)
    kept = torch.where(mask, wide_recon, 0.0), torch.where(mask, wide_x, 0.0)
    return divided(functional.mse_loss(*kept, reduction="sum"), mask, reduction)
