"""Hugging Face ViTMAE: the loss of masked autoencoders, Σ(mean over the patch · mask) / Σ mask."""

from __future__ import annotations

from types import SimpleNamespace

import reasons
from offers import offers
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from wavemae.properties import Claims, Subject

PACKAGE = "transformers"
CALLS = "ViTMAEForPreTraining.forward"
MASK = "as float32, like its own random masks; patches of one pixel, no encoder"
NOT_CLAIMED = {
    "dtypes": reasons.HALF_SQUARES,
    "reductions": reasons.MEAN_ONLY,
    "compile": reasons.IN_FORWARD,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}

_CONFIG = ViTMAEConfig(patch_size=1, num_channels=1)


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked patches."""
    offers(reduction, "mean")
    encoded = SimpleNamespace(
        last_hidden_state=None,
        ids_restore=None,
        mask=mask.float(),
        hidden_states=None,
        attentions=None,
    )
    model = SimpleNamespace(
        config=_CONFIG,
        vit=lambda *_, **__: encoded,
        decoder=lambda *_, **__: SimpleNamespace(logits=x_recon[:, :, None]),
    )
    model.patchify = lambda *given, **named: ViTMAEForPreTraining.patchify(model, *given, **named)
    image = x[:, None, None, :]  # one channel, one row, which need not be square:
    loss: Tensor = ViTMAEForPreTraining.forward(model, image, interpolate_pos_encoding=True).loss
    return loss


SUBJECT = Subject(
    "transformers ViTMAE",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32", "float64"),
        reductions=("mean",),
        compile=False,
        distributed=False,
        strict_inputs=False,
    ),
    imports="from vitmae import masked_mse",
)
