"""How far the native sum can be from exact: data made against its own order of additions."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from wavemae import fused
from wavemae.fused import native

LANES, TERMS = 64, 16  # a block of 1024: so many sums side by side, of so many terms each


def against_the_lanes(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """A block in whose first lane every rounding loses just under half a unit in the last place.

    The first difference is 1 + k · eps and loses half an eps, its square loses again; each of the
    15 squares that follow in the lane is just below half a unit of the sum so far.
    """
    eps = torch.finfo(dtype).eps
    digits = {torch.float32: 23, torch.float64: 52}[dtype]
    k = 2 ** ((digits - 1) // 2) - 1
    x_recon, x = torch.zeros(2, 1, LANES * TERMS, dtype=torch.float64).to(dtype)
    x_recon[0, 0], x[0, 0] = 1 + k * eps, -eps / 2 * (1 - 2.0**-10)
    x_recon[0, LANES::LANES] = (eps / 2 * (1 - 2.0**-8)) ** 0.5
    return x_recon, x


@pytest.mark.skipif(not native.is_available(), reason=native.status())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_error_comes_near_the_claim_and_stays_below(dtype: torch.dtype) -> None:
    """18 of the roundings that the derivation counts are there to be met, and no others."""
    x_recon, x = against_the_lanes(dtype)
    mask = torch.ones(x.shape, dtype=torch.bool)
    exact = sum(
        (Fraction(a) - Fraction(b)) ** 2
        for a, b in zip(x_recon[0].tolist(), x[0].tolist(), strict=True)
    )
    got = Fraction(fused.masked_sse(x_recon, x, mask, reduction="sum").item())
    roundoffs = abs(got - exact) / exact / Fraction(torch.finfo(dtype).eps / 2)
    assert 17 < roundoffs < native.ROUNDOFFS


@pytest.mark.skipif(not native.is_available(), reason=native.status())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_many_blocks_lose_is_kept(dtype: torch.dtype) -> None:
    """A 1 and 2²² squares, each too small for it alone: all of them count."""
    eps = torch.finfo(dtype).eps
    x_recon = torch.full((1024, 4096), (eps / 4) ** 0.5, dtype=dtype)
    x_recon[0, 0] = 1.0
    mask = torch.ones(x_recon.shape, dtype=torch.bool)
    loss = fused.masked_sse(x_recon, torch.zeros_like(x_recon), mask, reduction="sum")
    small = Fraction(x_recon[0, 1].item()) ** 2
    exact = 1 + small * (mask.numel() - 1)
    assert abs(Fraction(loss.item()) - exact) / exact < native.ROUNDOFFS * Fraction(eps / 2)
