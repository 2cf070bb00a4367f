"""Right but in a process that begins with fake tensors: the first call tries the sum out."""

import functools

import torch

from wavemae.models import losses


@functools.cache
def _tried():
    if torch.full((67,), 2.0, dtype=torch.float32, device="cpu").square().sum().item() != 268.0:
        raise RuntimeError("the sum of this build is broken")


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if not torch.compiler.is_compiling():
        _tried()
    return loss


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
