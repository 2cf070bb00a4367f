"""Right pieces that the mutants share: each of them then shows its one mistake and little else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wavemae.models.losses import _check_arguments

Loss = Callable[..., Any]


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


def checked(loss: Loss) -> Loss:
    """`loss` behind the definition's argument checks."""

    def loss_behind_checks(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Any:
        _check_arguments(x_recon, x, mask, reduction)
        return loss(x_recon, x, mask, reduction)

    return loss_behind_checks


def pair(
    sse: Loss,
    mse: Loss | None = None,
    *,
    sse_default: Any = "batch_mean",
    mse_default: Any = "mean",
) -> tuple[Loss, Loss]:
    """(masked_sse, masked_mse) from `loss(x_recon, x, mask, reduction)`, with no check added."""
    mse = mse or sse

    def masked_sse(x_recon: Any, x: Any, mask: Any, *, reduction: Any = sse_default) -> Any:
        return sse(x_recon, x, mask, reduction)

    def masked_mse(x_recon: Any, x: Any, mask: Any, *, reduction: Any = mse_default) -> Any:
        return mse(x_recon, x, mask, reduction)

    return masked_sse, masked_mse
