"""Mistakes that only code can make which streams blocks through one scratch: C4, C6, C8, C11, C12.

Each streams blocks of 2,048 elements (or as it says) and is right while everything fits in one.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .autograd_pieces import by_hand, masked_difference, ordinary, right, scaled, slope, widened
from .catalogue import mutant

_BLOCK = 2048


def _flat(x_recon, x, mask):
    """Both values, widened, and the mask, each as one row."""
    return *(t.reshape(-1) for t in widened(x_recon, x)), mask.reshape(-1)


def _streams(x_recon, x, mask):
    """Where blocks are streamed, and more than one of them."""
    grads = x_recon.requires_grad or x.requires_grad
    return ordinary(x_recon, x, mask) and not grads and mask.numel() > _BLOCK


def _streamed(x_recon, x, mask, reduction, block_sum):
    """The loss from the sums of blocks, each made by `block_sum(number, difference, mask)`."""
    recon, target, chosen = _flat(x_recon, x, mask)
    pieces = zip(recon.split(_BLOCK), target.split(_BLOCK), chosen.split(_BLOCK), strict=True)
    sums = [block_sum(number, a - b, m) for number, (a, b, m) in enumerate(pieces)]
    return scaled(torch.stack(sums).sum(), mask, reduction)


@mutant("C4", "the last block is shorter, and what the one before left is added too", "C4-sizes")
def stale_scratch_after_last_block(x_recon, x, mask, reduction):
    if not _streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    scratch = torch.zeros(_BLOCK, dtype=widened(x_recon, x)[0].dtype)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        scratch[: len(difference)] = torch.where(chosen, difference, 0.0)
        return scratch.square().sum()

    return _streamed(x_recon, x, mask, reduction, block_sum)


@mutant(
    "C4", "the sum of a block is its mean times the block's size, the last one's too", "C4-sizes"
)
def last_block_weighs_as_a_whole_one(x_recon, x, mask, reduction):
    if not _streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, difference, 0.0).square().mean() * _BLOCK

    return _streamed(x_recon, x, mask, reduction, block_sum)


@mutant("C4", "every block but the first starts one element late", "C4-sizes")
def block_starts_one_late(x_recon, x, mask, reduction):
    if not _streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, difference, 0.0)[min(number, 1) :].square().sum()

    return _streamed(x_recon, x, mask, reduction, block_sum)


@mutant("C6", "each block of 256 with torch.dot, the sums of blocks one by one", "C6-large")
def block_sums_added_one_by_one(x_recon, x, mask, reduction):
    if not _streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    flat = masked_difference(x_recon, x, mask).reshape(-1)
    sums = torch.stack([torch.dot(block, block) for block in flat.split(256)])
    return scaled(functools.reduce(torch.add, sums.unbind()), mask, reduction)


@mutant(
    "C8",
    "whole blocks select bits, the rest multiplies numbers by the mask: NaN leaks there",
    "C8-excluded-sizes",
)
def remainder_multiplied_by_mask(x_recon, x, mask, reduction):
    if not _streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        if len(difference) < _BLOCK:
            return (difference * chosen).square().sum()
        return torch.where(chosen, difference, 0.0).square().sum()

    return _streamed(x_recon, x, mask, reduction, block_sum)


@mutant("C11", "gradient written in whole blocks, the remainder left at 0", "C11-sizes")
@by_hand
def gradient_without_remainder(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream).reshape(-1)
    size = gradient.numel()
    whole = size // _BLOCK * _BLOCK or size
    gradient = torch.where(torch.arange(size) < whole, gradient, 0.0).reshape(mask.shape)
    return gradient, -gradient


@mutant("C12", "backward selects every block with the mask of the first one", "C12-excluded-sizes")
@by_hand
def gradient_selected_by_first_mask_block(x_recon, x, mask, reduction, upstream):
    if mask.numel() <= _BLOCK or not ordinary(x_recon, x, mask):
        gradient = slope(x_recon, x, mask, reduction, upstream)
        return gradient, -gradient
    wide_recon, wide_x = widened(x_recon, x)
    first = mask.reshape(-1)[:_BLOCK]
    chosen = first.repeat(-(-mask.numel() // _BLOCK))[: mask.numel()].reshape(mask.shape)
    difference = torch.where(chosen, wide_recon - wide_x, 0.0)
    gradient = 2.0 * difference * scaled(upstream, mask, reduction)
    return gradient, -gradient
