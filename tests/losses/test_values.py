"""What the definition returns, on numbers small enough to check by hand (C1, C2, C4 to C10)."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from wavemae import Reduction, masked_mse, masked_sse

from ..worked_example import MASK, X_RECON, Loss, X, any_reduction, either_loss

HALF_DTYPES = (torch.float16, torch.bfloat16)
VALUE_DTYPES = (*HALF_DTYPES, torch.float32, torch.float64)


@pytest.mark.parametrize(("loss", "default"), [(masked_sse, "batch_mean"), (masked_mse, "mean")])
def test_signature(loss: Loss, default: str) -> None:
    """Three tensors by position or name, then `reduction` by keyword with its own default (C1)."""
    parameters = inspect.signature(loss).parameters
    assert list(parameters) == ["x_recon", "x", "mask", "reduction"]
    assert parameters["reduction"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["reduction"].default == default
    assert torch.equal(loss(mask=MASK, x=X, x_recon=X_RECON), loss(X_RECON, X, MASK))


@either_loss
@pytest.mark.parametrize(
    ("reduction", "expected"), [("sum", 13.5), ("mean", 13.5 / 4), ("batch_mean", 13.5 / 2)]
)
def test_reductions(loss: Loss, reduction: str, expected: float) -> None:
    """The sum, divided by the 4 masked positions or by the 2 samples, in both functions (C4)."""
    assert loss(X_RECON, X, MASK, reduction=reduction).item() == expected


def test_default_reductions() -> None:
    """Without `reduction`, the SSE is per sample and the MSE per masked position (C1, C4)."""
    assert masked_sse(X_RECON, X, MASK).item() == 6.75
    assert masked_mse(X_RECON, X, MASK).item() == 3.375


def test_true_is_masked_is_counted() -> None:
    """The position where the mask is True counts, not the one where it is False (C2)."""
    x_recon = torch.tensor([[10.0, 3.0]])
    x = torch.zeros(1, 2)
    assert masked_sse(x_recon, x, torch.tensor([[False, True]])).item() == 9.0
    assert masked_sse(x_recon, x, torch.tensor([[True, False]])).item() == 100.0


def test_mean_weighs_positions_not_samples() -> None:
    """Rows with 1 and 3 masked: 8² / 4, not the mean of row means, (8² / 1 + 0) / 2 (C4)."""
    x_recon = torch.tensor([[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask = torch.tensor([[True, False, False], [True, True, True]])
    assert masked_mse(x_recon, torch.zeros(2, 3), mask).item() == 16.0


@pytest.mark.parametrize("x_dtype", VALUE_DTYPES)
@pytest.mark.parametrize("x_recon_dtype", VALUE_DTYPES)
def test_result_dtype_and_value_for_all_dtypes(
    x_recon_dtype: torch.dtype, x_dtype: torch.dtype
) -> None:
    """Every pair of dtypes is taken; float64 if either is gives float64, else float32 (C2, C5)."""
    loss = masked_sse(X_RECON.to(x_recon_dtype), X.to(x_dtype), MASK)
    wide = torch.float64 in (x_recon_dtype, x_dtype)
    assert loss.dtype == (torch.float64 if wide else torch.float32)
    assert loss.shape == ()
    assert loss.device == X.device
    assert loss.item() == 6.75


@pytest.mark.parametrize("dtype", HALF_DTYPES)
@either_loss
def test_half_inputs_do_not_overflow(loss: Loss, dtype: torch.dtype) -> None:
    """512² = 262144 is beyond float16's 65504, and the result is not in float16 (C5)."""
    x_recon = torch.full((1, 1), 512.0, dtype=dtype)
    x = torch.zeros(1, 1, dtype=dtype)
    assert loss(x_recon, x, torch.ones(1, 1, dtype=torch.bool)).item() == 262144.0


def test_difference_is_taken_after_the_upcast() -> None:
    """In float16, 60000 − (−60000) would be infinite; it is 120000 here, exactly (C5)."""
    x_recon = torch.full((1, 1), 60000.0, dtype=torch.float16)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert masked_sse(x_recon, -x_recon, mask).item() == 120000.0**2


def test_mixed_dtypes_keep_the_wider_one_s_digits() -> None:
    """A float32 input's last digit survives next to a float16 input (C5)."""
    x_recon = torch.tensor([[1.0 + 2.0**-20]])
    x = torch.ones(1, 1, dtype=torch.float16)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert masked_sse(x_recon, x, mask).item() == 2.0**-40


@pytest.mark.parametrize("dtype", HALF_DTYPES)
def test_half_counts_do_not_stick(dtype: torch.dtype) -> None:
    """4099 ones add up to 4099, where bfloat16 would stick at 256 and float16 at 2048 (C5)."""
    ones = torch.ones(1, 4099, dtype=dtype)
    mask = torch.ones(1, 4099, dtype=torch.bool)
    assert masked_sse(ones, torch.zeros_like(ones), mask).item() == 4099.0
    assert masked_mse(ones, torch.zeros_like(ones), mask).item() == 1.0


@pytest.mark.parametrize(
    ("dtype", "roundoff"),
    [(torch.float32, Fraction(1, 2**24)), (torch.float64, Fraction(1, 2**53))],
)
@pytest.mark.parametrize("size", [1, 1023, 1025, 2**18 + 1])
def test_equal_values_stay_accurate(size: int, dtype: torch.dtype, roundoff: Fraction) -> None:
    """Equal terms expose the order of summation; the exact sum of n terms is n·d² (C6)."""
    x_recon = torch.full((1, size), 0.7, dtype=dtype)
    mask = torch.ones(1, size, dtype=torch.bool)
    square = Fraction(x_recon[0, 0].item()) ** 2
    exact_values: tuple[tuple[Reduction, Fraction], ...] = (
        ("sum", square * size),
        ("mean", square),
    )
    for reduction, exact in exact_values:
        got = Fraction(
            masked_mse(x_recon, torch.zeros_like(x_recon), mask, reduction=reduction).item()
        )
        assert abs(got - exact) <= min(size + 8, 256) * roundoff * exact


def test_random_values_stay_accurate() -> None:
    """Random differences over eight decades, against a sum of exact fractions (C6)."""
    generator = torch.Generator().manual_seed(20)
    x_recon = torch.randn(3, 701, generator=generator) * 10.0 ** torch.randint(
        -4, 4, (3, 701), generator=generator
    )
    x = torch.randn(3, 701, generator=generator)
    mask = torch.rand(3, 701, generator=generator) < 0.75
    exact = sum(
        ((Fraction(a) - Fraction(b)) ** 2)
        for a, b in zip(x_recon[mask].tolist(), x[mask].tolist(), strict=True)
    )
    got = Fraction(masked_sse(x_recon, x, mask, reduction="sum").item())
    assert abs(got - exact) <= 256 * Fraction(1, 2**24) * exact


@any_reduction
def test_beyond_the_range_is_inf(reduction: Reduction) -> None:
    """A square beyond float32's range is +inf, never NaN and never 0 (C6)."""
    x_recon = torch.tensor([[1e30, 1.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert masked_sse(x_recon, torch.zeros(1, 2), mask, reduction=reduction).item() == math.inf


@either_loss
@any_reduction
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("dtype", VALUE_DTYPES)
def test_nothing_masked_is_plus_zero(
    loss: Loss, reduction: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    """An empty mask, an empty batch and an empty spectrum give +0.0 as a 0-d tensor (C7)."""
    x_recon = torch.full(shape, -3.0, dtype=dtype)
    result = loss(
        x_recon, torch.ones_like(x_recon), torch.zeros(shape, dtype=torch.bool), reduction=reduction
    )
    assert result.shape == ()
    assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert result.item() == 0.0
    assert math.copysign(1.0, result.item()) == 1.0


@either_loss
@any_reduction
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30, -0.0])
@pytest.mark.parametrize("where", ["x_recon", "x", "both"])
def test_outside_the_mask_has_no_influence(
    loss: Loss, reduction: str, poison: float, where: str
) -> None:
    """Whatever stands outside the mask, the loss has the same bits (C8)."""
    x_recon, x = X_RECON.clone(), X.clone()
    for name, tensor in (("x_recon", x_recon), ("x", x)):
        if where in (name, "both"):
            tensor[~MASK] = poison
    got = loss(x_recon, x, MASK, reduction=reduction)
    clean = loss(X_RECON, X, MASK, reduction=reduction)
    assert torch.equal(got.view(torch.int32), clean.view(torch.int32))


@either_loss
@any_reduction
@pytest.mark.parametrize(
    ("recon_value", "value", "expected"),
    [
        (math.nan, 1.0, math.nan),
        (1.0, math.nan, math.nan),
        (math.inf, math.inf, math.nan),
        (math.inf, 1.0, math.inf),
        (1.0, math.inf, math.inf),
        (-math.inf, math.inf, math.inf),
    ],
)
def test_inside_the_mask_nothing_is_hidden(
    loss: Loss, reduction: str, recon_value: float, value: float, expected: float
) -> None:
    """One masked NaN makes the loss NaN, one infinite difference makes it +inf (C9)."""
    x_recon, x = X_RECON.clone(), X.clone()
    x_recon[1, 2], x[1, 2] = recon_value, value
    got = loss(x_recon, x, MASK, reduction=reduction).item()
    assert got == expected or (math.isnan(got) and math.isnan(expected))


@either_loss
def test_equal_inputs_give_zero_and_others_do_not(loss: Loss) -> None:
    """Zero exactly when every masked difference is zero; positive for the least one (C10)."""
    assert loss(X, X, MASK).item() == 0.0
    nudged = X.clone()
    nudged[0, 0] = torch.nextafter(X[0, 0], torch.tensor(math.inf))
    assert loss(nudged, X, MASK).item() > 0.0


@either_loss
@any_reduction
def test_symmetric(loss: Loss, reduction: str) -> None:
    """Exchanging reconstruction and target changes nothing (C10)."""
    assert torch.equal(
        loss(X_RECON, X, MASK, reduction=reduction), loss(X, X_RECON, MASK, reduction=reduction)
    )


@either_loss
@any_reduction
def test_permutation(loss: Loss, reduction: str) -> None:
    """Rows and columns in another order, the same in all three arguments, change nothing (C10)."""
    rows, columns = torch.tensor([1, 0]), torch.tensor([2, 0, 1])
    moved = [t[rows][:, columns] for t in (X_RECON, X, MASK)]
    # These squares add up without rounding, so equality is exact.
    assert torch.equal(
        loss(*moved, reduction=reduction), loss(X_RECON, X, MASK, reduction=reduction)
    )


def test_sum_is_additive() -> None:
    """The sums of the parts add up to the whole: by batch, by length and by mask (C10)."""

    def total(x_recon: Tensor, x: Tensor, mask: Tensor) -> float:
        return masked_sse(x_recon, x, mask, reduction="sum").item()

    by_batch = [total(X_RECON[i : i + 1], X[i : i + 1], MASK[i : i + 1]) for i in range(2)]
    by_length = [
        total(X_RECON[:, i : i + 1], X[:, i : i + 1], MASK[:, i : i + 1]) for i in range(3)
    ]
    left = torch.tensor([[True, False, False], [True, False, False]])
    by_mask = [total(X_RECON, X, MASK & left), total(X_RECON, X, MASK & ~left)]
    assert by_batch == [4.25, 9.25]
    assert by_length == [0.5, 0.0, 13.0]
    assert by_mask == [0.5, 13.0]


@either_loss
@any_reduction
@pytest.mark.parametrize("k", [-40, -1, 1, 40])
def test_scaling_by_powers_of_two(loss: Loss, reduction: str, k: int) -> None:
    """Both inputs times 2ᵏ give the loss times 4ᵏ, exactly (C10)."""
    scaled = loss(X_RECON * 2.0**k, X * 2.0**k, MASK, reduction=reduction)
    assert scaled.item() == loss(X_RECON, X, MASK, reduction=reduction).item() * 4.0**k
