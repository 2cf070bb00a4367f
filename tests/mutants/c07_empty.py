"""Losses that break C7: nothing masked."""

from __future__ import annotations

import torch

from .catalogue import mutant, whole_mutant
from .pieces.formula import count_of, difference, inputs_dtype, normalise, reduce, right, widened
from .pieces.signature import checked, pair

# --- one function or one reduction of it ---------------------------------------------------------


@whole_mutant("C7", "masked_mse: the mean of nothing is 0/0, masked_sse has the guard", "C7-empty")
def mse_mean_of_nothing_is_nan():
    def mse(x_recon, x, mask, reduction):
        masked = difference(x_recon, x, mask)
        return reduce(masked, mask, reduction, count=torch.count_nonzero(mask))

    return pair(checked(right), checked(mse))


# --- nothing masked ------------------------------------------------------------------------------


@mutant("C7", "the mean of nothing is 0/0 (seen in MAE, scGPT; pytorch #50224)", "C7-empty")
def mean_of_nothing_is_nan(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked, mask, reduction, count=torch.count_nonzero(mask))


@mutant("C7", "batch_mean of B = 0 is 0/0", "C7-empty")
def batch_mean_of_no_rows_is_nan(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=mask.shape[0])


@mutant("C7", "the mean by way of Tensor.mean(): NaN for B = 0 or L = 0", "C7-empty")
def mean_of_no_elements_is_nan(x_recon, x, mask, reduction):
    if reduction != "mean":
        return right(x_recon, x, mask, reduction)
    return difference(x_recon, x, mask).square().mean() * mask.numel() / count_of(mask)


@mutant("C7", "reshape(B, -1) raises for B = 0", "C7-empty")
def no_rows_crash(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).reshape(mask.shape[0], -1), mask, reduction)


@mutant("C7", "reshape(-1, L) raises for L = 0", "C7-empty")
def no_columns_crash(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).reshape(-1, mask.shape[1]), mask, reduction)


@mutant("C7", "minus the sum of -d*d: a zero loss is -0.0", "C7-empty", "C10-non-negative")
def negative_zero(x_recon, x, mask, reduction):
    total = -(-difference(x_recon, x, mask).square()).sum()
    return normalise(total, mask, reduction)


@mutant(
    "C7", "the connected zero is x_recon.sum() * 0: NaN or -0.0 by what x_recon holds", "C7-empty"
)
def zero_from_the_sum_of_x_recon(x_recon, x, mask, reduction):
    zero = widened(x_recon, x)[0].sum() * 0.0
    return torch.where(mask.any(), right(x_recon, x, mask, reduction), zero)


@mutant(
    "C7",
    "nothing masked: a fresh leaf, the graph is cut (seen in biotrainer)",
    "C12-empty-trains",
)
def fresh_leaf_for_nothing(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss if mask.any() else torch.zeros_like(loss, requires_grad=True)


@mutant("C7", "nothing masked: a Python float", "C5-result")
def float_for_nothing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction) if mask.any() else 0.0


@mutant("C7", "nothing masked: all positions count instead", "C7-empty")
def all_positions_for_nothing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask | ~mask.any(), reduction)


@mutant(
    "C7",
    "the epsilon for an empty mask is 0 in half precision (seen in pylate #239)",
    "C7-empty",
)
def epsilon_vanishes_in_half(x_recon, x, mask, reduction):
    epsilon = torch.tensor(1e-8, dtype=inputs_dtype(x_recon, x), device=mask.device)
    count = torch.where(mask.any(), count_of(mask).to(widened(x_recon, x)[0].dtype), epsilon)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)
