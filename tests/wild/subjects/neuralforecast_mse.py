"""neuralforecast: `MSE`, whose mask says which points count."""

from __future__ import annotations

import reasons
from alone import alone
from offers import offers
from torch import Tensor
from wavemae.properties import Claims, Subject

_LOSS = alone("neuralforecast.losses.pytorch").MSE()

PACKAGE = "neuralforecast"
CALLS = "neuralforecast.losses.pytorch.MSE"
MASK = "as numbers in the dtype of x_recon"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked points."""
    offers(reduction, "mean")
    loss: Tensor = _LOSS(y=x, y_hat=x_recon, mask=mask.to(x_recon.dtype))
    return loss


SUBJECT = Subject(
    "neuralforecast",
    masked_mse=masked_mse,
    claims=Claims(reductions=("mean",), half_result="half", distributed=False, strict_inputs=False),
    imports="from neuralforecast_mse import masked_mse",
)
