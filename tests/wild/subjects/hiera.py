"""Hugging Face Hiera: the mean squared error of what was selected first, by index."""

from __future__ import annotations

import reasons
from offers import offers
from torch import Tensor
from transformers import HieraConfig, HieraForPreTraining
from wavemae.properties import Claims, Subject

PACKAGE = "transformers"
CALLS = "HieraForPreTraining.forward_loss"
MASK = "inverted: its bool_masked_pos is True where visible; patches of one pixel"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "half_result": reasons.INPUT_DTYPE,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}

_CONFIG = HieraConfig(normalize_pixel_loss=False)


class _Model:
    """What `forward_loss` asks of the model."""

    config = _CONFIG
    pred_stride = 1
    get_pixel_label_2d = HieraForPreTraining.get_pixel_label_2d


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked patches."""
    offers(reduction, "mean")
    loss: Tensor = HieraForPreTraining.forward_loss(
        _Model(), x[:, None, None, :], x_recon[:, :, None], ~mask
    )
    return loss


SUBJECT = Subject(
    "transformers Hiera",
    masked_mse=masked_mse,
    claims=Claims(reductions=("mean",), half_result="half", distributed=False, strict_inputs=False),
    expected_failures=dict.fromkeys(
        ("C7-empty", "C19-vmap"),
        "an image without pixels, B or L = 0, is refused before the loss",
    ),
    imports="from hiera import masked_mse",
)
