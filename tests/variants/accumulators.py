"""Right with an accumulator of its own, and a gradient by hand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .catalogue import formula_where, masked_difference, plainly, variant
from .gradients import ByHand


class _Compensated(ByHand):
    """Neumaier's sum in 64 steps; where it makes NaN of an infinity the plain sum stands in."""

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        squares = masked_difference(x_recon, x, mask).square().reshape(-1)
        lanes = (squares.shape[0] + 63) // 64
        padding = (0, 64 * lanes - squares.shape[0])
        rows = functional.pad(squares, padding).reshape(64, lanes)
        total, lost = rows[0], torch.zeros_like(rows[0])
        for step in range(1, 64):
            new, row = total + rows[step], rows[step]
            lost = lost + torch.where(total >= row, (total - new) + row, (row - new) + total)
            total = new
        found = total.sum() + lost.sum()
        found = torch.where(found.isfinite(), found, squares.sum())
        if found.dtype != torch.float32:
            return found
        bits = torch.full((), -4145425, dtype=torch.int32, device=found.device)
        return torch.where(found.isnan(), bits.view(torch.float32), found)  # which NaN is open


@variant
@formula_where(plainly)
def compensated_sum(x_recon, x, mask):
    """A compensated sum with a gradient by hand, and a NaN of its own: negative, with a payload."""
    return _Compensated.apply(x_recon, x, mask)


class _Accumulated(ByHand):
    """Squares of float32 taken apart into integers, added exactly, one bin for each exponent."""

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        difference = masked_difference(x_recon, x, mask)
        if difference.dtype == torch.float64:
            return difference.square().sum()
        squares = difference.double().square().reshape(-1)
        fine = squares.isfinite()
        mantissa, exponent = torch.frexp(torch.where(fine, squares, 0.0))
        high = torch.floor(mantissa * 2.0**24)
        low = (mantissa * 2.0**24 - high) * 2.0**29
        power = torch.arange(640, device=squares.device) + 703  # 1023 - 320, as a biased exponent
        total = torch.zeros((), dtype=torch.float64, device=squares.device)
        for digits, shift in ((low, 53), (high, 24)):
            bins = torch.zeros(640, dtype=torch.int64, device=squares.device)
            counts = bins.scatter_add(0, exponent.long() + 320, digits.long())
            total = total + (counts.double() * ((power - shift) << 52).view(torch.float64)).sum()
        return torch.where(fine.all(), total, squares.sum()).to(difference.dtype)


@variant
@formula_where(plainly)
def integer_accumulator(x_recon, x, mask):
    """No term passes a rounded addition."""
    return _Accumulated.apply(x_recon, x, mask)
