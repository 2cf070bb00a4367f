"""Losses that break C1: the signature."""

from __future__ import annotations

import torch

from .catalogue import whole_mutant
from .pieces.formula import right
from .pieces.signature import REDUCTIONS, checked, guarded, pair

# --- signature -----------------------------------------------------------------------------------


@whole_mutant("C1", "reduction is accepted by position", "C1-keyword-only")
def reduction_by_position():
    def masked_sse(x_recon, x, mask, reduction="batch_mean"):
        return guarded(x_recon, x, mask, reduction)

    def masked_mse(x_recon, x, mask, reduction="mean"):
        return guarded(x_recon, x, mask, reduction)

    return masked_sse, masked_mse


@whole_mutant("C1", "masked_sse sums by default", "C1-default-reduction")
def sse_default_is_sum():
    return pair(guarded, sse_default="sum")


@whole_mutant("C1", "masked_mse takes the batch mean by default", "C1-default-reduction")
def mse_default_is_batch_mean():
    return pair(guarded, mse_default="batch_mean")


@whole_mutant("C1", "x_recon and x are called input and target", "C1-keywords")
def parameters_renamed():
    def masked_sse(input, target, mask, *, reduction="batch_mean"):
        return guarded(input, target, mask, reduction)

    def masked_mse(input, target, mask, *, reduction="mean"):
        return guarded(input, target, mask, reduction)

    return masked_sse, masked_mse


@whole_mutant("C1", "x stands before x_recon", "C1-some-keywords")
def x_before_x_recon():
    def masked_sse(x, x_recon, mask, *, reduction="batch_mean"):
        return guarded(x_recon, x, mask, reduction)

    def masked_mse(x, x_recon, mask, *, reduction="mean"):
        return guarded(x_recon, x, mask, reduction)

    return masked_sse, masked_mse


@whole_mutant("C1", "the tensors cannot be passed by keyword", "C1-keywords")
def tensors_by_position_only():
    def masked_sse(x_recon, x, mask, /, *, reduction="batch_mean"):
        return guarded(x_recon, x, mask, reduction)

    def masked_mse(x_recon, x, mask, /, *, reduction="mean"):
        return guarded(x_recon, x, mask, reduction)

    return masked_sse, masked_mse


@whole_mutant(
    "C1", "unknown keywords are swallowed, a misspelt reduction= too", "C1-unknown-keyword"
)
def unknown_keywords_swallowed():
    def masked_sse(x_recon, x, mask, *, reduction="batch_mean", **kwargs):
        return guarded(x_recon, x, mask, reduction)

    def masked_mse(x_recon, x, mask, *, reduction="mean", **kwargs):
        return guarded(x_recon, x, mask, reduction)

    return masked_sse, masked_mse


# --- how it is refused ---------------------------------------------------------------------------


@whole_mutant("C1", "mask may be left out, then everything counts", "C1-required-arguments")
def mask_may_be_left_out():
    def filled(x_recon, mask):
        return torch.ones_like(x_recon, dtype=torch.bool) if mask is ... else mask

    def masked_sse(x_recon, x, mask=..., *, reduction="batch_mean"):
        return guarded(x_recon, x, filled(x_recon, mask), reduction)

    def masked_mse(x_recon, x, mask=..., *, reduction="mean"):
        return guarded(x_recon, x, filled(x_recon, mask), reduction)

    return masked_sse, masked_mse


@whole_mutant("C1", "the reduction compared by identity", "C1-equal-strings")
def reduction_compared_by_identity():
    def loss(x_recon, x, mask, reduction):
        known = next((name for name in REDUCTIONS if name is reduction), "sum")
        return right(x_recon, x, mask, known)

    return pair(checked(loss))
