"""The CPU evaluator: streams blocks that stay in the cache, in plain torch operators.

What eager torch loses on large inputs are fresh full-size temporaries, whose pages the kernel must
first clear, and selections that branch for every element. Here the squares of one block after
another are written into one scratch that belongs to the call. Selecting is an integer product of
their bits with the mask: it clears whatever stands outside, NaN included, and keeps the bits inside.

Sums: a block is added up in rows of 2¹⁴, whatever the number of threads, and the row sums are added
in float64. Along the way from an element to a row sum lie at most some 50 additions of torch's
cascade, so float32 keeps C6 on any data.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_mse_loss = torch.ops.aten.mse_loss.out
_mse_loss_backward = torch.ops.aten.mse_loss_backward.grad_input
_NO_REDUCTION, _SUM = 0, 2  # as torch numbers the reductions of its losses

# Scratch, and as much again for the mask that torch widens while it selects: under 2 MiB.
_SCRATCH_BYTES = 15 * 2**16
_ROW = 2**14
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def sum_of_squares(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """S of C4: 0-d, in the dtype to which both values and float32 promote."""
    dtype = _result_dtype(x_recon, x)
    elements = x_recon.numel()
    if elements <= _ROW:
        squares = torch.empty(x_recon.shape, dtype=dtype, device=x_recon.device)
        _write_squares(squares, x_recon, x, mask)
        return squares.sum()
    block = min(_SCRATCH_BYTES // dtype.itemsize, -(-elements // _ROW) * _ROW)
    scratch = torch.empty(block, dtype=dtype, device=x_recon.device)
    row_sums = []
    for piece in _pieces(block, x_recon, x, mask):
        size = piece[0].numel()
        _write_squares(scratch[:size].view(piece[0].shape), *piece)
        filled = -(-size // _ROW) * _ROW
        scratch[size:filled].zero_()
        row_sums.append(scratch[:filled].view(-1, _ROW).sum(1))
    return torch.cat(row_sums).sum(dtype=torch.float64).to(dtype)


def count(mask: Tensor) -> Tensor:
    """The number of True in a mask, 0-d, int64."""
    return torch.count_nonzero(mask)


def gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """2 (x_recon - x) · mask · scale, and its negation for x, each in its dtype and if wanted."""
    dtype = scale.dtype
    found = [torch.empty_like(t) if w else None for t, w in zip((x_recon, x), wanted, strict=True)]
    block = _SCRATCH_BYTES // dtype.itemsize
    if x_recon.dtype == x.dtype == dtype:
        first, second = (x_recon, x) if wanted[0] else (x, x_recon)
        outputs = [t for t in found if t is not None]
        for a, b, m, gradient, *negated in _pieces(block, first, second, mask, *outputs):
            _mse_loss_backward(scale, a, b, _SUM, grad_input=gradient)
            gradient.view(_BITS[dtype]).mul_(m)
            if negated:
                torch.neg(gradient, out=negated[0])
        return found[0], found[1]
    scratch = torch.empty(min(block, x_recon.numel()), dtype=dtype, device=x_recon.device)
    for a, b, m, *outputs in _pieces(block, x_recon, x, mask, *(t for t in found if t is not None)):
        gradient = scratch[: a.numel()].view(a.shape)
        gradient.copy_(a).sub_(b).mul_(scale).mul_(2)
        gradient.view(_BITS[dtype]).mul_(m)
        if wanted[0]:
            outputs[0].copy_(gradient)
        if wanted[1]:
            outputs[-1].copy_(gradient.neg_())
    return found[0], found[1]


def _result_dtype(x_recon: Tensor, x: Tensor) -> torch.dtype:
    double = x_recon.dtype == torch.float64 or x.dtype == torch.float64
    return torch.float64 if double else torch.float32


def _write_squares(squares: Tensor, x_recon: Tensor, x: Tensor, mask: Tensor) -> None:
    """(x_recon - x)² where masked, +0.0 elsewhere."""
    if x_recon.dtype == x.dtype == squares.dtype:
        _mse_loss(x_recon, x, _NO_REDUCTION, out=squares)
    else:
        squares.copy_(x_recon).sub_(x).square_()
    squares.view(_BITS[squares.dtype]).mul_(mask)


def _pieces(block: int, *tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Views of at most `block` elements that together cover the tensors, cut alike from all."""
    if tensors[0].numel() <= block:
        return (tensors,)
    if tensors[0].stride(0) < tensors[0].stride(1):
        tensors = tuple(t.t() for t in tensors)
    if all(t.is_contiguous() for t in tensors):
        return zip(*(t.view(-1).split(block) for t in tensors), strict=True)
    columns = tensors[0].shape[1]
    stripes = zip(*(t.split(min(block, columns), dim=1) for t in tensors), strict=True)
    rows = max(block // columns, 1)
    return (
        piece
        for stripe in stripes
        for piece in zip(*(t.split(rows) for t in stripe), strict=True)
    )
