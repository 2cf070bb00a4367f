"""Torch Spatiotemporal: `MaskedMetric` around `mse_loss`, which is its `MaskedMSE`."""

from __future__ import annotations

import reasons
from alone import alone
from offers import offers
from torch import Tensor
from torch.nn.functional import mse_loss
from wavemae.properties import Claims, Subject

MaskedMetric = alone("tsl.metrics.torch.metric_base").MaskedMetric

PACKAGE = "torch_spatiotemporal"
CALLS = "tsl.metrics.torch.MaskedMSE"
MASK = "as it is"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "dtypes": "its state is float32",
    "transforms": reasons.METRIC,
    "compile": reasons.METRIC,
    "data_independent": reasons.METRIC,
    "forward_mode": reasons.METRIC,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked positions, as the value of this batch."""
    offers(reduction, "mean")
    metric = MaskedMetric(mse_loss, metric_fn_kwargs={"reduction": "none"}, full_state_update=False)
    loss: Tensor = metric(x_recon, x, mask)
    return loss


SUBJECT = Subject(
    "tsl MaskedMSE",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32",),
        reductions=("mean",),
        transforms=False,
        compile=False,
        data_independent=False,
        forward_mode=False,
        distributed=False,
        strict_inputs=False,
    ),
    imports="from tsl_metric import masked_mse",
)
