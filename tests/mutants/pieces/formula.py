"""The loss in right steps; a mutant leaves one out, or takes another in its place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def inputs_dtype(x_recon: Tensor, x: Tensor) -> torch.dtype:
    """The promotion of both inputs, float16 or bfloat16 if both are."""
    return torch.promote_types(x_recon.dtype, x.dtype)


def widened(x_recon: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both inputs in the result's dtype."""
    dtype = torch.promote_types(inputs_dtype(x_recon, x), torch.float32)
    return x_recon.to(dtype), x.to(dtype)


def difference(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """x_recon - x in the result's dtype, 0 outside the mask."""
    x_recon, x = widened(x_recon, x)
    return torch.where(mask, x_recon - x, 0.0)


def count_of(mask: Tensor) -> Tensor:
    """The number of True, 1 if there is none."""
    return torch.count_nonzero(mask).clamp(min=1)


def normalise(
    total: Tensor, mask: Tensor, reduction: str, *, count: Any = None, batch: Any = None
) -> Tensor:
    """The sum divided as `reduction` says; a mutant may bring its own count or batch size."""
    if reduction == "mean":
        return total / (count_of(mask) if count is None else count)
    if reduction == "batch_mean":
        return total / (max(mask.shape[0], 1) if batch is None else batch)
    return total


def reduce(
    masked: Tensor, mask: Tensor, reduction: str, *, count: Any = None, batch: Any = None
) -> Tensor:
    """The loss of a masked difference."""
    return normalise(masked.square().sum(), mask, reduction, count=count, batch=batch)


def right(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """The right loss, without the argument checks."""
    return reduce(difference(x_recon, x, mask), mask, reduction)


def scaled_down(masked: Tensor, largest_of: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """The loss of `masked`, scaled by the largest of some values so that no square overflows."""
    largest = functional.pad(largest_of.detach().abs().flatten(), (0, 1)).amax()
    scale = torch.where(largest > 0, largest, 1.0)
    return normalise((masked / scale).square().sum() * scale * scale, mask, reduction)


def leaks_where(where: Callable[..., bool]) -> Callable[[Tensor, Tensor, Tensor, str], Tensor]:
    """Right, but that NaN outside the mask gets into the loss where `where(x_recon, x, mask)`."""

    @functools.wraps(where)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        value = right(x_recon, x, mask, reduction)
        if not where(x_recon, x, mask):
            return value
        return value + ((x_recon - x) * mask).sum().to(value.dtype) * 0.0

    return loss
