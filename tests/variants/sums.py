"""Right in other orders of addition and of division."""

from __future__ import annotations

import torch
from torch.nn import functional

from .catalogue import divided, masked_difference, result_dtype, variant, whole, widened


@variant
def accumulated_in_float64(x_recon, x, mask, reduction):
    """Everything in float64, rounded once at the end."""
    dtype = result_dtype(x_recon, x)
    difference = torch.where(mask, x_recon.double() - x.double(), 0.0)
    return divided(difference.square().sum(), mask, reduction).to(dtype)


@variant
def rows_then_total(x_recon, x, mask, reduction):
    """One sum per row, then the sum of those."""
    squares = masked_difference(x_recon, x, mask).square()
    return divided(squares.sum(dim=1).sum(), mask, reduction)


@variant
def columns_then_total(x_recon, x, mask, reduction):
    """One sum per column, then the sum of those, in float64."""
    squares = masked_difference(x_recon, x, mask).square()
    total = squares.sum(dim=0, dtype=torch.float64).sum().to(squares.dtype)
    return divided(total, mask, reduction)


@variant
def summed_in_reverse(x_recon, x, mask, reduction):
    """Rows and columns flipped before the sum: other last bits."""
    squares = masked_difference(x_recon, x, mask).square()
    return divided(squares.flip(0, 1).sum(), mask, reduction)


@variant
def summed_transposed(x_recon, x, mask, reduction):
    """The transposed problem, made contiguous."""
    squares = masked_difference(x_recon.t(), x.t(), mask.t()).square()
    return divided(squares.contiguous().sum(), mask, reduction)


@variant(distributed=False)  # DTensor mixes with no plain tensor
def even_and_odd_columns(x_recon, x, mask, reduction):
    """Two interleaved halves, summed apart."""
    squares = masked_difference(x_recon, x, mask).square()
    even = torch.arange(mask.shape[1], device=mask.device) % 2 == 0
    total = torch.where(even, squares, 0.0).sum() + torch.where(even, 0.0, squares).sum()
    return divided(total, mask, reduction)


@variant
def added_with_addcmul(x_recon, x, mask, reduction):
    """The product of the difference with itself, by addcmul on zeros."""
    difference = masked_difference(x_recon, x, mask)
    squares = torch.addcmul(torch.zeros_like(difference), difference, difference)
    return divided(squares.sum(), mask, reduction)


@variant
def operands_swapped(x_recon, x, mask, reduction):
    """x - x_recon: the square does not care."""
    return divided(masked_difference(x, x_recon, mask).square().sum(), mask, reduction)


# --- how it is scaled ----------------------------------------------------------------------------


@variant
def multiplied_by_reciprocal(x_recon, x, mask, reduction):
    """1/n rounded first, then multiplied: one more rounding, and no division of the sum."""
    total = masked_difference(x_recon, x, mask).square().sum()
    if reduction == "mean":
        return total * mask.sum().clamp(min=1).to(total.dtype).reciprocal()
    if reduction == "batch_mean":
        return total * (1 / max(mask.shape[0], 1))
    return total


@variant
def counted_as_float_sum(x_recon, x, mask, reduction):
    """The count as a float64 sum of ones, the empty mask caught by where on the count."""
    total = masked_difference(x_recon, x, mask).square().sum()
    if reduction != "mean":
        return divided(total, mask, reduction)
    count = mask.sum(dtype=torch.float64)
    return total / torch.where(count == 0, torch.ones_like(count), count).to(total.dtype)


@variant
def empty_mask_selected_at_the_end(x_recon, x, mask, reduction):
    """A count of 0 divides by 1 and the whole loss is then selected."""
    loss = divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    return torch.where(mask.any(), loss, 0.0 * loss)


# --- scaled, split -------------------------------------------------------------------------------


@variant
def scaled_by_a_power_of_two(x_recon, x, mask, reduction):
    """Float32 differences times 1/4 in float64, squared, times 16: nothing is rounded by it."""
    difference = masked_difference(x_recon, x, mask)
    factor = 0.25 if difference.dtype == torch.float32 else 1.0
    total = (factor * difference.double()).square().sum() / factor**2
    return divided(total, mask, reduction).to(difference.dtype)


@variant(distributed=False)  # DTensor flattens no uneven shards
def flat_and_padded(x_recon, x, mask, reduction):
    """Flattened and padded with zeros, as a blocked kernel would."""
    squares = masked_difference(x_recon, x, mask).square().reshape(-1)
    return divided(functional.pad(squares, (0, 7)).sum(), mask, reduction)


@variant(distributed=False)  # DTensor flattens no uneven shards
def in_chunks(x_recon, x, mask, reduction):
    """The sums of chunks of 256, added up in float64; one sum in a graph with dynamic sizes."""
    squares = masked_difference(x_recon, x, mask).square().reshape(-1)
    if torch.compiler.is_compiling():  # whether there is one chunk or more is not to be asked
        return divided(squares.sum(), mask, reduction)
    chunks = functional.pad(squares, (0, -squares.numel() % 256)).reshape(-1, 256)
    total = chunks.sum(1).sum(dtype=torch.float64).to(squares.dtype)
    return divided(total, mask, reduction)


@variant
def divided_before_the_sum(x_recon, x, mask, reduction):
    """Every square divided by n or B, in float64, and then added up."""
    squares = masked_difference(x_recon, x, mask).square().double()
    return divided(squares, mask, reduction).sum().to(result_dtype(x_recon, x))


@variant
def expanded_in_float64(x_recon, x, mask, reduction):
    """a² - 2ab + b², which is exact enough where all three products are: in float64."""
    a, b = (t.double() for t in whole(x_recon, x))
    (mask,) = whole(mask)
    difference = torch.where(mask, a - b, 0.0)
    dtype = result_dtype(x_recon, x)
    if dtype == torch.float64:
        return divided(difference.square().sum(), mask, reduction)
    fine = mask & difference.isfinite()
    a, b = torch.where(fine, a, 0.0), torch.where(fine, b, 0.0)
    rest = torch.where(fine, 0.0, difference).square()
    total = (a * a - 2.0 * a * b + b * b + rest).sum()
    return divided(total, mask, reduction).to(dtype)


@variant(compile=False, roundoffs=40)  # how often it is folded is a Python number
def folded_in_halves(x_recon, x, mask, reduction):
    """A tree of additions written out, over reversed positions, and no operator that reduces."""
    x_recon, x, mask = whole(x_recon, x, mask)
    terms = masked_difference(x_recon, x, mask).square().reshape(-1).flip(0)
    if terms.numel() == 0:
        return divided(terms.sum(), mask, reduction)
    while terms.numel() > 1:
        half = terms.numel() // 2
        terms = torch.cat((terms[:half] + terms[half : 2 * half], terms[2 * half :]))
    return divided(terms.reshape(()), mask, reduction)


@variant
def dot_in_float64(x_recon, x, mask, reduction):
    """The column-wise difference times itself; neither autocast nor precision touches float64."""
    x_recon, x, mask = whole(x_recon, x, mask)
    difference = torch.where(mask, x_recon.double() - x.double(), 0.0).t()
    dtype = result_dtype(x_recon, x)
    flat = difference.reshape(-1)
    total = difference.square().sum() if dtype == torch.float64 else torch.dot(flat, flat)
    return divided(total, mask, reduction).to(dtype)


@variant
def scattered_to_the_front(x_recon, x, mask, reduction):
    """Running counts make a permutation; the first n after it are squared: nothing is read back."""
    x_recon, x, mask = whole(x_recon, x, mask)
    difference = torch.sub(*widened(x_recon, x)).reshape(-1)
    flat = mask.reshape(-1)
    rank, count = torch.arange(flat.shape[0], device=flat.device), flat.long().cumsum(0)
    places = torch.where(flat, count - 1, flat.sum() + rank - count)
    front = torch.zeros_like(difference).scatter(0, places, difference)
    return divided(torch.where(rank < flat.sum(), front, 0.0).square().sum(), mask, reduction)


@variant
def divided_first(x_recon, x, mask, reduction):
    """(d / n) d, so that a sum beyond the range may survive, and underflow bites each term."""
    difference = masked_difference(x_recon, x, mask)
    return (divided(difference, mask, reduction) * difference).flip(0).sum()


@variant
def sorted_before_the_sum(x_recon, x, mask, reduction):
    """The smallest squares first."""
    x_recon, x, mask = whole(x_recon, x, mask)
    squares = masked_difference(x_recon, x, mask).square().reshape(-1)
    return divided(squares.sort().values.sum(), mask, reduction)


@variant
def row_by_row_in_vmap(x_recon, x, mask, reduction):
    """A loss of one row, mapped over the rows: a transform within the caller's."""
    x_recon, x, mask = whole(x_recon, x, mask)
    x_recon, x = widened(x_recon, x)

    def row(a, b, chosen):
        return torch.where(chosen, a - b, 0.0).square().sum(), chosen.sum()

    if mask.shape[0] == 0:  # no row to map
        return (x_recon - x).sum()
    sums, counts = torch.func.vmap(row)(x_recon, x, mask)
    if reduction == "mean":
        return sums.sum() / counts.sum().clamp(min=1)
    return divided(sums.sum(), mask, reduction)
