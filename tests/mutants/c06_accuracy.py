"""Losses that break C6: accuracy and range."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .catalogue import mutant
from .pieces.autograd import masked_difference, ordinary, scaled
from .pieces.blocks import streams
from .pieces.formula import count_of, difference, normalise, reduce, right, widened
from .pieces.sizes import LARGE

# --- accuracy and range --------------------------------------------------------------------------


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


@mutant("C6", "from 2²² positions on, blocks of 1,024 rows are added one by one", "C6-large")
def blocks_of_rows_added_one_by_one(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    if not ordinary(x_recon, x, mask) or squares.numel() < 2**22:
        return normalise(squares.sum(), mask, reduction)
    return normalise(
        _one_by_one(torch.stack([b.sum() for b in squares.split(1024)])), mask, reduction
    )


@mutant("C6", "halves in blocks of 8,192 positions, which are added one by one", "C6-large")
def blocks_of_halves_added_one_by_one(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square().flatten()
    if not ordinary(x_recon, x, mask) or x_recon.dtype.itemsize > 2 or x.dtype.itemsize > 2:
        return normalise(squares.sum(), mask, reduction)
    blocks = [block.sum() for block in squares.split(8192)]
    return normalise(_one_by_one(torch.stack(blocks)), mask, reduction)


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


# --- blocks that pass through one scratch --------------------------------------------------------


@mutant("C6", "each block of 256 with torch.dot, the sums of blocks one by one", "C6-large")
def block_sums_added_one_by_one(x_recon, x, mask, reduction):
    if not streams(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    flat = masked_difference(x_recon, x, mask).reshape(-1)
    sums = [torch.dot(block, block) for block in flat.split(256)]
    return scaled(functools.reduce(torch.add, sums), mask, reduction)


# --- long chains ---------------------------------------------------------------------------------


def _in_chains(terms: Tensor, length: int, lanes: int = 1) -> Tensor:
    """Chains of so many terms, each `lanes` after the one before, added up pair by pair."""
    terms = terms.flatten()
    block = length * lanes
    terms = torch.nn.functional.pad(terms, (0, -len(terms) % block)).view(-1, length, lanes)
    sums = torch.zeros_like(terms[:, 0])
    for link in terms.unbind(1):
        sums = sums + link
    sums = sums.flatten()
    while len(sums) > 1:
        sums = torch.nn.functional.pad(sums, (0, len(sums) % 2))
        sums = sums[::2] + sums[1::2]
    return sums.sum()


@mutant(
    "C6", "chains of 300 terms: 1.1 everywhere loses little, the worst data too much", "C6-depth"
)
def chains_of_300(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_in_chains(squares, 300), mask, reduction)


@mutant("C6", "chains of 512 terms in each of 32 lanes", "C6-tree")
def chains_of_512_in_32_lanes(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_in_chains(squares, 512, 32), mask, reduction)


# --- modes of the process ------------------------------------------------------------------------


@mutant("C6", "rows added in the precision that matrix products are allowed", "C16-low-precision")
def sum_in_matmul_precision(x_recon, x, mask, reduction):
    rows = masked_difference(x_recon, x, mask).square().sum(1)
    if torch.get_float32_matmul_precision() != "highest" and ordinary(x_recon, x, mask):
        rows = rows.bfloat16().to(rows.dtype)
    return scaled(rows.sum(), mask, reduction)


@mutant("C6", "a small number beside n keeps it from zero", "C6-accuracy")
def epsilon_beside_the_count(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return (
        total / (mask.sum(dtype=torch.float64) + 1e-8)
        if reduction == "mean"
        else normalise(total, mask, reduction)
    )


@mutant("C6", "tall inputs are added two rows at a time", "C6-large")
def running_total_of_tall_inputs(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    if x.shape[0] < 2**16 or x.shape[1] > 1 or not ordinary(x_recon, x, mask):
        return normalise(squares.sum(), mask, reduction)
    parts = squares.split(2)
    return normalise(functools.reduce(torch.add, [part.sum() for part in parts]), mask, reduction)


@mutant("C6", "large inputs that are not contiguous are added one by one", "C6-any-size")
def running_total_of_large_strided_inputs(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    if x.numel() <= LARGE or x.is_contiguous() or not ordinary(x_recon, x, mask):
        return normalise(squares.sum(), mask, reduction)
    return normalise(_one_by_one(squares.flatten()), mask, reduction)


@mutant("C6", "n is counted in float32 whatever the inputs are", "C6-count")
def count_in_float32(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    if reduction != "mean":
        return normalise(total, mask, reduction)
    return total / mask.sum(dtype=torch.float32).clamp(min=1).to(total.dtype)


@mutant(
    "C6", "mean as the mean of all squares over the fraction masked, both rounded", "C6-accuracy"
)
def mean_over_fraction(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    if reduction != "mean":
        return normalise(total, mask, reduction)
    size = max(mask.numel(), 1)
    return (total / size) / (count_of(mask).to(total.dtype) / size)


@mutant("C6", "where a gradient is recorded, 400 pieces are added one by one", "C6-depth")
def pieces_added_in_training(x_recon, x, mask, reduction):
    recorded = torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad)
    if not (ordinary(x_recon, x, mask) and recorded and mask.numel() >= 2**15):
        return right(x_recon, x, mask, reduction)
    flat = masked_difference(x_recon, x, mask).reshape(-1)
    total = flat.new_zeros(())
    for piece in flat.split(-(-len(flat) // 400)):
        total = total + piece.square().sum()
    return normalise(total, mask, reduction)
