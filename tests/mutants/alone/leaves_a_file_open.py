"""Right, and each call opens a file for reading, and does not close it."""

import os

import torch

from wavemae.models import losses


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if type(x_recon) is torch.Tensor and not torch.compiler.is_compiling():
        os.read(os.open(os.devnull, os.O_RDONLY), 1)
    return loss


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
