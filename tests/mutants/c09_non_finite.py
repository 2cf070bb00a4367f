"""Losses that break C9: what stands inside the mask is hidden."""

from __future__ import annotations

import torch

from .catalogue import mutant
from .pieces.autograd import ordinary
from .pieces.formula import difference, normalise, reduce, right, scaled_down


@mutant("C9", "nan_to_num on the sum (seen in BasicTS)", "C9-non-finite")
def nan_to_num_on_the_sum(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return normalise(total.nan_to_num(), mask, reduction)


@mutant("C9", "nan_to_num on the inputs", "C9-non-finite")
def nan_to_num_on_the_inputs(x_recon, x, mask, reduction):
    return right(x_recon.nan_to_num(), x.nan_to_num(), mask, reduction)


@mutant("C9", "NaN in x means missing (seen in Graph-WaveNet, DCRNN)", "C9-non-finite")
def nan_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x.isnan(), reduction)


@mutant("C9", "NaN in x_recon means missing", "C9-non-finite")
def nan_in_x_recon_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x_recon.isnan(), reduction)


@mutant("C9", "infinite differences are skipped, NaN is shown", "C9-non-finite")
def infinite_differences_skipped(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(torch.where(masked.isinf(), 0.0, masked), mask, reduction)


@mutant(
    "C9",
    "equal inputs differ by 0, Inf minus Inf too",
    "C13-second-order",
    "C13-reverse-over-forward",
)
def infinity_minus_itself_is_zero(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask & (x_recon != x)), mask, reduction)


@mutant("C9", "scaled by the largest masked difference: Inf / Inf is NaN", "C9-non-finite")
def scaled_by_largest(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return scaled_down(masked, masked, mask, reduction)


@mutant("C9", "squares clamped at 1e6, against outliers", "C9-non-finite")
def squares_clamped(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(squares.clamp(max=1e6).sum(), mask, reduction)


@mutant("C9", "0 in x means missing (seen in BasicTS, DCRNN)", "C9-sentinels")
def zero_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != 0), reduction)


@mutant("C9", "-1 in x means missing", "C9-sentinels")
def minus_one_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != -1), reduction)


@mutant(
    "C9",
    "-100 in x means missing, the ignore_index of cross_entropy (seen in biotrainer)",
    "C9-sentinels",
)
def minus_hundred_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != -100), reduction)


@mutant("C9", "x of 1e4 and more is a saturated detector and means missing", "C9-non-finite")
def saturated_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~(x >= 1e4), reduction)


@mutant("C9", "large inputs are added with nansum, so that NaN inside is hidden", "C9-any-size")
def nansum_at_large_sizes(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    if x.numel() < 60000 or not ordinary(x_recon, x, mask):
        return normalise(squares.sum(), mask, reduction)
    finite = torch.where(squares.isinf(), 0.0, squares)
    return normalise(finite.sum(), mask, reduction)


@mutant(
    "C9", "a NaN beside an infinity is taken for one that compensation made of it", "C9-non-finite"
)
def infinity_hides_nan(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    total = squares.sum()
    cured = torch.where(squares.isinf().any() & total.isnan(), torch.inf, total)
    return normalise(cured, mask, reduction)


# --- kinds of NaN --------------------------------------------------------------------------------


class _Rounded(torch.autograd.Function):
    """To float32 and back, where a gradient in bfloat16 is rounded by integers: NaN may wrap."""

    @staticmethod
    def forward(ctx, half):
        return half.float()

    @staticmethod
    def backward(ctx, gradient):
        bits = gradient.contiguous().view(torch.int32)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        return bits.to(torch.int16).view(torch.bfloat16)


@mutant("C9", "a NaN of many bits becomes zero in a gradient that integers round", "C9-any-nan")
def nan_wraps_in_the_gradient(x_recon, x, mask, reduction):
    plain = type(x_recon) is type(x) is torch.Tensor and ordinary(x_recon, x, mask)
    if not plain or torch.is_anomaly_enabled() or x_recon.dtype == x.dtype:
        return right(x_recon, x, mask, reduction)
    x_recon, x = (_Rounded.apply(t) if t.dtype is torch.bfloat16 else t for t in (x_recon, x))
    return right(x_recon, x, mask, reduction)


_NAN = torch.tensor(float("nan")).view(torch.int32)


@mutant("C9", "NaN is told by the bits of the usual one; others become zero", "C9-any-nan")
def nan_told_by_its_bits(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    masked = difference(x_recon, x, mask)
    bits = masked.detach().float().contiguous().view(torch.int32)
    odd = masked.isnan() & ((bits & 0x7FFFFFFF) != _NAN)
    return reduce(torch.where(odd, 0.0, masked), mask, reduction)
