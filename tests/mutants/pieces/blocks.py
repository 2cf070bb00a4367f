"""For kernels that pass blocks of 2,048 elements through one scratch.

Their mutants are right while everything fits in one block.
"""

from __future__ import annotations

import torch

from .autograd import ordinary, scaled
from .formula import widened

BLOCK = 2048


def _flat(x_recon, x, mask):
    """Both values, widened, and the mask, each as one row."""
    return *(t.reshape(-1) for t in widened(x_recon, x)), mask.reshape(-1)


def streams(x_recon, x, mask):
    """Where blocks are streamed, and more than one of them."""
    grads = x_recon.requires_grad or x.requires_grad
    return ordinary(x_recon, x, mask) and not grads and mask.numel() > BLOCK


def streamed(x_recon, x, mask, reduction, block_sum):
    """The loss from the sums of blocks, each made by `block_sum(number, difference, mask)`."""
    recon, target, chosen = _flat(x_recon, x, mask)
    pieces = zip(recon.split(BLOCK), target.split(BLOCK), chosen.split(BLOCK), strict=True)
    sums = [block_sum(number, a - b, m) for number, (a, b, m) in enumerate(pieces)]
    return scaled(torch.stack(sums).sum(), mask, reduction)
