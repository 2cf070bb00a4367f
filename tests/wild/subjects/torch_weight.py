"""PyTorch: `mse_loss` with a weight, Σ(w d²) / Σw."""

from __future__ import annotations

import reasons
from torch import Tensor
from torch.nn.functional import mse_loss
from wavemae.properties import Claims, Subject

PACKAGE = "torch"
CALLS = "torch.nn.functional.mse_loss(weight=)"
MASK = "as the weight, in the dtype of x_recon"
NOT_CLAIMED = {
    "reductions": reasons.NO_BATCH_MEAN,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The weighted mean, or sum."""
    return mse_loss(x_recon, x, weight=mask.to(x_recon.dtype), reduction=reduction)


SUBJECT = Subject(
    "F.mse_loss(weight=)",
    masked_mse=masked_mse,
    claims=Claims(
        reductions=("mean", "sum"), half_result="half", distributed=False, strict_inputs=False
    ),
    imports="from torch_weight import masked_mse",
)
