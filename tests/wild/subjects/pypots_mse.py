"""PyPOTS: `calc_mse`, Σ(d² · mask) / (Σ mask + 1e-12)."""

from __future__ import annotations

import reasons
from alone import alone
from offers import offers
from torch import Tensor
from wavemae.properties import Claims, Subject

calc_mse = alone("pypots.nn.functional.error").calc_mse

PACKAGE = "pypots"
CALLS = "pypots.nn.functional.calc_mse"
MASK = "as numbers in the dtype of x_recon"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "dtypes": "the 1e-12 in its denominator would show in every cell of float64",
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked positions."""
    offers(reduction, "mean")
    loss: Tensor = calc_mse(x_recon, x, mask.to(x_recon.dtype))
    return loss


SUBJECT = Subject(
    "PyPOTS",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32", "float16", "bfloat16"),
        reductions=("mean",),
        half_result="half",
        distributed=False,
        strict_inputs=False,
    ),
    imports="from pypots_mse import masked_mse",
)
