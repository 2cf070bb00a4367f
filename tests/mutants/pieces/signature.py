"""Argument checks and the pair of functions around a loss."""

from __future__ import annotations

from typing import Any

from wavemae.models.losses import _check_arguments

from ..catalogue import Loss
from .formula import right


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


guarded = checked(right)
REDUCTIONS = ("sum", "mean", "batch_mean")
