"""TorchMetrics: `MeanMetric` of the squared error, weighted by the mask."""

from __future__ import annotations

import reasons
from offers import offers
from torch import Tensor
from torchmetrics import MeanMetric
from wavemae.properties import Claims, Subject

PACKAGE = "torchmetrics"
CALLS = "MeanMetric(nan_strategy=...)(value, weight)"
MASK = "as the weight, in float32"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "dtypes": 'docstring: "scalar float tensor"',
    "gradients": "`is_differentiable` is None: it does not say that it can be a loss",
    "transforms": reasons.METRIC,
    "compile": reasons.METRIC,
    "data_independent": reasons.METRIC,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}
_CLAIMS = Claims(
    dtypes=("float32",),
    reductions=("mean",),
    gradients=False,
    transforms=False,
    compile=False,
    data_independent=False,
    distributed=False,
    strict_inputs=False,
)


def _mean(x_recon: Tensor, x: Tensor, mask: Tensor, nan_strategy: str | float) -> Tensor:
    metric = MeanMetric(nan_strategy=nan_strategy)
    metric.update((x_recon - x).square(), mask.float())
    loss: Tensor = metric.compute()
    return loss


def masked_mse_ignore(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """The weighted mean of what is not NaN."""
    offers(reduction, "mean")
    return _mean(x_recon, x, mask, "ignore")


def masked_mse_disable(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """The weighted mean, without a look for NaN."""
    offers(reduction, "mean")
    return _mean(x_recon, x, mask, "disable")


def masked_mse_impute(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """The weighted mean with 0 in the place of NaN."""
    offers(reduction, "mean")
    return _mean(x_recon, x, mask, 0.0)


IGNORE = Subject(
    "TorchMetrics ignore",
    masked_mse=masked_mse_ignore,
    claims=_CLAIMS,
    imports="from torchmetrics_mean import masked_mse_ignore as masked_mse",
)
DISABLE = Subject(
    "TorchMetrics disable",
    masked_mse=masked_mse_disable,
    claims=_CLAIMS,
    imports="from torchmetrics_mean import masked_mse_disable as masked_mse",
)
IMPUTE = Subject(
    "TorchMetrics 0.0",
    masked_mse=masked_mse_impute,
    claims=_CLAIMS,
    imports="from torchmetrics_mean import masked_mse_impute as masked_mse",
)
