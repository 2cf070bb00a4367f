"""GluonTS: `weighted_average` of the squared error, where(w ≠ 0, w d², 0) / max(Σw, 1)."""

from __future__ import annotations

import reasons
from alone import alone
from offers import offers
from torch import Tensor
from wavemae.properties import Claims, Subject

weighted_average = alone("gluonts.torch.util").weighted_average

PACKAGE = "gluonts"
CALLS = "gluonts.torch.util.weighted_average"
MASK = "as the weights, in the dtype of x_recon"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The weighted mean."""
    offers(reduction, "mean")
    loss: Tensor = weighted_average((x_recon - x).square(), mask.to(x_recon.dtype))
    return loss


SUBJECT = Subject(
    "GluonTS",
    masked_mse=masked_mse,
    claims=Claims(reductions=("mean",), half_result="half", distributed=False, strict_inputs=False),
    imports="from gluonts_average import masked_mse",
)
