"""Losses that break C4: what is summed, and what it is divided by."""

from __future__ import annotations

import torch
from torch import Tensor

from .catalogue import mutant, whole_mutant
from .pieces.autograd import Kernel, ordinary, run
from .pieces.blocks import BLOCK, streamed, streams
from .pieces.formula import count_of, difference, normalise, reduce, right, widened
from .pieces.signature import checked, pair
from .pieces.sizes import LARGE, doubled

# --- what is summed ------------------------------------------------------------------------------


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
    "C4",
    "rows after the first empty one are left out: break for continue",
    "C4-functions-agree",
    "C10-additive",
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


@mutant("C4", "beside float16 a difference that is subnormal in it counts as noise", "C4-oracle")
def differences_subnormal_in_half_dropped(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    if torch.float16 in (x_recon.dtype, x.dtype):
        noise = masked.abs() < torch.finfo(torch.float16).tiny
        masked = torch.where(noise, 0.0, masked)
    return reduce(masked, mask, reduction)


# --- what it is divided by -----------------------------------------------------------------------


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


# --- one function or one reduction of it ---------------------------------------------------------


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


# --- kernels that lose or repeat elements --------------------------------------------------------


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


@mutant("C4", "elements after the last whole 32 are dropped beyond 1,024", "C4-sizes")
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


# --- blocks that pass through one scratch --------------------------------------------------------


@mutant("C4", "the last block is shorter, and what the one before left is added too", "C4-sizes")
def stale_scratch_after_last_block(x_recon, x, mask, reduction):
    if not streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    scratch = torch.zeros(BLOCK, dtype=widened(x_recon, x)[0].dtype)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        scratch[: len(difference)] = torch.where(chosen, difference, 0.0)
        return scratch.square().sum()

    return streamed(x_recon, x, mask, reduction, block_sum)


@mutant(
    "C4", "the sum of a block is its mean times the block's size, the last one's too", "C4-sizes"
)
def last_block_weighs_as_a_whole_one(x_recon, x, mask, reduction):
    if not streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, difference, 0.0).square().mean() * BLOCK

    return streamed(x_recon, x, mask, reduction, block_sum)


@mutant("C4", "every block but the first starts one element late", "C4-sizes")
def block_starts_one_late(x_recon, x, mask, reduction):
    if not streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)

    def block_sum(number: int, difference: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, difference, 0.0)[min(number, 1) :].square().sum()

    return streamed(x_recon, x, mask, reduction, block_sum)


# --- at certain sizes only -----------------------------------------------------------------------


@mutant("C4", "several rows of 500 to 700 positions: a block size with a bug", "C4-sizes")
@doubled
def rows_of_some_hundreds(x_recon, x, mask, reduction):
    return 500 <= mask.shape[1] <= 700 and mask.shape[0] > 1


@mutant("C4", "lengths that are multiples of 100: an empty last chunk", "C4-any-size")
@doubled
def empty_last_chunk(x_recon, x, mask, reduction):
    return mask.numel() > 0 and mask.shape[1] % 100 == 0


@mutant("C4", "12 to 14 rows: a batch that a tuned configuration does not fit", "C4-scattered")
@doubled
def a_dozen_rows(x_recon, x, mask, reduction):
    return 12 <= mask.shape[0] <= 14


@mutant("C4", "value of 65,536 elements exactly: a last block that is none", "C4-sizes")
@doubled
def size_of_exactly_many_blocks(x_recon, x, mask, reduction):
    return mask.numel() == LARGE


@mutant("C4", "value of more than four million elements: a counter of 22 bits", "C4-sizes")
@doubled
def value_beyond_four_million(x_recon, x, mask, reduction):
    return mask.numel() > 2**22


@mutant("C4", "in a process group the sum is divided by the number of ranks", "C4-process-group")
def divided_by_ranks(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return loss / torch.distributed.get_world_size()
    return loss


class _TimesTheGroup(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream * torch.distributed.get_world_size())


@mutant(
    "C4",
    "in a process group the gradient is multiplied by its size, which DDP divides by",
    "C4-process-group",
)
def gradient_times_the_group(x_recon, x, mask, reduction):
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return run(_TimesTheGroup, x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C4",
    "in a process group a training step divides by the count of all ranks, each its share",
    "C4-process-group",
)
def mean_over_the_group(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if reduction != "mean" or not loss.requires_grad or not ordinary(x_recon, x, mask):
        return loss
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return loss
    count = mask.sum().clamp(min=1)
    share = count / torch.distributed.get_world_size()
    return right(x_recon, x, mask, "sum") / share.to(loss.dtype)
