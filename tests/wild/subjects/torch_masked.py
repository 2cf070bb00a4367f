"""PyTorch: `torch.masked.mean` and `.sum` of the squared difference."""

from __future__ import annotations

import reasons
import torch
from offers import offers
from torch import Tensor
from wavemae.properties import Claims, Subject

PACKAGE = "torch"
CALLS = "torch.masked.mean, torch.masked.sum"
MASK = "as it is"
NOT_CLAIMED = {
    "reductions": reasons.NO_BATCH_MEAN,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}

_EMPTY = 'docstring: "elements ... that correspond to fully masked-out elements, have `nan` values"'


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The masked mean, or sum."""
    offers(reduction, "mean", "sum")
    reduce = {"mean": torch.masked.mean, "sum": torch.masked.sum}[reduction]
    loss: Tensor = reduce((x_recon - x).square(), mask=mask)
    return loss


SUBJECT = Subject(
    "torch.masked",
    masked_mse=masked_mse,
    claims=Claims(
        reductions=("mean", "sum"), half_result="half", distributed=False, strict_inputs=False
    ),
    expected_failures=dict.fromkeys(
        (
            "C4-exhaustive",
            "C7-empty",
            "C12-empty-trains",
            "C19-vmap",
        ),
        _EMPTY,
    ),
    imports="from torch_masked import masked_mse",
)
