"""Wrong values: C4 to C10, what is summed, divided by, rounded, hidden or let through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .catalogue import mutant, whole_mutant
from .pieces import (
    checked,
    count_of,
    difference,
    inputs_dtype,
    normalise,
    pair,
    reduce,
    right,
    widened,
)

# What is summed (C4)


@mutant(
    "C4",
    "mask inverted (seen in asparagus #12, lama #146, doctr #440)",
    "C4-every-position",
    "C4-oracle",
    "C4-exhaustive",
)
def mask_inverted(x_recon, x, mask, reduction):
    return right(x_recon, x, ~mask, reduction)


@mutant("C4", "mask ignored (seen in SpectralMAE)", "C4-every-position")
def mask_ignored(x_recon, x, mask, reduction):
    return right(x_recon, x, torch.ones_like(mask), reduction)


@mutant("C4", "a tenth of the visible error is added (seen in SpectralGPT)", "C4-every-position")
def visible_term_added(x_recon, x, mask, reduction):
    visible = 0.1 * right(x_recon, x, ~mask, reduction)
    return right(x_recon, x, mask, reduction) + visible


@mutant("C4", "absolute value where the square belongs", "C4-every-position")
def absolute_for_square(x_recon, x, mask, reduction):
    return normalise(difference(x_recon, x, mask).abs().sum(), mask, reduction)


@mutant("C4", "half of the square, as a gradient is easier to write then", "C4-every-position")
def half_of_the_square(x_recon, x, mask, reduction):
    return 0.5 * right(x_recon, x, mask, reduction)


@mutant("C4", "last column dropped, an end index taken as inclusive", "C4-every-position")
def last_column_dropped(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask)[:, :-1], mask, reduction)


@mutant("C4", "the gap between first and last True of a row counts as masked", "C4-every-position")
def mask_filled_to_an_interval(x_recon, x, mask, reduction):
    begun = mask.cumsum(1) > 0
    not_over = mask.flip(1).cumsum(1).flip(1) > 0
    return right(x_recon, x, begun & not_over, reduction)


@mutant(
    "C4", "rows after the first empty one are left out: break for continue", "C4-functions-agree"
)
def stops_at_first_empty_row(x_recon, x, mask, reduction):
    reached = mask.any(1).long().cumprod(0).bool()
    return right(x_recon, x, mask & reached[:, None], reduction)


@mutant("C4", "a square mask is read transposed", "C4-functions-agree")
def square_mask_transposed(x_recon, x, mask, reduction):
    turned = mask.t() if mask.shape[0] == mask.shape[1] else mask
    return right(x_recon, x, turned, reduction)


@mutant(
    "C4",
    "scatter by column overwrites: of each column the last masked row remains",
    "C4-every-position",
)
def scatter_overwrites(x_recon, x, mask, reduction):
    last_in_column = mask & (mask.flip(0).cumsum(0).flip(0) == 1)
    return reduce(difference(x_recon, x, last_in_column), mask, reduction)


# What it is divided by (C4)


@mutant("C4", "mean over all B*L elements (seen in MONAI #4193, d2l #2076)", "C4-every-position")
def mean_over_all_elements(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, count=max(mask.numel(), 1))


@mutant("C4", "mean of the means of the rows (seen in voicebox, uni2ts)", "C4-every-position")
def mean_of_row_means(x_recon, x, mask, reduction):
    if reduction != "mean":
        return right(x_recon, x, mask, reduction)
    rows = difference(x_recon, x, mask).square().sum(1) / mask.sum(1).clamp(min=1)
    return rows.sum() / count_of(mask.any(1))


@mutant(
    "C4",
    "each row counts at least 1, also an empty one (seen in miles #2796)",
    "C4-functions-agree",
)
def count_clamped_per_row(x_recon, x, mask, reduction):
    count = mask.sum(1).clamp(min=1).sum().clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant(
    "C4", "mean divided by the count once more (seen in vit-pytorch SimMIM)", "C4-every-position"
)
def mean_normalised_twice(x_recon, x, mask, reduction):
    count = count_of(mask).square()
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C4", "epsilon 1e-5 added to the count (seen in SimMIM)", "C4-functions-agree")
def epsilon_1e5_in_count(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked, mask, reduction, count=mask.sum(dtype=masked.dtype) + 1e-5)


@mutant(
    "C4",
    "epsilon 1e-12 added to the count (seen in PyPOTS): float64, a few True show it",
    "C4-functions-agree",
)
def epsilon_1e12_in_count(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked, mask, reduction, count=mask.sum(dtype=masked.dtype) + 1e-12)


@mutant("C4", "the count is at least 2: wrong for one True only", "C4-functions-agree")
def count_at_least_two(x_recon, x, mask, reduction):
    count = torch.count_nonzero(mask).clamp(min=2)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C4", "positions with a zero difference are not counted", "C4-every-position")
def zero_difference_not_counted(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked, mask, reduction, count=count_of(masked))


@mutant("C4", "the count wraps around at 256", "C4-every-position")
def count_wraps_at_256(x_recon, x, mask, reduction):
    count = mask.sum(dtype=torch.uint8).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C4", "the count wraps around at 65,536", "C5-count")
def count_wraps_at_65536(x_recon, x, mask, reduction):
    count = (torch.count_nonzero(mask) % 65536).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C4", "batch_mean over the rows with something masked", "C4-functions-agree")
def batch_without_empty_rows(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=count_of(mask.any(1)))


@mutant("C4", "batch size from the wrong dimension, L", "C4-every-position")
def batch_size_from_length(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=max(mask.shape[1], 1))


@mutant("C4", "the shorter dimension taken as the batch: wrong for B > L", "C4-every-position")
def batch_is_the_shorter_dimension(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=max(min(mask.shape), 1))


@mutant("C4", "batch size read after squeeze(): wrong for B = 1", "C4-every-position")
def batch_size_after_squeeze(x_recon, x, mask, reduction):
    batch = max([*mask.squeeze().shape, 1][0], 1)
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=batch)


@mutant("C4", "a column (B, 1) taken as one sample: wrong for L = 1", "C4-functions-agree")
def column_taken_as_one_sample(x_recon, x, mask, reduction):
    batch = 1 if mask.shape[1] == 1 else max(mask.shape[0], 1)
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=batch)


@mutant("C4", "the short cut for a full mask knows sum and mean only", "C4-every-position")
def full_mask_forgets_batch_mean(x_recon, x, mask, reduction):
    batch = torch.where(mask.all(), max(mask.numel(), 1), max(mask.shape[0], 1))
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=batch)


@mutant(
    "C4",
    "mean of the means of chunks of 64 rows: a mean of local means",
    "C4-sizes",
    "C4-every-position",
)
def mean_of_chunk_means(x_recon, x, mask, reduction):
    if reduction != "mean":
        return right(x_recon, x, mask, reduction)
    squares = difference(x_recon, x, mask).square()
    counts = torch.stack([torch.count_nonzero(chunk) for chunk in mask.split(64)])
    means = torch.stack([chunk.sum() for chunk in squares.split(64)]) / counts.clamp(min=1)
    return means.sum() / count_of(counts)


# One function or one reduction of it (C4)


@whole_mutant("C4", "masked_sse: mean divides by B", "C4-every-position")
def sse_mean_divides_by_batch():
    def sse(x_recon, x, mask, reduction):
        return right(x_recon, x, mask, "batch_mean" if reduction == "mean" else reduction)

    return pair(checked(sse), checked(right))


@whole_mutant("C4", "masked_mse: batch_mean is the mean over the count", "C4-every-position")
def mse_batch_mean_divides_by_count():
    def mse(x_recon, x, mask, reduction):
        return right(x_recon, x, mask, "mean" if reduction == "batch_mean" else reduction)

    return pair(checked(right), checked(mse))


@whole_mutant(
    "C5", "masked_sse: the sum forgets to widen half inputs", "C5-half-range", "C5-upcast-first"
)
def sse_sum_of_halves_not_widened():
    def sse(x_recon, x, mask, reduction):
        if reduction == "sum":
            masked = torch.where(mask, x_recon - x, 0.0)
            return masked.square().sum().to(widened(x_recon, x)[0].dtype)
        return right(x_recon, x, mask, reduction)

    return pair(checked(sse), checked(right))


@whole_mutant("C7", "masked_mse: the mean of nothing is 0/0, masked_sse has the guard", "C7-empty")
def mse_mean_of_nothing_is_nan():
    def mse(x_recon, x, mask, reduction):
        masked = difference(x_recon, x, mask)
        return reduce(masked, mask, reduction, count=torch.count_nonzero(mask))

    return pair(checked(right), checked(mse))


# Kernels that lose or repeat elements (C4)


def _without_tail(masked: Tensor, width: int, above: int = 0) -> Tensor:
    """All elements in one row, without those after the last whole block of `width`."""
    flat = masked.flatten()
    return flat[: len(flat) // width * width] if len(flat) > above else flat


@mutant("C4", "elements after the last whole 4 are dropped", "C4-every-position")
def tail_of_4_dropped(x_recon, x, mask, reduction):
    return reduce(_without_tail(difference(x_recon, x, mask), 4), mask, reduction)


@mutant(
    "C4",
    "columns after the last whole 16 are dropped, once there is a whole 16",
    "C4-every-position",
)
def row_tail_of_16_dropped(x_recon, x, mask, reduction):
    length = mask.shape[1] // 16 * 16 or mask.shape[1]
    return reduce(difference(x_recon, x, mask)[:, :length], mask, reduction)


@mutant("C4", "elements after the last whole 32 are dropped beyond 1,024", "C4-every-position")
def tail_of_32_dropped_beyond_1024(x_recon, x, mask, reduction):
    return reduce(_without_tail(difference(x_recon, x, mask), 32, above=1024), mask, reduction)


@mutant("C4", "elements after the last whole 2 are dropped beyond 65,536", "C4-sizes")
def odd_element_dropped_beyond_65536(x_recon, x, mask, reduction):
    return reduce(_without_tail(difference(x_recon, x, mask), 2, above=65536), mask, reduction)


@mutant(
    "C4", "elements beyond the last whole block of 4,096 are dropped, once there is one", "C4-sizes"
)
def block_of_4096_rounded_down(x_recon, x, mask, reduction):
    return reduce(_without_tail(difference(x_recon, x, mask), 4096, above=4095), mask, reduction)


@mutant("C4", "the second grid dimension ends at 65,535: later rows are never read", "C6-large")
def rows_beyond_65535_ignored(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask)[:65535], mask, reduction)


@mutant(
    "C4",
    "a row without remainder loses its last 8: wrong for L a multiple of 8",
    "C4-every-position",
)
def last_whole_8_of_row_dropped(x_recon, x, mask, reduction):
    length = mask.shape[1]
    kept = length - 8 if length >= 8 and length % 8 == 0 else length
    return reduce(difference(x_recon, x, mask)[:, :kept], mask, reduction)


@mutant("C4", "the first element of each later block of 1,024 is counted twice", "C4-sizes")
def block_boundary_counted_twice(x_recon, x, mask, reduction):
    flat = difference(x_recon, x, mask).flatten()
    return reduce(torch.cat([flat, flat[1024::1024]]), mask, reduction)


# Dtype and shape of the result, and where halves are widened (C5)


@mutant("C5", "half inputs give a half result", "C5-result")
def result_in_half(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).to(inputs_dtype(x_recon, x))


@mutant("C5", "the result is always float64", "C5-result")
def result_always_float64(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).double()


@mutant("C5", "the result is always float32", "C5-result")
def result_always_float32(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).float()


@mutant("C5", "the result has the dtype of x_recon, widened to float32", "C5-result")
def result_dtype_from_x_recon(x_recon, x, mask, reduction):
    dtype = torch.promote_types(x_recon.dtype, torch.float32)
    return right(x_recon, x, mask, reduction).to(dtype)


@mutant("C5", "the result has the dtype of x, widened to float32", "C5-result")
def result_dtype_from_x(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).to(torch.promote_types(x.dtype, torch.float32))


@mutant("C5", "the result has shape (1,)", "C5-result")
def result_of_shape_one(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).reshape(1)


@mutant("C5", "the result is a Python float", "C5-result")
def result_is_a_float(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).item()


@mutant("C5", "all arithmetic in the promotion of the inputs, without float32", "C5-result")
def promoted_without_float32(x_recon, x, mask, reduction):
    return reduce(torch.where(mask, x_recon - x, 0.0), mask, reduction)


@mutant("C5", "widened after the subtraction", "C5-half-range")
def widened_after_subtraction(x_recon, x, mask, reduction):
    dtype = widened(x_recon, x)[0].dtype
    return reduce(torch.where(mask, x_recon - x, 0.0).to(dtype), mask, reduction)


@mutant(
    "C5", "float16 is widened, bfloat16 was forgotten: its difference is rounded", "C5-half-range"
)
def bfloat16_not_widened(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    if inputs_dtype(x_recon, x) == torch.bfloat16:
        masked = torch.where(mask, x_recon - x, 0.0).to(masked.dtype)
    return reduce(masked, mask, reduction)


@mutant("C5", "the sum is kept in half (seen in ChemoMAE; pytorch #44350)", "C5-half-range")
def sum_in_half(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return normalise(total.to(inputs_dtype(x_recon, x)).to(total.dtype), mask, reduction)


@mutant(
    "C5", "x is converted to the dtype of x_recon first: wrong where x is wider", "C5-half-range"
)
def x_rounded_to_x_recon(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x.to(x_recon.dtype).to(x.dtype), mask), mask, reduction)


@mutant(
    "C5",
    "x_recon is converted to the dtype of x first: wrong where x_recon is wider",
    "C5-half-range",
)
def x_recon_rounded_to_x(x_recon, x, mask, reduction):
    return reduce(difference(x_recon.to(x.dtype).to(x_recon.dtype), x, mask), mask, reduction)


@mutant("C5", "the count sticks in half at 256 or 2,048 (seen in pytorch #92164)", "C5-count")
def count_in_half(x_recon, x, mask, reduction):
    count = mask.sum(dtype=inputs_dtype(x_recon, x)).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C5", "the factor 1/n or 1/B is rounded to the inputs' dtype", "C5-half-range")
def factor_in_half(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    one = torch.ones((), dtype=masked.dtype, device=masked.device)
    factor = normalise(one, mask, reduction).to(inputs_dtype(x_recon, x))
    return masked.square().sum() * factor


# Accuracy and range (C6)


def _one_by_one(terms: Tensor, lanes: int = 1) -> Tensor:
    """The sum of `terms` in their order and their dtype, `lanes` sums side by side."""
    lane = torch.arange(len(terms), device=terms.device) % lanes
    zeros = torch.zeros(lanes, dtype=terms.dtype, device=terms.device)
    return zeros.index_add(0, lane, terms).sum()


@mutant("C6", "added one by one (seen in pytorch #8710)", "C6-large")
def added_one_by_one(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_one_by_one(squares.flatten()), mask, reduction)


@mutant("C6", "added one by one in 16 lanes of a vector register", "C6-large")
def added_in_16_lanes(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_one_by_one(squares.flatten(), lanes=16), mask, reduction)


@mutant("C6", "the sums of the rows are added one by one: many rows show it", "C6-large")
def rows_added_one_by_one(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_one_by_one(squares.sum(1)), mask, reduction)


@mutant("C6", "float64 is added one by one, as if it had roundoffs to spare", "C6-large")
def float64_added_one_by_one(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    float64 = squares.dtype == torch.float64
    total = _one_by_one(squares.flatten()) if float64 else squares.sum()
    return normalise(total, mask, reduction)


@mutant("C6", "torch.dot of the difference with itself", "C6-large")
def dot_with_itself(x_recon, x, mask, reduction):
    flat = difference(x_recon, x, mask).flatten()
    return normalise(torch.dot(flat, flat), mask, reduction)


@mutant("C6", "the square of linalg.vector_norm", "C6-large")
def norm_squared(x_recon, x, mask, reduction):
    norm = torch.linalg.vector_norm(difference(x_recon, x, mask))
    return normalise(norm.square(), mask, reduction)


@mutant("C6", "the square expanded into r*r - 2*r*x + x*x: cancellation", "C6-offset")
def square_expanded(x_recon, x, mask, reduction):
    r, t = (torch.where(mask, values, 0.0) for values in widened(x_recon, x))
    total = (r.square() - 2 * r * t + t.square()).sum()
    return normalise(total, mask, reduction)


@mutant(
    "C6",
    "float64 inputs are computed in float32 and the result converted back",
    "C6-extremes",
    "C6-overflow",
)
def float32_inside(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked.float(), mask, reduction).to(masked.dtype)


@mutant(
    "C6", "differences rounded to bfloat16, as tensor cores round their operands", "C6-extremes"
)
def operands_rounded_as_in_tensor_cores(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked.to(torch.bfloat16).to(masked.dtype), mask, reduction)


@mutant("C6", "1.0 / count is a float32 tensor, also for float64 inputs", "C6-offset")
def reciprocal_of_count_in_float32(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction == "mean":
        return total * count_of(mask).to(torch.float32).reciprocal()
    return normalise(total, mask, reduction)


@mutant("C6", "a square below the normal range is flushed to zero", "C13-second-order")
def subnormal_squares_flushed(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    subnormal = squares < torch.finfo(squares.dtype).tiny
    return normalise(torch.where(subnormal, 0.0, squares).sum(), mask, reduction)


@mutant("C6", "subnormal float16 inputs are read as zero", "C11-negation")
def subnormal_halves_read_as_zero(x_recon, x, mask, reduction):
    def read(values: Tensor) -> Tensor:
        tiny = torch.finfo(values.dtype).tiny if values.dtype == torch.float16 else 0.0
        return torch.where(values.abs() < tiny, 0.0, values)

    return right(read(x_recon), read(x), mask, reduction)


@mutant("C6", "a sum that overflows is reported as 0 (seen in neuralforecast #72)", "C6-extremes")
def overflow_reported_as_zero(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    total = masked.square().sum()
    overflow = total.isinf() & masked.isfinite().all()
    return normalise(torch.where(overflow, 0.0, total), mask, reduction)


@mutant("C6", "a sum that overflows saturates at the largest number", "C6-extremes")
def overflow_saturates(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return normalise(total.clamp(max=torch.finfo(total.dtype).max), mask, reduction)


@mutant("C6", "a compensated sum turns an infinite or overflowing sum into NaN", "C6-extremes")
def compensation_turns_infinity_into_nan(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square().flatten()
    half = len(squares) // 2
    a, b = squares[:half].sum(), squares[half:].sum()
    total = a + b
    rest = total - a
    return normalise(total + ((a - (total - rest)) + (b - rest)), mask, reduction)


# Nothing masked (C7)


@mutant("C7", "the mean of nothing is 0/0 (seen in MAE, scGPT; pytorch #50224)", "C7-empty")
def mean_of_nothing_is_nan(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(masked, mask, reduction, count=torch.count_nonzero(mask))


@mutant("C7", "batch_mean of B = 0 is 0/0", "C7-empty")
def batch_mean_of_no_rows_is_nan(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask), mask, reduction, batch=mask.shape[0])


@mutant("C7", "the mean by way of Tensor.mean(): NaN for B = 0 or L = 0", "C7-empty")
def mean_of_no_elements_is_nan(x_recon, x, mask, reduction):
    if reduction != "mean":
        return right(x_recon, x, mask, reduction)
    return difference(x_recon, x, mask).square().mean() * mask.numel() / count_of(mask)


@mutant("C7", "reshape(B, -1) raises for B = 0", "C7-empty")
def no_rows_crash(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).reshape(mask.shape[0], -1), mask, reduction)


@mutant("C7", "reshape(-1, L) raises for L = 0", "C7-empty")
def no_columns_crash(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).reshape(-1, mask.shape[1]), mask, reduction)


@mutant("C7", "minus the sum of -d*d: a zero loss is -0.0", "C7-empty")
def negative_zero(x_recon, x, mask, reduction):
    total = -(-difference(x_recon, x, mask).square()).sum()
    return normalise(total, mask, reduction)


@mutant(
    "C7", "the connected zero is x_recon.sum() * 0: NaN or -0.0 by what x_recon holds", "C7-empty"
)
def zero_from_the_sum_of_x_recon(x_recon, x, mask, reduction):
    zero = widened(x_recon, x)[0].sum() * 0.0
    return torch.where(mask.any(), right(x_recon, x, mask, reduction), zero)


@mutant(
    "C7",
    "nothing masked: a fresh leaf, the graph is cut (seen in biotrainer)",
    "C12-excluded-gradient",
    "C13-forward-mode",
)
def fresh_leaf_for_nothing(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss if mask.any() else torch.zeros_like(loss, requires_grad=True)


@mutant("C7", "nothing masked: a Python float", "C5-result", "C13-into-grad")
def float_for_nothing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction) if mask.any() else 0.0


@mutant("C7", "nothing masked: all positions count instead", "C7-empty")
def all_positions_for_nothing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask | ~mask.any(), reduction)


@mutant(
    "C7",
    "the epsilon for an empty mask is 0 in half precision (seen in pylate #239)",
    "C13-second-order",
    "C13-forward-mode",
)
def epsilon_vanishes_in_half(x_recon, x, mask, reduction):
    epsilon = torch.tensor(1e-8, dtype=inputs_dtype(x_recon, x), device=mask.device)
    count = torch.where(mask.any(), count_of(mask).to(widened(x_recon, x)[0].dtype), epsilon)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


# What stands outside the mask (C8)


@mutant(
    "C8", "multiplied by the mask after squaring (seen in MAE and its family)", "C8-excluded-value"
)
def multiplied_by_mask_after_squaring(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return normalise(((r - t).square() * mask).sum(), mask, reduction)


@mutant(
    "C8",
    "x is selected, x_recon multiplied: NaN and Inf in x_recon come through",
    "C8-excluded-value",
)
def x_recon_multiplied_by_mask(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return reduce(r * mask - torch.where(mask, t, 0.0), mask, reduction)


@mutant(
    "C8", "x_recon is selected, x multiplied: NaN and Inf in x come through", "C8-excluded-value"
)
def x_multiplied_by_mask(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    return reduce(torch.where(mask, r, 0.0) - t * mask, mask, reduction)


@mutant("C8", "NaN outside the mask is cleared, Inf is multiplied by 0", "C8-excluded-value")
def excluded_infinity_comes_through(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    cleared = torch.where(~mask & (r - t).isnan(), 0.0, r - t)
    return reduce(cleared * mask, mask, reduction)


@mutant(
    "C8",
    "a finite difference outside the mask is squared, 1e30 overflows (keras #6825)",
    "C8-excluded-value",
)
def excluded_square_overflows(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    cleared = torch.where(mask | (r - t).isfinite(), r - t, 0.0)
    return normalise((cleared.square() * mask).sum(), mask, reduction)


@mutant(
    "C8", "every NaN of x is taken off the count, masked or not", "C11-oracle", "C12-excluded-sizes"
)
def excluded_nan_taken_off_the_count(x_recon, x, mask, reduction):
    count = (torch.count_nonzero(mask) - x.isnan().sum()).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C8", "a row with a NaN anywhere in x is left out", "C8-excluded-value")
def row_with_nan_left_out(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x.isnan().any(1, keepdim=True), reduction)


def _scaled(masked: Tensor, largest_of: Tensor, mask: Tensor, reduction: str) -> Tensor:
    """The loss of `masked`, scaled by the largest of some values so that no square overflows."""
    largest = functional.pad(largest_of.detach().abs().flatten(), (0, 1)).amax()
    scale = torch.where(largest > 0, largest, 1.0)
    return normalise((masked / scale).square().sum() * scale * scale, mask, reduction)


@mutant(
    "C8", "scaled by the largest finite difference, outside the mask included", "C8-excluded-value"
)
def scaled_by_largest_of_all(x_recon, x, mask, reduction):
    r, t = widened(x_recon, x)
    finite = (r - t).nan_to_num(0.0, 0.0, 0.0)
    return _scaled(difference(x_recon, x, mask), finite, mask, reduction)


# What is hidden inside the mask (C9)


@mutant("C9", "nan_to_num on the sum (seen in BasicTS)", "C9-non-finite")
def nan_to_num_on_the_sum(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return normalise(total.nan_to_num(), mask, reduction)


@mutant("C9", "nan_to_num on the inputs", "C9-non-finite")
def nan_to_num_on_the_inputs(x_recon, x, mask, reduction):
    return right(x_recon.nan_to_num(), x.nan_to_num(), mask, reduction)


@mutant("C9", "NaN in x means missing (seen in Graph-WaveNet, DCRNN)", "C9-non-finite")
def nan_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x.isnan(), reduction)


@mutant("C9", "NaN in x_recon means missing", "C9-non-finite")
def nan_in_x_recon_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~x_recon.isnan(), reduction)


@mutant("C9", "infinite differences are skipped, NaN is shown", "C9-non-finite")
def infinite_differences_skipped(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(torch.where(masked.isinf(), 0.0, masked), mask, reduction)


@mutant(
    "C9",
    "equal inputs differ by 0, Inf minus Inf too",
    "C13-second-order",
    "C13-reverse-over-forward",
)
def infinity_minus_itself_is_zero(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask & (x_recon != x)), mask, reduction)


@mutant("C9", "scaled by the largest masked difference: Inf / Inf is NaN", "C9-non-finite")
def scaled_by_largest(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return _scaled(masked, masked, mask, reduction)


@mutant("C9", "squares clamped at 1e6, against outliers", "C9-non-finite")
def squares_clamped(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(squares.clamp(max=1e6).sum(), mask, reduction)


@mutant("C9", "0 in x means missing (seen in BasicTS, DCRNN)", "C9-sentinels")
def zero_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != 0), reduction)


@mutant("C9", "-1 in x means missing", "C9-sentinels")
def minus_one_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != -1), reduction)


@mutant(
    "C9",
    "-100 in x means missing, the ignore_index of cross_entropy (seen in biotrainer)",
    "C9-sentinels",
)
def minus_hundred_in_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & (x != -100), reduction)


@mutant("C9", "x of 1e4 and more is a saturated detector and means missing", "C9-non-finite")
def saturated_x_is_missing(x_recon, x, mask, reduction):
    return right(x_recon, x, mask & ~(x >= 1e4), reduction)


# Sign, zero, symmetry, invariances (C10)


@mutant("C10", "differences below 1e-6 count as noise", "C10-scaling")
def small_differences_dropped(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    return reduce(torch.where(masked.abs() < 1e-6, 0.0, masked), mask, reduction)


@mutant(
    "C10",
    "1e-8 added to the loss, so that a logarithm of it exists",
    "C10-zero",
    "C10-permutation",
    "C10-additive",
)
def constant_added(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction) + 1e-8


@mutant("C10", "negative differences are cut off, as in unsigned arithmetic", "C10-symmetric")
def negative_differences_dropped(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x, mask).clamp(min=0), mask, reduction)


@mutant("C10", "later rows weigh more, with weights of mean 1", "C10-zero")
def later_rows_weigh_more(x_recon, x, mask, reduction):
    rows = difference(x_recon, x, mask).square().sum(1)
    weight = torch.arange(1, len(rows) + 1, dtype=rows.dtype, device=rows.device)
    return normalise((rows * weight).sum() * (2 / (len(rows) + 1)), mask, reduction)
