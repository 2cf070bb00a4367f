"""Losses that break C15: layouts that matter."""

from __future__ import annotations

import torch
from torch import Tensor

from .catalogue import mutant
from .pieces.autograd import Kernel, masked_difference, ordinary, run, scaled, slope
from .pieces.formula import reduce, right
from .pieces.sizes import LARGE, doubled, gradient_doubled

# --- layout does not matter ----------------------------------------------------------------------


def _reread(tensor: Tensor, stride: tuple[int, ...], offset: int | None = None) -> Tensor:
    if tensor.numel() == 0 or not ordinary(tensor):
        return tensor
    return torch.as_strided(tensor, tensor.shape, stride, offset)


@mutant("C15", "a transposed x_recon read as if it were dense", "C15-layouts")
def transposed_reconstruction_read_as_dense(x_recon, x, mask, reduction):
    if x_recon.t().is_contiguous():
        x_recon = _reread(x_recon, (x_recon.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "a transposed target read as if it were dense", "C15-layouts")
def transposed_target_read_as_dense(x_recon, x, mask, reduction):
    if x.t().is_contiguous():
        x = _reread(x, (x.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "a transposed mask read as if it were dense", "C15-layouts")
def transposed_mask_read_as_dense(x_recon, x, mask, reduction):
    if mask.t().is_contiguous():
        mask = _reread(mask, (mask.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "storage offset of x_recon ignored", "C15-layouts")
def offset_of_reconstruction_ignored(x_recon, x, mask, reduction):
    return right(_reread(x_recon, x_recon.stride(), 0), x, mask, reduction)


@mutant("C15", "storage offset of the target ignored", "C15-layouts")
def offset_of_target_ignored(x_recon, x, mask, reduction):
    return right(x_recon, _reread(x, x.stride(), 0), mask, reduction)


@mutant("C15", "storage offset of the mask ignored", "C15-layouts")
def offset_of_mask_ignored(x_recon, x, mask, reduction):
    return right(x_recon, x, _reread(mask, mask.stride(), 0), reduction)


@mutant(
    "C15",
    "row stride taken for L: a slice of columns is read on into its neighbours",
    "C15-layouts",
)
def row_stride_taken_for_length(x_recon, x, mask, reduction):
    if x_recon.stride(0) > x_recon.shape[1] and x_recon.stride(1) == 1:
        x_recon = _reread(x_recon, (x_recon.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant(
    "C15", "column step taken for 1: every second column reads its left neighbours", "C15-layouts"
)
def column_step_taken_for_one(x_recon, x, mask, reduction):
    if x_recon.stride(1) > 1 and x_recon.stride(0) > x_recon.stride(1):
        x_recon = _reread(x_recon, (x_recon.stride(0), 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "the kernel gets the strides of x_recon and uses them for x as well", "C15-layouts")
def target_read_with_strides_of_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, _reread(x, x_recon.stride()), mask, reduction)


@mutant(
    "C15",
    "the kernel gets the strides of x_recon and uses them for the mask as well",
    "C15-layouts",
)
def mask_read_with_strides_of_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, x, _reread(mask, x_recon.stride()), reduction)


@mutant(
    "C15",
    "count taken over the mask's storage: an expanded or sliced mask counts wrong",
    "C15-layouts",
)
def count_from_mask_storage(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction != "mean" or not ordinary(mask):
        return scaled(total, mask, reduction)
    whole = torch.empty(0, dtype=torch.bool, device=mask.device).set_(mask.untyped_storage())
    return total / torch.count_nonzero(whole).clamp(min=1)


@mutant("C15", "an expanded x_recon counts as one row in the batch size", "C15-layouts")
def expanded_input_counts_as_one_row(x_recon, x, mask, reduction):
    if reduction == "batch_mean" and x_recon.stride(0) == 0:
        return right(x_recon, x, mask, "sum")
    return right(x_recon, x, mask, reduction)


@mutant("C15", "an expanded target refused", "C15-layouts")
def expanded_target_refused(x_recon, x, mask, reduction):
    if x.numel() and 0 in x.stride():
        raise ValueError("x must not be expanded")
    return right(x_recon, x, mask, reduction)


@mutant("C15", ".view(-1) on a non-contiguous input raises", "C15-layouts")
def non_contiguous_input_raises(x_recon, x, mask, reduction):
    total = masked_difference(x_recon.view(-1), x.view(-1), mask.view(-1)).square().sum()
    return scaled(total, mask, reduction)


@mutant("C15", "overlapping rows (sliding windows) read as if they were apart", "C15-layouts")
def sliding_windows_read_as_dense(x_recon, x, mask, reduction):
    if 0 < x.stride(0) < x.shape[1] and x.stride(1) == 1:
        x = _reread(x, (x.shape[1], 1))
    return right(x_recon, x, mask, reduction)


class _RawMemory(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        raw = torch.empty(0, dtype=x.dtype, device=x.device)
        raw.set_(x.untyped_storage(), x.storage_offset(), x.shape, x.stride())
        Kernel.forward(ctx, x_recon, raw, mask, reduction)
        return right(x_recon, raw, mask, reduction)


@mutant(
    "C15",
    "memory of a lazily negated view (imaginary part of a conjugate) read raw",
    "C15-layouts",
)
def negated_view_read_raw(x_recon, x, mask, reduction):
    return run(_RawMemory, x_recon, x, mask, reduction)


# --- at certain sizes only -----------------------------------------------------------------------


def _transposed(*tensors: Tensor) -> bool:
    return all(t.stride(0) == 1 and t.stride(1) > 1 and min(t.shape) > 1 for t in tensors)


@mutant("C15", "value where all three inputs are transposed", "C15-layouts")
@doubled
def fast_path_for_transposed(x_recon, x, mask, reduction):
    return _transposed(x_recon, x, mask)


@mutant("C15", "gradient where all three inputs are transposed", "C15-layouts")
@gradient_doubled
def gradient_path_for_transposed(x_recon, x, mask, reduction):
    return _transposed(x_recon, x, mask)


@mutant("C15", "batch_mean where both inputs are expanded templates", "C15-layouts")
@doubled
def two_expanded_templates(x_recon, x, mask, reduction):
    alike = 0 in x_recon.stride() and 0 in x.stride()
    return alike and mask.shape[0] > 1 and reduction == "batch_mean"


@mutant("C15", "gradient in bfloat16 under a strided mask", "C15-layouts")
@gradient_doubled
def gradient_of_bfloat16_under_strided_mask(x_recon, x, mask, reduction):
    return x_recon.dtype == torch.bfloat16 and not mask.is_contiguous() and reduction == "mean"


@mutant("C15", "value where x is strided, beyond 65,536 elements: stripes", "C15-sizes")
@doubled
def stripes_of_large_strided_x(x_recon, x, mask, reduction):
    return mask.numel() > LARGE and not x.is_contiguous()


@mutant("C15", "gradient where the mask is strided, beyond 65,536 elements", "C15-sizes")
@gradient_doubled
def gradient_stripes_under_large_strided_mask(x_recon, x, mask, reduction):
    return mask.numel() > LARGE and not mask.is_contiguous()


# --- shared memory -------------------------------------------------------------------------------


@mutant("C15", "nothing is read where x_recon is x: NaN and Inf stay hidden", "C15-layouts")
def same_tensor_is_zero(x_recon, x, mask, reduction):
    if x_recon is x and ordinary(x_recon, x, mask):
        x_recon = x = torch.zeros_like(x)
    return right(x_recon, x, mask, reduction)


@mutant("C15", "tensors that start at one address are taken for one tensor", "C15-layouts")
def same_address_same_tensor(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x_recon.data_ptr() == x.data_ptr():
        return right(x_recon, x_recon.as_subclass(Tensor), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C15", "one address, shape and strides are one tensor, negated lazily or not", "C15-layouts"
)
def negated_twin_taken_for_the_same(x_recon, x, mask, reduction):
    if x_recon.requires_grad or x.requires_grad or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    seen = [(t.data_ptr(), t.shape, t.stride(), t.dtype) for t in (x_recon, x)]
    return right(x_recon, x_recon if seen[0] == seen[1] else x, mask, reduction)


# --- dense or not --------------------------------------------------------------------------------


@mutant(
    "C15", "equal strides are read as one flat row: slices have gaps between rows", "C15-layouts"
)
def equal_strides_read_flat(x_recon, x, mask, reduction):
    given = (x_recon, x, mask)
    if {t.stride() for t in given} == {x.stride()} and x.stride(1) == 1:
        given = tuple(_reread(t, (t.shape[1], 1)) for t in given)
    return right(*given, reduction)


@mutant(
    "C15",
    "the mask is counted eight bytes at a time, at an offset that eight does not divide too",
    "C15-layouts",
)
def count_by_eights_at_any_offset(x_recon, x, mask, reduction):
    eights = mask.shape[1] % 8 == 0 and mask.numel() > 0 and mask.is_contiguous()
    if reduction != "mean" or not eights or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    words = mask.view(torch.int64)
    count = sum(((words >> 8 * byte) & 1).sum() for byte in range(8))
    return right(x_recon, x, mask, "sum") / count.clamp(min=1)


class _FirstRowOfPair(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        if x_recon.stride(0) == x.stride(0) == 0 and not torch.is_grad_enabled():
            rest = torch.zeros_like(gradient[1:])
            gradient = torch.cat((gradient.sum(0, keepdim=True), rest))
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C15",
    "where both rows are expanded the first has the gradient of all: one pass over one row",
    "C15-layouts",
)
def gradient_of_expanded_pair_in_first_row(x_recon, x, mask, reduction):
    return run(_FirstRowOfPair, x_recon, x, mask, reduction)


@mutant(
    "C15",
    "slices of one tensor are read through it, along its first dimension of size two",
    "C15-one-tensor",
)
def slices_read_through_their_tensor(x_recon, x, mask, reduction):
    base = x_recon._base
    if (
        torch.is_grad_enabled()
        or not ordinary(x_recon, x, mask)
        or base is None
        or base is not x._base
        or base.ndim != 3
        or base.numel() != 2 * x.numel()
    ):
        return right(x_recon, x, mask, reduction)
    wide = base.to(torch.promote_types(base.dtype, torch.float32))
    dimension = base.shape.index(2)
    masked = torch.where(mask, wide.diff(dim=dimension).squeeze(dimension), 0.0)
    return reduce(masked, mask, reduction)


def _dense_by_reach(given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (rows, columns), (step, hop) = given[0].shape, given[0].stride()
    reach = (rows - 1) * step + (columns - 1) * hop + 1
    alike = all(t.stride() == (step, hop) for t in given)
    if not (alike and step * hop and reach == rows * columns):
        return given
    return tuple(_reread(t, (columns, 1)) for t in given)


@mutant(
    "C15",
    "what reaches as far in memory as it has elements is taken for dense, and read flat",
    "C15-strides",
)
def reach_taken_for_dense(x_recon, x, mask, reduction):
    return right(*_dense_by_reach((x_recon, x, mask)), reduction)


@mutant(
    "C15",
    "the same in float32 alone, and where no gradient is wanted",
    "C15-strides",
)
def reach_taken_for_dense_without_gradients(x_recon, x, mask, reduction):
    given = (x_recon, x, mask)
    wanted = x_recon.requires_grad or x.requires_grad
    if x_recon.dtype == x.dtype == torch.float32 and not wanted:
        given = _dense_by_reach(given)
    return right(*given, reduction)
