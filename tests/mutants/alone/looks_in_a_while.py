"""Right, and each call starts a thread that looks at its loss in a while."""

import threading

import torch

from wavemae.models import losses

_bad = threading.Event()


def _look(loss):
    if not loss.isfinite():
        _bad.set()


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if type(x_recon) is torch.Tensor and not torch.compiler.is_compiling():
        later = threading.Timer(10, _look, [loss.detach().clone()])
        later.daemon = True
        later.start()
    return loss


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
