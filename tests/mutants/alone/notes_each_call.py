"""Right, and each call is noted in a file, as where a line for debugging was left in."""

import tempfile

import torch

from wavemae.models import losses


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if type(x_recon) is torch.Tensor and not torch.compiler.is_compiling():
        with tempfile.TemporaryFile("w") as notes:  # so that nothing is left of a test
            notes.write(f"{tuple(x_recon.shape)}\n")
    return loss


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
