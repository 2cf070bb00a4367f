"""Wrong at certain sizes only, some of them with a certain dtype, mask, layout or call besides."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .autograd_pieces import both_slopes, by_hand, ordinary, right
from .catalogue import mutant

Where = Callable[[Tensor, Tensor, Tensor, str], bool]


def _doubled(where: Where) -> Callable[..., Tensor]:
    """A loss that is twice what it should be, in eager mode, where the call is of that kind."""

    @functools.wraps(where)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        value = right(x_recon, x, mask, reduction)
        wrong = ordinary(x_recon, x, mask) and where(x_recon, x, mask, reduction)
        return value * 2 if wrong else value

    return loss


def _gradient_doubled(where: Where) -> Callable[..., Any]:
    """A loss whose gradients are twice what they should be, where the call is of that kind."""

    @functools.wraps(where)
    def gradients(x_recon, x, mask, reduction, upstream):
        factor = 2 if where(x_recon, x, mask, reduction) else 1
        return both_slopes(x_recon, x, mask, reduction, upstream * factor)

    return by_hand(gradients)


def _transposed(*tensors: Tensor) -> bool:
    return all(t.stride(0) == 1 and t.stride(1) > 1 and min(t.shape) > 1 for t in tensors)


@mutant("C4", "several rows of 500 to 700 positions: a block size with a bug", "C4-sizes")
@_doubled
def rows_of_some_hundreds(x_recon, x, mask, reduction):
    return 500 <= mask.shape[1] <= 700 and mask.shape[0] > 1


@mutant("C4", "lengths that are multiples of 100: an empty last chunk", "C4-any-size")
@_doubled
def empty_last_chunk(x_recon, x, mask, reduction):
    return mask.numel() > 0 and mask.shape[1] % 100 == 0


@mutant("C4", "12 to 14 rows: a batch that a tuned configuration does not fit", "C4-scattered")
@_doubled
def a_dozen_rows(x_recon, x, mask, reduction):
    return 12 <= mask.shape[0] <= 14


@mutant("C11", "gradient at lengths that are multiples of 100", "C11-any-size")
@_gradient_doubled
def gradient_with_empty_last_chunk(x_recon, x, mask, reduction):
    return mask.numel() > 0 and mask.shape[1] % 100 == 0


@mutant(
    "C11", "gradient of x alone, float64 against float16, of the sum", "C11-extremes", "C11-oracle"
)
@_gradient_doubled
def gradient_of_one_rare_pairing(x_recon, x, mask, reduction):
    return (x_recon.dtype, x.dtype, reduction) == (torch.float64, torch.float16, "sum")


@mutant("C15", "value where all three inputs are transposed", "C15-layouts")
@_doubled
def fast_path_for_transposed(x_recon, x, mask, reduction):
    return _transposed(x_recon, x, mask)


@mutant("C15", "gradient where all three inputs are transposed", "C15-layouts")
@_gradient_doubled
def gradient_path_for_transposed(x_recon, x, mask, reduction):
    return _transposed(x_recon, x, mask)


@mutant("C15", "batch_mean where both inputs are expanded templates", "C15-layouts")
@_doubled
def two_expanded_templates(x_recon, x, mask, reduction):
    alike = 0 in x_recon.stride() and 0 in x.stride()
    return alike and mask.shape[0] > 1 and reduction == "batch_mean"


@mutant("C15", "gradient in bfloat16 under a strided mask", "C15-layouts", "C15-sizes")
@_gradient_doubled
def gradient_of_bfloat16_under_strided_mask(x_recon, x, mask, reduction):
    return x_recon.dtype == torch.bfloat16 and not mask.is_contiguous() and reduction == "mean"


_LARGE = 2**16


@mutant("C15", "value where x is strided, beyond 65,536 elements: stripes", "C15-sizes")
@_doubled
def stripes_of_large_strided_x(x_recon, x, mask, reduction):
    return mask.numel() > _LARGE and not x.is_contiguous()


@mutant("C15", "gradient where the mask is strided, beyond 65,536 elements", "C15-sizes")
@_gradient_doubled
def gradient_stripes_under_large_strided_mask(x_recon, x, mask, reduction):
    return mask.numel() > _LARGE and not mask.is_contiguous()


@mutant("C4", "value of 65,536 elements exactly: a last block that is none", "C4-sizes")
@_doubled
def size_of_exactly_many_blocks(x_recon, x, mask, reduction):
    return mask.numel() == _LARGE


@mutant("C11", "gradient of few masked among many: a list of positions", "C11-sizes")
@_gradient_doubled
def gradient_of_few_among_many(x_recon, x, mask, reduction):
    return mask.numel() > _LARGE and mask.sum() < mask.numel() // 50
