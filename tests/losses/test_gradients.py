"""What flows back through the definition: first order and beyond (C11 to C13)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..worked_example import GRAD_OF_SUM, MASK, X_RECON, Loss, X, any_reduction, either_loss

SCALE = {"sum": 1.0, "mean": 1 / 4, "batch_mean": 1 / 2}

VALUE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def leaf(tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A fresh copy that requires grad."""
    return tensor.to(dtype, copy=True).requires_grad_()


@either_loss
@any_reduction
@pytest.mark.parametrize("x_dtype", VALUE_DTYPES)
@pytest.mark.parametrize("x_recon_dtype", VALUE_DTYPES)
def test_gradient_of_both_inputs(
    loss: Loss, reduction: str, x_recon_dtype: torch.dtype, x_dtype: torch.dtype
) -> None:
    """2 · difference · scale for x_recon and its negation for x, each in its own dtype (C11)."""
    x_recon, x = leaf(X_RECON, x_recon_dtype), leaf(X, x_dtype)
    loss(x_recon, x, MASK, reduction=reduction).backward()
    expected = GRAD_OF_SUM * SCALE[reduction]
    assert x_recon.grad is not None
    assert x.grad is not None
    assert x_recon.grad.dtype == x_recon_dtype
    assert x.grad.dtype == x_dtype
    # Every number here is exact in every dtype.
    assert torch.equal(x_recon.grad.float(), expected)
    assert torch.equal(x.grad.float(), -expected)


@either_loss
@pytest.mark.parametrize("wanted", ["x_recon", "x"])
def test_only_one_input_requires_grad(loss: Loss, wanted: str) -> None:
    """The input that asked gets its gradient, the other one stays without (C11)."""
    inputs = {"x_recon": X_RECON.clone(), "x": X.clone()}
    inputs[wanted].requires_grad_()
    loss(**inputs, mask=MASK, reduction="sum").backward()
    sign = 1.0 if wanted == "x_recon" else -1.0
    assert {name: t.grad is None for name, t in inputs.items()} == {
        name: name != wanted for name in inputs
    }
    grad = inputs[wanted].grad
    assert grad is not None
    assert torch.equal(grad, sign * GRAD_OF_SUM)


@either_loss
def test_same_tensor_twice(loss: Loss) -> None:
    """Passed as reconstruction and as target, a tensor gets the two gradients' sum, zero (C11)."""
    x = leaf(X)
    loss(x, x, MASK).backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(X))


@either_loss
def test_linear_in_the_upstream_gradient(loss: Loss) -> None:
    """A loss weighted by −3 has −3 times the gradient (C11)."""
    x_recon = leaf(X_RECON)
    (-3.0 * loss(x_recon, X, MASK, reduction="sum")).backward()
    assert x_recon.grad is not None
    assert torch.equal(x_recon.grad, -3.0 * GRAD_OF_SUM)


@either_loss
@any_reduction
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("where", ["x_recon", "x", "both"])
def test_poison_outside_the_mask_gets_gradient_zero(
    loss: Loss, reduction: str, poison: float, where: str
) -> None:
    """NaN, infinities and huge numbers outside the mask spoil no gradient (C12)."""
    x_recon, x = X_RECON.clone(), X.clone()
    for name, tensor in (("x_recon", x_recon), ("x", x)):
        if where in (name, "both"):
            tensor[~MASK] = poison
    x_recon.requires_grad_()
    x.requires_grad_()
    loss(x_recon, x, MASK, reduction=reduction).backward()
    assert x_recon.grad is not None
    assert x.grad is not None
    assert torch.equal(x_recon.grad, GRAD_OF_SUM * SCALE[reduction])
    assert torch.equal(x.grad, -GRAD_OF_SUM * SCALE[reduction])


@either_loss
@any_reduction
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (3, 0)])
def test_training_step_with_nothing_masked(
    loss: Loss, reduction: str, shape: tuple[int, int]
) -> None:
    """With nothing masked backward still runs and every gradient is zero, not NaN or None (C12)."""
    x_recon = torch.full(shape, math.nan, requires_grad=True)
    x = torch.ones(shape, requires_grad=True)
    loss(x_recon, x, torch.zeros(shape, dtype=torch.bool), reduction=reduction).backward()
    for tensor in (x_recon, x):
        assert tensor.grad is not None
        assert torch.equal(tensor.grad, torch.zeros(shape))


@either_loss
def test_nan_inside_the_mask_reaches_its_own_gradient_only(loss: Loss) -> None:
    """A masked NaN shows in its position's gradient and in no other one (C9, C11)."""
    x_recon = X_RECON.clone()
    x_recon[1, 2] = math.nan
    x_recon.requires_grad_()
    loss(x_recon, X, MASK, reduction="sum").backward()
    expected = GRAD_OF_SUM.clone()
    expected[1, 2] = math.nan
    assert x_recon.grad is not None
    assert torch.equal(x_recon.grad.isnan(), expected.isnan())
    assert torch.equal(x_recon.grad.nan_to_num(7.0), expected.nan_to_num(7.0))


@either_loss
@any_reduction
def test_second_order(loss: Loss, reduction: str) -> None:
    """The Hessian is 2 · mask · scale on the diagonal, negative across the inputs (C13)."""
    x_recon, x = leaf(X_RECON), leaf(X)
    (grad,) = torch.autograd.grad(
        loss(x_recon, x, MASK, reduction=reduction), x_recon, create_graph=True
    )
    direction = torch.tensor([[1.0, 10.0, 2.0], [3.0, 10.0, 4.0]])
    by_x_recon, by_x = torch.autograd.grad((grad * direction).sum(), (x_recon, x))
    expected = 2.0 * SCALE[reduction] * torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 4.0]])
    assert torch.equal(by_x_recon, expected)
    assert torch.equal(by_x, -expected)


@either_loss
@any_reduction
def test_gradcheck_to_second_order(loss: Loss, reduction: str) -> None:
    """PyTorch's own finite differences agree, in reverse, forward and second order (C11, C13)."""
    inputs = (leaf(X_RECON, torch.float64), leaf(X, torch.float64))

    def of_inputs(x_recon: Tensor, x: Tensor) -> Tensor:
        return loss(x_recon, x, MASK, reduction=reduction)

    assert torch.autograd.gradcheck(of_inputs, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(of_inputs, inputs, check_fwd_over_rev=True)


@either_loss
def test_forward_mode(loss: Loss) -> None:
    """The forward tangent is the gradient times the direction: 1·1 + 4·2 + 1·3 − 6·4 (C13)."""
    direction = torch.tensor([[1.0, 10.0, 2.0], [3.0, 10.0, 4.0]])
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(X_RECON, direction)
        tangent = forward_ad.unpack_dual(loss(dual, X, MASK, reduction="sum")).tangent
        assert tangent is not None
        assert tangent.item() == -12.0


@either_loss
def test_backward_twice(loss: Loss) -> None:
    """A second backward through a retained graph adds the same gradient again (C13)."""
    x_recon = leaf(X_RECON)
    result = loss(x_recon, X, MASK, reduction="sum")
    result.backward(retain_graph=True)
    result.backward()
    assert x_recon.grad is not None
    assert torch.equal(x_recon.grad, 2.0 * GRAD_OF_SUM)


@either_loss
def test_interleaved_calls(loss: Loss) -> None:
    """Two calls made before either backward keep their own data (C13)."""
    first, second = leaf(X_RECON), leaf(X)
    other = torch.tensor([[False, True, False], [False, True, False]])
    loss_of_first = loss(first, X, MASK, reduction="sum")
    loss_of_second = loss(second, X_RECON, other, reduction="sum")
    loss_of_first.backward()
    loss_of_second.backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.equal(first.grad, GRAD_OF_SUM)
    assert torch.equal(second.grad, torch.tensor([[0.0, -14.0, 0.0], [0.0, -4.0, 0.0]]))
