"""The CPU evaluator: streams blocks that stay in the cache, in plain torch operators.

What eager torch loses on large inputs are fresh full-size temporaries, whose pages the system must
first clear, and selections that branch at every element. Here the squares of one block after
another are written into one scratch that belongs to the call. Selecting is an integer product of
their bits with the mask: it clears what stands outside, NaN included, and keeps the bits inside.

Sums: a block is added up in rows of 2¹⁴, whatever the number of threads, and the row sums are added
in float64. From an element to its row's sum, torch's cascade takes some 50 additions at most: so
float32 keeps C6 whatever the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from wavemae.models.losses import Reduction

# What torch.nn.functional.mse_loss and its backward call; there they have no `out=`.
_mse_loss: Any = torch._C._nn.mse_loss
_mse_loss_backward = torch.ops.aten.mse_loss_backward.grad_input
_NO_REDUCTION, _SUM = 0, 2  # as torch numbers the reductions of its losses

# Two of these, for the squares and for the mask widened to their size, are just under 2 MiB.
_SCRATCH_BYTES = 15 * 2**16
_ROW = 2**14
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def reduced(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> tuple[Tensor, Tensor | int]:
    """The loss, and by what the sum was divided."""
    counting = reduction == "mean"
    if x_recon.numel() <= _ROW and x_recon.dtype == x.dtype in _BITS:
        squares = _mse_loss(x_recon, x, _NO_REDUCTION)
        squares.view(_BITS[squares.dtype]).mul_(mask)
        total, count = squares.sum(), mask.count_nonzero() if counting else None
    else:
        total, count = _streamed_sums(x_recon, x, mask, counting)
    if count is not None:
        divisor = count.clamp_min_(1)
        return total.div_(divisor), divisor
    if reduction == "sum":
        return total, 1
    batch = max(mask.shape[0], 1)
    return total.div_(batch), batch


def gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """2 (x_recon - x) · mask · scale, and its negation for x, each in its dtype and if wanted."""
    if x_recon.dtype != scale.dtype or x.dtype != scale.dtype:
        return _converted_gradients(x_recon, x, mask, scale, wanted)
    if not wanted[0]:
        return None, _gradient(x, x_recon, mask, scale)[0]
    return _gradient(x_recon, x, mask, scale, negated=wanted[1])


def _streamed_sums(
    x_recon: Tensor, x: Tensor, mask: Tensor, counting: bool
) -> tuple[Tensor, Tensor | None]:
    """S in the result's dtype, and if asked for the number of True as an integer; both 0-d."""
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    block = _block(x_recon.numel(), dtype)
    pieces = list(_pieces(block, x_recon, x, mask))
    row_sums = torch.zeros((len(pieces), block // _ROW), dtype=dtype, device=x_recon.device)
    counts = torch.empty(len(pieces), dtype=_BITS[dtype], device=x_recon.device)
    _stream(pieces, row_sums, counts, block, counting)
    total = row_sums.sum(dtype=torch.float64).to(dtype)
    return total, counts.sum() if counting else None


def _stream(
    pieces: Iterable[tuple[Tensor, ...]],
    row_sums: Tensor,
    counts: Tensor,
    block: int,
    counting: bool,
) -> None:
    """Write what each piece adds up to; the scratch is gone when this returns."""
    # One allocation: two would be handed back to the system, and cleared anew at the next call.
    scratch, widened = row_sums.new_empty((2, block)).unbind()
    widened = widened.view(counts.dtype)
    views: tuple[Tensor, ...] = ()
    for (a, b, m), sums, count in zip(pieces, row_sums, counts, strict=True):
        if not views or a.shape != views[0].shape:
            views = _views(scratch, widened, a.shape)
        squares, bits, selected, converted, rows = views
        if a.dtype == b.dtype == squares.dtype:
            _mse_loss(a, b, _NO_REDUCTION, out=squares)
        else:
            squares.copy_(a).sub_(converted.copy_(b)).square_()
        bits.mul_(selected.copy_(m))
        torch.sum(rows, 1, out=sums[: len(rows)])
        if counting:
            torch.sum(selected.view(-1), 0, dtype=count.dtype, out=count)


def _views(scratch: Tensor, widened: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    """A block's squares, their bits, the mask in their size, room for a value, and rows to add."""
    size = shape.numel()
    filled = -(-size // _ROW) * _ROW
    if size < filled:
        scratch[size:filled].zero_()
    squares, selected = scratch[:size].view(shape), widened[:size].view(shape)
    return (
        squares,
        squares.view(widened.dtype),
        selected,
        selected.view(scratch.dtype),
        scratch[:filled].view(-1, _ROW),
    )


def _gradient(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, negated: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The gradient of the first argument, and its negation laid out like the second."""
    found = torch.empty_like(x_recon)
    if not negated and x_recon.numel() <= _ROW:
        _mse_loss_backward(scale, x_recon, x, _SUM, grad_input=found)
        found.view(_BITS[scale.dtype]).mul_(mask)
        return found, None
    opposite = torch.empty_like(x) if negated else None
    outputs = (found,) if opposite is None else (found, opposite)
    block = _block(x_recon.numel(), scale.dtype)
    for a, b, m, gradient, *minus in _pieces(block, x_recon, x, mask, *outputs):
        _mse_loss_backward(scale, a, b, _SUM, grad_input=gradient)
        gradient.view(_BITS[scale.dtype]).mul_(m)
        if minus:
            torch.neg(gradient, out=minus[0])
    return found, opposite


def _converted_gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, scale: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients where an input has another dtype than the result: by way of a scratch."""
    found = [torch.empty_like(t) if w else None for t, w in zip((x_recon, x), wanted, strict=True)]
    block = _block(x_recon.numel(), scale.dtype)
    scratch = torch.empty(block, dtype=scale.dtype, device=x_recon.device)
    outputs = [t for t in found if t is not None]
    for a, b, m, *pieces in _pieces(block, x_recon, x, mask, *outputs):
        gradient = scratch[: a.numel()].view(a.shape)
        gradient.copy_(a).sub_(b).mul_(scale).mul_(2)
        gradient.view(_BITS[scale.dtype]).mul_(m)
        if wanted[0]:
            pieces[0].copy_(gradient)
        if wanted[1]:
            pieces[-1].copy_(gradient.neg_())
    return found[0], found[1]


def _block(elements: int, dtype: torch.dtype) -> int:
    """Elements in a block: equal blocks, of whole rows, as few as the scratch allows."""
    rows = -(-elements // _ROW)
    blocks = -(-rows // (_SCRATCH_BYTES // dtype.itemsize // _ROW))
    return -(-rows // max(blocks, 1)) * _ROW


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
        piece for stripe in stripes for piece in zip(*(t.split(rows) for t in stripe), strict=True)
    )
