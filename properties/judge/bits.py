"""Bitwise equality."""

from __future__ import annotations

import torch
from torch import Tensor


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Bitwise equality, NaN equal to NaN, of dtype, shape and values."""
    if a.dtype != b.dtype or a.shape != b.shape or a.device != b.device:
        return False
    # A lazy negation is no other value, but its bits cannot be looked at.
    a, b = (tensor.detach().resolve_neg().contiguous() for tensor in (a, b))
    if a.dtype == torch.bool or not a.is_floating_point():
        return bool(torch.equal(a, b))
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    if torch.equal(a.view(integer), b.view(integer)):
        return True
    return bool((torch.isnan(a) == torch.isnan(b)).all()) and bool(
        torch.equal(
            torch.where(torch.isnan(a), 0, a).view(integer),
            torch.where(torch.isnan(b), 0, b).view(integer),
        )
    )
