"""The CPU evaluator: streams blocks that stay in the cache, in plain torch operators.

What eager torch loses on large inputs are fresh full-size temporaries, whose pages the system must
first clear, and selections that branch at every element. Here the squares of one block after
another are written into one scratch that belongs to the call. Selecting is an integer product of
their bits with the mask: it clears what stands outside, NaN included, and keeps the bits inside.
An operator costs microseconds however little it does, so blocks are as large as 2 MiB of scratch
allow; what fits into one is done without views and pieces.

Sums: a block is added up in rows of 2¹⁴, whatever the number of threads, and the row sums are added
in float64. From an element to its row's sum, torch's cascade takes some 50 additions at most: so
float32 keeps C6 whatever the data.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from wavemae.models.losses import Reduction

from .internals import mse_loss

_mse_loss_backward = torch.ops.aten.mse_loss_backward.grad_input
_NO_REDUCTION, _SUM = 0, 2  # as torch numbers the reductions of its losses

_MOST_BYTES = 2**21  # of scratch
_ROW = 2**14
_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def reduced(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> tuple[Tensor, Tensor | int]:
    """The loss, and by what the sum was divided."""
    sums = _sums_at_once if _fit_at_once(x_recon, x) else _streamed_sums
    total, count = sums(x_recon, x, mask, reduction == "mean")
    if count is not None:
        divisor = count.clamp_min_(1)
        return total.div_(divisor), divisor
    if reduction == "sum":
        return total, 1
    batch = max(mask.shape[0], 1)
    return total.div_(batch), batch


def gradients(
    x_recon: Tensor,
    x: Tensor,
    mask: Tensor,
    upstream: Tensor,
    divisor: Tensor | int,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """2 (x_recon - x) · mask · upstream / divisor, and its negation for x, where wanted."""
    scale = upstream / divisor
    if x_recon.dtype != scale.dtype or x.dtype != scale.dtype:
        return _converted_gradients(x_recon, x, mask, scale, wanted)
    if not wanted[0]:
        return None, _gradient(x, x_recon, mask, scale)[0]
    return _gradient(x_recon, x, mask, scale, negated=wanted[1])


def _fit_at_once(x_recon: Tensor, x: Tensor) -> bool:
    """Whether the squares, and as many bytes for the mask, are little enough to be one block."""
    elements, dtype = x_recon.numel(), x_recon.dtype
    if dtype != x.dtype or dtype not in _BITS:
        return False
    return elements <= _ROW or (
        elements * dtype.itemsize <= _MOST_BYTES // 2
        and elements % _ROW == 0
        and x_recon.is_contiguous()
        and x.is_contiguous()
    )


def _sums_at_once(
    x_recon: Tensor, x: Tensor, mask: Tensor, counting: bool
) -> tuple[Tensor, Tensor | None]:
    """S and if asked for the number of True, 0-d, where all squares fit into the scratch."""
    squares = mse_loss(x_recon, x, _NO_REDUCTION)
    bits = squares.view(_BITS[squares.dtype])
    bits.mul_(mask)
    if x_recon.numel() <= _ROW:
        return squares.sum(), mask.count_nonzero() if counting else None
    total = squares.view(-1, _ROW).sum(1).sum(dtype=torch.float64).to(squares.dtype)
    return total, bits.copy_(mask).sum(dtype=bits.dtype) if counting else None


def _streamed_sums(
    x_recon: Tensor, x: Tensor, mask: Tensor, counting: bool
) -> tuple[Tensor, Tensor | None]:
    """The same for any size, in the result's dtype."""
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    # Room for the squares, for the mask widened to their size, and for the sums of the rows.
    block = _block(x_recon.numel(), (_MOST_BYTES - 2**17) // 2 // dtype.itemsize)
    pieces = list(_pieces(block, x_recon, x, mask))
    row_sums = torch.empty((len(pieces), block // _ROW), dtype=dtype, device=x_recon.device)
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
    scratch = row_sums.new_empty((2, block))
    squares, selected = scratch.unbind()
    bits, selected_bits = scratch.view(counts.dtype).unbind()
    rows, widened, shape = squares.view(-1, _ROW), selected_bits, squares.shape
    for (a, b, m), sums, count in zip(pieces, row_sums.unbind(), counts.unbind(), strict=True):
        if a.shape != shape:
            shape = a.shape
            scratch[:, shape.numel() :].zero_()
            squares, selected = (s[: shape.numel()].view(shape) for s in scratch.unbind())
            bits, selected_bits = squares.view(counts.dtype), selected.view(counts.dtype)
        if a.dtype == b.dtype == squares.dtype:
            mse_loss(a, b, _NO_REDUCTION, out=squares)
        else:
            # As it is, `copy_` loses the lazy negation of a half.
            squares.copy_(a.resolve_neg()).sub_(selected.copy_(b.resolve_neg())).square_()
        bits.mul_(selected_bits.copy_(m))
        torch.sum(rows, 1, out=sums)
        if counting:
            torch.sum(widened, 0, dtype=counts.dtype, out=count)


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
    # The product widens the block's mask, and there is no other scratch.
    block = _block(x_recon.numel(), _MOST_BYTES // scale.itemsize)
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
    block = _block(x_recon.numel(), _MOST_BYTES // 2 // scale.itemsize)
    scratch = torch.empty(block, dtype=scale.dtype, device=x_recon.device)
    outputs = [t for t in found if t is not None]
    for a, b, m, *pieces in _pieces(block, x_recon, x, mask, *outputs):
        gradient = scratch[: a.numel()].view(a.shape)
        gradient.copy_(a.resolve_neg()).sub_(b).mul_(2).mul_(scale)
        gradient.view(_BITS[scale.dtype]).mul_(m)
        if wanted[0]:
            pieces[0].copy_(gradient)
        if wanted[1]:
            pieces[-1].copy_(gradient.neg_())
    return found[0], found[1]


def _block(elements: int, most: int) -> int:
    """Elements in a block: equal blocks, of whole rows, as few as `most` elements each allow."""
    rows = -(-elements // _ROW)
    blocks = -(-rows // (most // _ROW))
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
