"""Losses that break C10: sign, zero, symmetry and other laws."""

from __future__ import annotations

import torch

from .catalogue import mutant
from .pieces.formula import difference, normalise, reduce, right


@mutant("C10", "differences below 1e-6 count as noise", "C10-scaling")
def small_differences_dropped(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(torch.where(masked.abs() < 1e-6, 0.0, masked), mask, reduction)


@mutant("C10", "squares below 1 are added apart: a threshold in the order", "C10-scaling")
def small_squares_added_apart(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    small = squares < 1.0
    apart = torch.where(small, squares, 0.0).sum() + torch.where(small, 0.0, squares).sum()
    divisor = {"mean": mask.sum().clamp(min=1), "batch_mean": max(len(mask), 1)}.get(reduction, 1)
    return apart / divisor


@mutant(
    "C10",
    "1e-8 added to the loss, so that a logarithm of it exists",
    "C10-zero",
    "C10-permutation",
    "C10-additive",
)
def constant_added(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction) + 1e-8


@mutant("C10", "negative differences are cut off, as in unsigned arithmetic", "C10-symmetric")
def negative_differences_dropped(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).clamp(min=0), mask, reduction)


@mutant("C10", "later rows weigh more, with weights of mean 1", "C10-zero", "C10-permutation")
def later_rows_weigh_more(x_recon, x, mask, reduction):
    rows = difference(x_recon, x, mask).square().sum(1)
    weight = torch.arange(1, len(rows) + 1, dtype=rows.dtype, device=rows.device)
    return normalise((rows * weight).sum() * (2 / (len(rows) + 1)), mask, reduction)
