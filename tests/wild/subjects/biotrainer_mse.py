"""biotrainer: `MaskedRegressionLoss`, which is told by a value in the target what to leave out."""

from __future__ import annotations

import reasons
from alone import alone
from torch import Tensor
from torch.nn.functional import mse_loss
from wavemae.properties import Claims, Subject

MaskedRegressionLoss = alone("biotrainer.losses.masked_mse_loss").MaskedRegressionLoss

PACKAGE = "biotrainer"
CALLS = "MaskedRegressionLoss(torch.nn.functional.mse_loss)"
MASK = "targets outside the mask become −100, the ignore_index"
NOT_CLAIMED = {
    "reductions": reasons.NO_BATCH_MEAN,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the targets that are not ignored, or the sum."""
    loss: Tensor = MaskedRegressionLoss(mse_loss, reduction=reduction)(
        x_recon, x.masked_fill(~mask, -100)
    )
    return loss


SUBJECT = Subject(
    "biotrainer",
    masked_mse=masked_mse,
    claims=Claims(
        reductions=("mean", "sum"), half_result="half", distributed=False, strict_inputs=False
    ),
    expected_failures={"C16-autocast": reasons.AUTOCAST},
    imports="from biotrainer_mse import masked_mse",
)
