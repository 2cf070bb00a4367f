"""The CUDA evaluator: Triton kernels that never read what the mask excludes.

Forward is two launches: every program adds up its share of the tiles, and one program adds the
partial sums in a fixed order, in float64, and divides. The number of partial sums depends on the
sizes alone, so a result is the same on every run. Backward is one launch, and writes each gradient
once. Rows are addressed in 64 bits, and nothing is read back to the host.

With ``TRITON_INTERPRET=1`` in the environment the same kernels run on CPU tensors.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from wavemae.models.losses import Reduction

_TILE = 4096  # elements; with 8 warps, 16 to each thread
_PARTIALS = 2048  # programs in forward, some 15 to each multiprocessor of an H100
# Products and sums are rounded one by one, as in the definition; and Triton 3.9 warns if not told.
_OPTIONS = {"num_warps": 8, "enable_fp_fusion": False}
_TRITON = {torch.float32: tl.float32, torch.float64: tl.float64}


@triton.jit
def _tile(
    tile,
    rows,
    columns,
    column_tiles,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Row and column numbers of a tile, in 64 bits, and which of them exist."""
    row = (tile // column_tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = (tile % column_tiles).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    return row, column, (row < rows) & (column < columns)


@triton.jit
def _converted(value, dtype: tl.constexpr):
    """The value in another dtype; bfloat16 is reached and left by way of float32."""
    if value.dtype == tl.bfloat16 or dtype == tl.bfloat16:
        value = value.to(tl.float32)
    return value.to(dtype)


@triton.jit
def _difference(
    x_recon,
    x,
    mask,
    recon_row,
    recon_column,
    x_row,
    x_column,
    mask_row,
    mask_column,
    row,
    column,
    inside,
    DTYPE: tl.constexpr,
):
    """x_recon - x where masked and 0 elsewhere, in the result's dtype; and where that is."""
    chosen = tl.load(mask + row * mask_row + column * mask_column, mask=inside, other=0) != 0
    a = tl.load(x_recon + row * recon_row + column * recon_column, mask=chosen, other=0.0)
    b = tl.load(x + row * x_row + column * x_column, mask=chosen, other=0.0)
    return _converted(a, DTYPE) - _converted(b, DTYPE), chosen


@triton.jit
def _partial_sums_kernel(
    x_recon,
    x,
    mask,
    recon_row,
    recon_column,
    x_row,
    x_column,
    mask_row,
    mask_column,
    sums,
    counts,
    rows,
    columns,
    column_tiles,
    tiles,
    COUNTING: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    program = tl.program_id(0)
    total = tl.zeros((ROWS, COLUMNS), DTYPE)
    counted = tl.zeros((ROWS, COLUMNS), tl.int32)
    for tile in range(program, tiles, tl.num_programs(0)):
        row, column, inside = _tile(tile, rows, columns, column_tiles, ROWS, COLUMNS)
        difference, chosen = _difference(
            x_recon,
            x,
            mask,
            recon_row,
            recon_column,
            x_row,
            x_column,
            mask_row,
            mask_column,
            row,
            column,
            inside,
            DTYPE,
        )
        total += difference * difference
        if COUNTING:
            counted += chosen.to(tl.int32)
    tl.store(sums + program, tl.sum(tl.sum(total, 1), 0))
    if COUNTING:
        tl.store(counts + program, tl.sum(tl.sum(counted.to(tl.int64), 1), 0))


@triton.jit
def _loss_kernel(
    sums,
    counts,
    loss,
    divisor,
    partials,
    batch,
    COUNTING: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    number = tl.arange(0, PARTIALS)
    there = number < partials
    total = tl.sum(tl.load(sums + number, mask=there, other=0.0).to(tl.float64), 0)
    if COUNTING:
        count = tl.maximum(tl.sum(tl.load(counts + number, mask=there, other=0), 0), 1)
        tl.store(divisor, count)
        total = total / count.to(tl.float64)
    else:
        total = total / batch
    tl.store(loss, total.to(loss.dtype.element_ty))


@triton.jit
def _gradients_kernel(
    x_recon,
    x,
    mask,
    for_recon,
    for_x,
    recon_row,
    recon_column,
    x_row,
    x_column,
    mask_row,
    mask_column,
    for_recon_row,
    for_recon_column,
    for_x_row,
    for_x_column,
    scale,
    rows,
    columns,
    column_tiles,
    RECON: tl.constexpr,
    X: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    row, column, inside = _tile(tl.program_id(0), rows, columns, column_tiles, ROWS, COLUMNS)
    difference, chosen = _difference(
        x_recon,
        x,
        mask,
        recon_row,
        recon_column,
        x_row,
        x_column,
        mask_row,
        mask_column,
        row,
        column,
        inside,
        DTYPE,
    )
    # Selected once more: an infinite upstream gradient times 0 is NaN.
    gradient = tl.where(chosen, 2 * difference * tl.load(scale), 0.0)
    if RECON:
        to = for_recon + row * for_recon_row + column * for_recon_column
        tl.store(to, _converted(gradient, for_recon.dtype.element_ty), mask=inside)
    if X:
        to = for_x + row * for_x_row + column * for_x_column
        tl.store(to, _converted(-gradient, for_x.dtype.element_ty), mask=inside)


def reduced(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> tuple[Tensor, Tensor | int]:
    """The loss, and by what the sum was divided."""
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    counting = reduction == "mean"
    batch = max(mask.shape[0], 1) if reduction == "batch_mean" else 1
    inputs = _laid_out(x_recon, x, mask)
    rows, columns, shape = _tiling(inputs[0])
    column_tiles = triton.cdiv(columns, shape[1])
    tiles = triton.cdiv(rows, shape[0]) * column_tiles
    partials = max(min(tiles, _PARTIALS), 1)
    sums = torch.empty(partials, dtype=dtype, device=x.device)
    counts = torch.empty(partials, dtype=torch.int64, device=x.device)
    loss = torch.empty((), dtype=dtype, device=x.device)
    divisor = torch.empty((), dtype=torch.int64, device=x.device)
    with torch.cuda.device_of(x):
        _partial_sums_kernel[(partials,)](
            *inputs,
            *_strides(*inputs),
            sums,
            counts,
            rows,
            columns,
            column_tiles,
            tiles,
            COUNTING=counting,
            ROWS=shape[0],
            COLUMNS=shape[1],
            DTYPE=_TRITON[dtype],
            **_OPTIONS,
        )
        _loss_kernel[(1,)](
            sums,
            counts,
            loss,
            divisor,
            partials,
            batch,
            COUNTING=counting,
            PARTIALS=_PARTIALS,
            **_OPTIONS,
        )
    return loss, divisor if counting else batch


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
    found = [torch.empty_like(t) if w else None for t, w in zip((x_recon, x), wanted, strict=True)]
    if x.numel() == 0:  # a grid cannot be empty
        return found[0], found[1]
    outputs = [x if t is None else t for t in found]  # in the place of one that is not written
    laid_out = _laid_out(x_recon, x, mask, *outputs)
    rows, columns, shape = _tiling(laid_out[0])
    column_tiles = triton.cdiv(columns, shape[1])
    with torch.cuda.device_of(x):
        _gradients_kernel[(triton.cdiv(rows, shape[0]) * column_tiles,)](
            *laid_out,
            *_strides(*laid_out),
            scale,
            rows,
            columns,
            column_tiles,
            RECON=wanted[0],
            X=wanted[1],
            ROWS=shape[0],
            COLUMNS=shape[1],
            DTYPE=_TRITON[scale.dtype],
            **_OPTIONS,
        )
    return found[0], found[1]


def _laid_out(*tensors: Tensor) -> list[Tensor]:
    """The tensors as kernels read them: one row if all are dense, or long strides first."""
    given = [t.resolve_neg() for t in tensors]
    given[2] = given[2].view(torch.uint8)
    if all(t.is_contiguous() for t in given):
        return [t.view(1, -1) for t in given]
    if given[0].stride(0) < given[0].stride(1):
        return [t.t() for t in given]
    return given


def _tiling(tensor: Tensor) -> tuple[int, int, tuple[int, int]]:
    """Rows, columns, and the shape of a tile of them."""
    rows, columns = tensor.shape
    width = min(triton.next_power_of_2(max(columns, 1)), _TILE)
    return rows, columns, (_TILE // width, width)


def _strides(*tensors: Tensor) -> list[int]:
    return [stride for t in tensors for stride in t.stride()]
