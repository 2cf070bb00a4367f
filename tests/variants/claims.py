"""Right for all that they claim, which is less than the contract, and says why."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from wavemae.properties import Claims, Subject

from .catalogue import divided, masked_difference, result_dtype, variant, widened

NUMBERS_ONLY = {
    "gradients": False,
    "transforms": False,
    "compile": False,
    "data_independent": False,
    "distributed": False,
}


@variant(**NUMBERS_ONLY)  # it leaves torch for lists
def exactly_rounded_in_lists(x_recon, x, mask, reduction):
    """math.fsum over Python floats up to 4,096 positions, and no gradient at all."""
    dtype = result_dtype(x_recon, x)
    if mask.numel() > 4096:
        total = masked_difference(x_recon, x, mask).detach().square().sum(dtype=torch.float64)
        return divided(total, mask, reduction).to(dtype)
    rows = zip(x_recon.tolist(), x.tolist(), mask.tolist(), strict=True)
    terms = [(a - b) * (a - b) for row in rows for a, b, chosen in zip(*row, strict=True) if chosen]
    try:
        total = math.nan if any(map(math.isnan, terms)) else math.fsum(terms)
    except OverflowError:
        total = math.inf
    divisor = {"sum": 1, "mean": len(terms), "batch_mean": mask.shape[0]}[reduction] or 1
    return torch.tensor(total / divisor, dtype=torch.float64, device=x.device).to(dtype)


@variant(devices=("cpu",), **NUMBERS_ONLY)  # it leaves torch for NumPy
def summed_in_long_double(x_recon, x, mask, reduction):
    """NumPy's long double, which has 64 bits of mantissa or more, or is a double."""
    wide = [t.detach().resolve_neg().cpu().numpy() for t in (*widened(x_recon, x), mask)]
    with np.errstate(all="ignore"):
        difference = np.where(wide[2], np.subtract(*wide[:2]), 0).astype(np.longdouble)
        total = np.square(difference).sum()
        divisor = {"sum": 1, "mean": wide[2].sum(), "batch_mean": len(mask)}[reduction] or 1
        value = (total / divisor).astype(wide[0].dtype)
    return torch.from_numpy(value.reshape(1))[0].clone()


# Boolean selection reads data back; its shape is the data's.
@variant(transforms=False, compile=False, data_independent=False, distributed=False)
def selected_and_dotted(x_recon, x, mask, reduction):
    """masked_select of both inputs, then a dot product in float64."""
    dtype = result_dtype(x_recon, x)
    chosen = [t.masked_select(mask).double() for t in (x_recon, x)]
    difference = chosen[0] - chosen[1]
    if dtype == torch.float64:
        return divided(difference.square().sum(), mask, reduction)
    return divided(torch.dot(difference, difference), mask, reduction).to(dtype)


@variant(
    dtypes=("float64",),
    roundoffs=2**24,  # it adds one by one
    second_order=False,  # torch has no second derivative of it
    forward_mode=False,
    transforms=False,
    compile=False,
    distributed=False,
)
def segments_of_rows(x_recon, x, mask, reduction):
    """torch.segment_reduce, with a row for a segment."""
    squares = masked_difference(x_recon, x, mask).square()
    if mask.numel() == 0 or mask.is_meta:
        return divided(squares.sum(), mask, reduction)
    lengths = torch.full((mask.shape[0],), mask.shape[1], device=mask.device)
    rows = torch.segment_reduce(squares.reshape(-1), "sum", lengths=lengths, unsafe=True)
    return divided(rows.sum(), mask, reduction)


@variant(gradients=False)  # bits have none
def bits_cleared(x_recon, x, mask, reduction):
    """No selection: the bits of the difference and those of minus the mask."""
    difference = torch.sub(*widened(x_recon, x)).detach()
    bits = torch.int64 if difference.dtype == torch.float64 else torch.int32
    kept = difference.view(bits) & -mask.to(bits)
    return divided(kept.view(difference.dtype).square().sum(), mask, reduction)


def _norm_squared(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "sum") -> Tensor:
    if reduction != "sum":
        raise ValueError(f"reduction must be 'sum', got {reduction!r}; divide what it gives")
    dtype = result_dtype(x_recon, x)
    difference = masked_difference(x_recon, x, mask).detach().double()
    return torch.linalg.vector_norm(difference).square().to(dtype)


def _half_results(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction must be 'sum' or 'mean', got {reduction!r}; divide the sum")
    given = torch.promote_types(x_recon.dtype, x.dtype)
    total = masked_difference(x_recon, x, mask).square().sum()
    n, most = mask.sum(), torch.finfo(given)
    roundoffs = 64 if most.bits == 16 else 256  # of halves, what half_result allows
    off = (n + 8).clamp(max=roundoffs).to(total.dtype) * (most.eps / 2)
    # Added, not selected, so that the gradient stays the formula.
    beyond = torch.where(total.detach() * (1 + off) >= most.max, torch.inf, 0.0).to(total.dtype)
    return divided(total + beyond, mask, reduction).to(given)


SINGLES = (
    Subject(
        "norm_squared",  # the square of linalg's norm, a sum, for numbers of 32 bits and less
        masked_sse=_norm_squared,
        claims=Claims(
            dtypes=("float16", "bfloat16", "float32"),
            reductions=("sum",),
            gradients=False,
            distributed=False,
            strict_inputs=False,
        ),
    ),
    Subject(
        "half_results",  # of halves a half, and +inf as soon as C6's error reaches the end
        masked_mse=_half_results,
        claims=Claims(
            reductions=("sum", "mean"),
            half_result="half",
            strict_inputs=False,
            distributed=False,
        ),
    ),
)
