"""The oracle itself: exact sums, and what it accepts and refuses at the edge of the bounds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from wavemae.properties.inputs.cases import Inputs
from wavemae.properties.judge.oracle import (
    Exact,
    exact,
    format_of,
    gradient_fault,
    sum_of_squares,
    sum_roundoffs,
    value_bound,
    value_fault,
)

ROUNDOFF = {torch.float32: 2.0**-24, torch.float64: 2.0**-53, torch.bfloat16: 2.0**-8}


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [(torch.float16, 11), (torch.bfloat16, 8), (torch.float32, 24), (torch.float64, 53)],
)
def test_formats_are_those_of_ieee(dtype: torch.dtype, bits: int) -> None:
    """Unit roundoff 2⁻ᵖ; the next number above `largest` would round to infinity at `overflow`."""
    fmt = format_of(dtype)
    assert fmt.roundoff == Fraction(1, 2**bits)
    smallest = torch.tensor(float(fmt.smallest), dtype=torch.float64).to(dtype)
    assert smallest.item() > 0
    assert (smallest.double() / 4).to(dtype).item() == 0
    half_step = fmt.largest * fmt.roundoff / (2 - 2 * fmt.roundoff)
    assert fmt.overflow == fmt.largest + half_step
    if dtype == torch.float16:
        assert fmt.overflow == 65520


def test_sum_of_squares_by_three_routes() -> None:
    """Integers, counted pairs and plain rationals give one result."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-500, 500, 3000) / 64, rng.integers(-500, 500, 3000) / 64
    wanted = sum((Fraction(p) - Fraction(q)) ** 2 for p, q in zip(a, b, strict=True))
    assert sum_of_squares(a, b) == wanted
    assert sum_of_squares(a / 2**30, b / 2**30) == wanted / 2**60
    few = slice(0, 100)
    assert sum_of_squares(a[few] / 3, b[few] / 3) == sum(
        (Fraction(p) - Fraction(q)) ** 2 for p, q in zip(a[few] / 3, b[few] / 3, strict=True)
    )


def test_constants_are_counted_not_summed() -> None:
    """Equal pairs are one multiplication, also where there are many."""
    for count in (2**20, 2**20 + 1):
        a, b = np.full(count, 0.1), np.zeros(count)
        assert sum_of_squares(a, b) == Fraction(0.1) ** 2 * count


def test_exact_sees_only_the_mask() -> None:
    """Hand-computed: (3−1)² + (0−2)² over two of four positions, one of them NaN outside."""
    inputs = Inputs(
        torch.tensor([[3.0, math.nan], [0.0, 7.0]]),
        torch.tensor([[1.0, 5.0], [2.0, math.inf]]),
        torch.tensor([[True, False], [True, False]]),
    )
    answer = exact(inputs)
    assert answer == Exact(Fraction(8), 2, 2)
    assert [answer.reduced(r) for r in ("sum", "mean", "batch_mean")] == [8, 4, 4]


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (math.nan, 1.0, "nan"),
        (1.0, math.nan, "nan"),
        (math.inf, math.inf, "nan"),
        (math.inf, -math.inf, "inf"),
        (-math.inf, 1.0, "inf"),
    ],
)
def test_exact_of_non_finite_values(a: float, b: float, total: str) -> None:
    """Inf − Inf is NaN, as in arithmetic; NaN wins over Inf."""
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert exact(Inputs(torch.tensor([[a, 0.0]]), torch.tensor([[b, 0.0]]), mask)).total == total


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_at_the_bound(dtype: torch.dtype) -> None:
    """min(n + 8, 256) roundoffs off is right, a few more are wrong, on both sides."""
    unit = ROUNDOFF[dtype]
    for selected, roundoffs in ((1, 9), (100, 108), (248, 256), (10**6, 256)):
        answer = Exact(Fraction(1), selected, 1)
        for sign in (-1, 1):
            inside, outside = (
                torch.tensor(1 + sign * (roundoffs + more) * unit, dtype=dtype) for more in (-1, 3)
            )
            assert value_fault(inside, answer, "sum") is None
            fault = value_fault(outside, answer, "sum")
            assert fault is not None
            assert fault[0] == "1"


def test_roundoffs_follow_claims_and_order() -> None:
    """A tighter claim binds where n is large, a weaker one holds for all n; any order has n + 8."""
    assert sum_roundoffs(1000, torch.float32, most=40) == 40
    assert sum_roundoffs(10, torch.float32, most=40) == 18
    assert sum_roundoffs(10, torch.float32, most=1000) == 1000
    assert sum_roundoffs(10**6, torch.float32, ordered=False) == 10**6 + 8
    assert sum_roundoffs(10**6, torch.bfloat16) == 64


def test_value_bound_shrinks_with_the_divisor() -> None:
    """The relative bound is that of the mean, not that of the sum."""
    answer = Exact(Fraction(1000), 1000, 10)
    bounds = [value_bound(answer, r, torch.float32, 64) for r in ("sum", "batch_mean", "mean")]
    slack = 1001 * format_of(torch.float32).smallest
    assert [bound - slack for bound in bounds] == [
        Fraction(64 * 1000, 2**24),
        Fraction(64 * 100, 2**24),
        Fraction(64, 2**24),
    ]


def test_overflow_is_infinite_and_nothing_else() -> None:
    """Beyond the range +inf is right; NaN, 0, −inf and the largest number are wrong."""
    answer = Exact(Fraction(10) ** 40, 4, 2)
    assert value_fault(torch.tensor(math.inf), answer, "sum") is None
    for wrong in (math.nan, 0.0, -math.inf, 3.4e38):
        assert value_fault(torch.tensor(wrong), answer, "sum") is not None
    assert value_fault(torch.tensor(math.inf), Exact(Fraction(10), 1, 1), "sum") is not None


def test_mean_may_or_may_not_survive_a_sum_that_overflows() -> None:
    """C6 leaves it open."""
    answer = Exact(Fraction(10) ** 39, 1000, 2)
    assert value_fault(torch.tensor(math.inf), answer, "mean") is None
    assert value_fault(torch.tensor(1e36), answer, "mean") is None
    assert value_fault(torch.tensor(2e36), answer, "mean") is not None


def test_gradient_oracle_refuses_each_kind_of_mistake() -> None:
    """A wrong factor, sign, scale, a value outside the mask, NaN inside: each found, in place."""
    inputs = Inputs(
        torch.tensor([[3.0, 1.0, 2.0]]),
        torch.tensor([[1.0, 1.5, 9.0]]),
        torch.tensor([[True, True, False]]),
    )
    right = torch.tensor([[2.0, -0.5, 0.0]])
    assert gradient_fault(right, inputs, "mean", sign=1) is None
    assert gradient_fault(-right, inputs, "mean", sign=-1) is None
    assert gradient_fault(right * 3, inputs, "mean", sign=1, upstream=3.0) is None
    assert gradient_fault(right * 2, inputs, "sum", sign=1) is None
    for wrong, place in (
        (right * 2, (0, 0)),
        (-right, (0, 0)),
        (right + torch.tensor([[0.0, 1e-5, 0.0]]), (0, 1)),
        (right + torch.tensor([[0.0, 0.0, 1e-30]]), (0, 2)),
        (right + torch.tensor([[0.0, 0.0, math.nan]]), (0, 2)),
        (right + torch.tensor([[0.0, math.nan, 0.0]]), (0, 1)),
    ):
        fault = gradient_fault(wrong, inputs, "mean", sign=1)
        assert fault is not None
        assert fault[0] == place


def test_gradient_oracle_follows_the_formula_into_infinity() -> None:
    """2 (x_recon − x) beyond the half range is infinite in half; NaN inside the mask stays NaN."""
    inputs = Inputs(
        torch.tensor([[65504.0, math.nan]], dtype=torch.float16),
        torch.tensor([[-65504.0, 0.0]], dtype=torch.float16),
        torch.ones(1, 2, dtype=torch.bool),
    )
    right = torch.tensor([[math.inf, math.nan]], dtype=torch.float16)
    assert gradient_fault(right, inputs, "sum", sign=1) is None
    assert gradient_fault(-right, inputs, "sum", sign=1) is not None
    assert gradient_fault(torch.zeros_like(right), inputs, "sum", sign=1) is not None


def test_zero_times_what_overflows_may_be_nan() -> None:
    """C11: 2 (x_recon − x) beyond the range, times an upstream gradient of zero, and only there."""
    inputs = Inputs(
        torch.tensor([[3e38, 1.0]]), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    )
    nan = torch.tensor([[math.nan, 0.0]])
    assert gradient_fault(torch.zeros(1, 2), inputs, "sum", sign=1, upstream=0.0) is None
    assert gradient_fault(nan, inputs, "sum", sign=1, upstream=0.0) is None
    assert gradient_fault(nan.flip(1), inputs, "sum", sign=1, upstream=0.0) is not None
    assert gradient_fault(nan, inputs, "sum", sign=1, upstream=1e-3) is not None


def test_exact_of_what_is_large_and_sparse() -> None:
    """Pairs that are equal are left out of a large sum, but not infinities, and one may remain."""
    recon = torch.zeros(2**20 + 8, 1)
    inputs = Inputs(recon, recon.clone(), torch.ones_like(recon, dtype=torch.bool))
    assert exact(inputs).total == 0
    recon[5], recon[-1] = 3.0, -0.5
    assert exact(inputs).total == Fraction(37, 4)
    inputs.mask[5] = False
    assert exact(inputs).reduced("mean") == Fraction(1, 4) / (2**20 + 7)
    recon[7] = inputs.x[7] = math.inf
    assert exact(inputs).total == "nan"
