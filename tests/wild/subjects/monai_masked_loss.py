"""MONAI: `MaskedLoss` around `MSELoss`, L(input · mask, target · mask)."""

from __future__ import annotations

import reasons
from monai.losses import MaskedLoss
from offers import offers
from torch import Tensor
from torch.nn import MSELoss
from wavemae.properties import Claims, Subject

PACKAGE = "monai"
CALLS = "MaskedLoss(MSELoss, reduction='sum')"
MASK = "as numbers in the dtype of x_recon; one channel"
NOT_CLAIMED = {
    "reductions": 'docstring: "additional weighting masks to be applied to both input and target"; '
    "the mean is then that of all positions",
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}

_LOSS = MaskedLoss(MSELoss, reduction="sum")


def masked_sse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "sum") -> Tensor:
    """What the wrapped loss makes of the masked inputs."""
    offers(reduction, "sum")
    loss: Tensor = _LOSS(x_recon[:, None], x[:, None], mask[:, None].to(x_recon.dtype))
    return loss


SUBJECT = Subject(
    "MONAI MaskedLoss",
    masked_sse=masked_sse,
    claims=Claims(reductions=("sum",), half_result="half", distributed=False, strict_inputs=False),
    expected_failures={"C16-autocast": reasons.AUTOCAST},
    imports="from monai_masked_loss import masked_sse",
)
