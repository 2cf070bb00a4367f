"""Right, and each call has something done at the end of the process."""

import atexit
import collections

import torch

from wavemae.models import losses

_shapes = collections.Counter()


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if type(x_recon) is torch.Tensor and not torch.compiler.is_compiling():
        atexit.register(_shapes.update, [tuple(x_recon.shape)])
    return loss


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
