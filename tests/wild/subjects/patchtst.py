"""Hugging Face PatchTST: its masked loss, Σ(mean over the patch · mask) / (Σ mask + 1e-10)."""

from __future__ import annotations

from types import SimpleNamespace

import reasons
from offers import offers
from torch import Tensor
from transformers import PatchTSTForPretraining
from wavemae.properties import Claims, Subject

PACKAGE = "transformers"
CALLS = "PatchTSTForPretraining.forward"
MASK = "as float32, like its own random masks; patches of one value, no encoder"
NOT_CLAIMED = {
    "reductions": reasons.MEAN_ONLY,
    "dtypes": reasons.HALF_SQUARES
    + "; and in float64 the 1e-10 in its denominator would show in every cell",
    "compile": reasons.IN_FORWARD,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
}


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean over the masked patches."""
    offers(reduction, "mean")
    encoded = SimpleNamespace(
        last_hidden_state=x_recon[:, None, :, None],
        patch_input=x[:, None, :, None],
        mask=mask[:, None, :].float(),
        hidden_states=None,
        attentions=None,
    )
    model = SimpleNamespace(model=lambda **_: encoded, head=lambda hidden: hidden)
    loss: Tensor = PatchTSTForPretraining.forward(model, x, return_dict=True).loss
    return loss


SUBJECT = Subject(
    "transformers PatchTST",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32",),
        reductions=("mean",),
        compile=False,
        distributed=False,
        strict_inputs=False,
    ),
    imports="from patchtst import masked_mse",
)
