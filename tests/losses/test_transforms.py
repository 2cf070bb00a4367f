"""The definition under torch.func's transforms and their nestings (C19)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from ..worked_example import GRAD_OF_SUM, MASK, X_RECON, Loss, X, any_reduction, either_loss

Dims: TypeAlias = tuple[int | None, int | None, int | None]

DIRECTION = torch.tensor([[1.0, 10.0, 2.0], [3.0, 10.0, 4.0]])
# Divisors are powers of two, and sums exact, here as in the stacks: every comparison is `==`.
DIVISOR = {"sum": 1.0, "mean": 4.0, "batch_mean": 2.0}

COLUMN = torch.tensor([[False, True, False], [False, True, False]])
# Three samples along a new first dimension: masks with 4, 2 and 0 True.
X_RECONS = torch.stack([X_RECON, X + 1.0, X_RECON - 2.0])
XS = torch.stack([X, X_RECON, X + 3.0])
MASKS = torch.stack([MASK, COLUMN, torch.zeros_like(MASK)])
SAMPLES = len(MASKS)


IN_DIMS: list[Dims] = [
    (dim if first else None, dim if second else None, dim if third else None)
    for first, second, third in itertools.product((True, False), repeat=3)
    if first or second or third
    for dim in (0, 1, 2, -1)
]
MIXED_DIMS: list[Dims] = [(0, 1, 2), (2, 0, 1), (-1, 1, 0), (1, None, 0), (None, 2, 1)]


def reduced(loss: Loss, reduction: str) -> Loss:
    """The loss of three tensors, with its reduction filled in."""

    def of_inputs(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return loss(x_recon, x, mask, reduction=reduction)

    return of_inputs


def mapped(dims: Dims) -> tuple[Tensor, ...]:
    """The stacks with their samples along these dimensions; of the others, the first sample."""
    return tuple(
        stack[0] if dim is None else stack.movedim(0, dim)
        for stack, dim in zip((X_RECONS, XS, MASKS), dims, strict=True)
    )


def sample(dims: Dims, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the k-th call of those mapped along these dimensions gets."""
    at = [0 if dim is None else k for dim in dims]
    return X_RECONS[at[0]], XS[at[1]], MASKS[at[2]]


def formula(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> tuple[float, Tensor]:
    """Value and gradient by x_recon of one sample, written out."""
    divisor = {"sum": 1, "mean": max(int(mask.sum()), 1), "batch_mean": len(mask)}[reduction]
    value = float((x_recon - x)[mask].square().sum()) / divisor
    return value, torch.where(mask, 2.0 * (x_recon - x), 0.0) / divisor


@either_loss
@any_reduction
@pytest.mark.parametrize("dims", IN_DIMS + MIXED_DIMS, ids=str)
def test_vmap_over_any_dimension(loss: Loss, reduction: str, dims: Dims) -> None:
    """Any of the inputs mapped, along any dimension: each slice gets its own loss."""
    got = vmap(reduced(loss, reduction), in_dims=dims)(*mapped(dims))
    wanted = [formula(*sample(dims, k), reduction)[0] for k in range(SAMPLES)]
    assert got.tolist() == wanted


@either_loss
@any_reduction
def test_nested_vmap(loss: Loss, reduction: str) -> None:
    """Every reconstruction against every target: a 3 × 3 table of losses."""
    of_pair = vmap(vmap(reduced(loss, reduction), in_dims=(None, 0, None)), in_dims=(0, None, 0))
    wanted = [
        [formula(X_RECONS[i], XS[j], MASKS[i], reduction)[0] for j in range(SAMPLES)]
        for i in range(SAMPLES)
    ]
    assert of_pair(X_RECONS, XS, MASKS).tolist() == wanted


@either_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_vmap_keeps_dtypes(loss: Loss, dtype: torch.dtype) -> None:
    """Slices of half precision are scored in float32, and their gradients come back in half."""
    x_recons = X_RECONS.to(dtype)
    assert vmap(loss)(x_recons, XS.to(dtype), MASKS).dtype == (
        torch.float64 if dtype == torch.float64 else torch.float32
    )
    assert vmap(grad(loss))(x_recons, XS.to(dtype), MASKS).dtype == dtype


@either_loss
@any_reduction
def test_grad(loss: Loss, reduction: str) -> None:
    """By either input: the gradient and its negation."""
    by_x_recon, by_x = grad(reduced(loss, reduction), argnums=(0, 1))(X_RECON, X, MASK)
    assert torch.equal(by_x_recon, GRAD_OF_SUM / DIVISOR[reduction])
    assert torch.equal(by_x, -GRAD_OF_SUM / DIVISOR[reduction])


@either_loss
@any_reduction
@pytest.mark.parametrize("dims", [(0, 0, 0), (2, 1, 0), (0, None, 0), (None, 1, -1)], ids=str)
def test_vmap_of_grad(loss: Loss, reduction: str, dims: Dims) -> None:
    """Gradients per sample, zero for the sample with nothing masked."""
    got = vmap(grad(reduced(loss, reduction)), in_dims=dims)(*mapped(dims))
    for k in range(SAMPLES):
        assert torch.equal(got[k], formula(*sample(dims, k), reduction)[1])


@either_loss
@any_reduction
def test_grad_of_vmap(loss: Loss, reduction: str) -> None:
    """The gradient of a sum of mapped losses is the stack of their gradients."""
    weights = torch.tensor([1.0, -2.0, 4.0])
    of_stack = vmap(reduced(loss, reduction))
    got = grad(lambda a: (weights * of_stack(a, XS, MASKS)).sum())(X_RECONS)
    for k in range(SAMPLES):
        wanted = weights[k] * formula(X_RECONS[k], XS[k], MASKS[k], reduction)[1]
        assert torch.equal(got[k], wanted)


@either_loss
@any_reduction
def test_gradients_of_parameters_per_sample(loss: Loss, reduction: str) -> None:
    """`vmap(grad)` over a model's parameters is what a loop over the samples gives."""
    model = torch.nn.Linear(3, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 4 - 1)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def of_sample(parameters: dict[str, Tensor], x: Tensor, mask: Tensor) -> Tensor:
        x_recon = functional_call(model, parameters, (x.masked_fill(mask, 0.0)[None],))
        return loss(x_recon, x[None], mask[None], reduction=reduction)

    x = torch.cat([X, X_RECON])
    # Rows with 2, 0, 1 and 1 masked positions; quotients stay exact.
    mask = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=torch.bool)
    got = vmap(grad(of_sample), in_dims=(None, 0, 0))(parameters, x, mask)
    for k in range(len(x)):
        model.zero_grad()
        x_recon = model(x[k].masked_fill(mask[k], 0.0)[None])
        loss(x_recon, x[k : k + 1], mask[k : k + 1], reduction=reduction).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            assert torch.equal(got[name][k], parameter.grad)
            assert bool(parameter.grad.any()) == bool(mask[k].any())


@either_loss
@any_reduction
def test_jvp_and_vjp(loss: Loss, reduction: str) -> None:
    """Forward mode gives 1·1 + 4·2 + 1·3 − 6·4 = −12, in reverse mode 3 times the gradient."""
    of_inputs = reduced(loss, reduction)
    value, tangent, *_ = jvp(lambda a: of_inputs(a, X, MASK), (X_RECON,), (DIRECTION,))
    assert value.item() == 13.5 / DIVISOR[reduction]
    assert tangent.item() == -12.0 / DIVISOR[reduction]
    _, both, *_ = jvp(
        lambda a, b: of_inputs(a, b, MASK), (X_RECON, X), (DIRECTION, -2.0 * DIRECTION)
    )
    assert both.item() == -36.0 / DIVISOR[reduction]
    _, pull, *_ = vjp(lambda a: of_inputs(a, X, MASK), X_RECON)
    assert torch.equal(pull(torch.tensor(3.0))[0], 3.0 * GRAD_OF_SUM / DIVISOR[reduction])


@either_loss
@any_reduction
def test_vmap_of_jvp(loss: Loss, reduction: str) -> None:
    """A directional derivative for each sample."""
    of_inputs = reduced(loss, reduction)

    def push(x_recon: Tensor, x: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
        tangent: Tensor = jvp(lambda a: of_inputs(a, x, mask), (x_recon,), (direction,))[1]
        return tangent

    got = vmap(push, in_dims=(0, 0, 0, None))(X_RECONS, XS, MASKS, DIRECTION)
    wanted = [
        float((formula(X_RECONS[k], XS[k], MASKS[k], reduction)[1] * DIRECTION).sum())
        for k in range(SAMPLES)
    ]
    assert got.tolist() == wanted


@either_loss
@any_reduction
@pytest.mark.parametrize("jacobian", [jacrev, jacfwd])
def test_jacobians(loss: Loss, reduction: str, jacobian: Callable[..., Loss]) -> None:
    """Of one value, the gradient; of mapped values, each one's gradient on the diagonal."""
    of_inputs = reduced(loss, reduction)
    assert torch.equal(jacobian(of_inputs)(X_RECON, X, MASK), GRAD_OF_SUM / DIVISOR[reduction])
    assert torch.equal(
        jacobian(of_inputs, argnums=1)(X_RECON, X, MASK), -GRAD_OF_SUM / DIVISOR[reduction]
    )
    table = jacobian(vmap(of_inputs))(X_RECONS, XS, MASKS)
    assert table.shape == (SAMPLES, *X_RECONS.shape)
    for i, j in itertools.product(range(SAMPLES), repeat=2):
        own = formula(X_RECONS[i], XS[i], MASKS[i], reduction)[1]
        assert torch.equal(table[i, j], own if i == j else torch.zeros_like(own))


SECOND_ORDER: dict[str, Callable[[Loss, int, int], Loss]] = {
    "jacfwd of jacrev": lambda f, i, j: jacfwd(jacrev(f, argnums=i), argnums=j),
    "jacrev of jacrev": lambda f, i, j: jacrev(jacrev(f, argnums=i), argnums=j),
    "jacrev of jacfwd": lambda f, i, j: jacrev(jacfwd(f, argnums=i), argnums=j),
    "jacfwd of jacfwd": lambda f, i, j: jacfwd(jacfwd(f, argnums=i), argnums=j),
    "jacrev of grad": lambda f, i, j: jacrev(grad(f, argnums=i), argnums=j),
    "jacfwd of grad": lambda f, i, j: jacfwd(grad(f, argnums=i), argnums=j),
}


def diagonal(mask: Tensor, reduction: str) -> Tensor:
    """2 · mask · scale on the diagonal of a matrix over the positions."""
    divisor = {"sum": 1, "mean": max(int(mask.sum()), 1), "batch_mean": len(mask)}[reduction]
    return torch.diag(2.0 * mask.flatten().float() / divisor)


@either_loss
@any_reduction
@pytest.mark.parametrize("nesting", SECOND_ORDER)
def test_second_order(loss: Loss, reduction: str, nesting: str) -> None:
    """2 · mask · scale on the diagonal by one input twice, its negation by one and the other."""
    of_inputs = reduced(loss, reduction)
    for (i, j), sign in (((0, 0), 1), ((1, 1), 1), ((0, 1), -1), ((1, 0), -1)):
        got = SECOND_ORDER[nesting](of_inputs, i, j)(X_RECON, X, MASK)
        assert torch.equal(got.reshape(6, 6), sign * diagonal(MASK, reduction))


@either_loss
@any_reduction
def test_hessian_and_vmap_of_it(loss: Loss, reduction: str) -> None:
    """One Hessian, and one for each sample: its own mask on the diagonal."""
    of_inputs = reduced(loss, reduction)
    assert torch.equal(
        hessian(of_inputs)(X_RECON, X, MASK).reshape(6, 6), diagonal(MASK, reduction)
    )
    got = vmap(hessian(of_inputs))(X_RECONS, XS, MASKS)
    for k in range(SAMPLES):
        assert torch.equal(got[k].reshape(6, 6), diagonal(MASKS[k], reduction))


@either_loss
@any_reduction
def test_poison_reaches_no_transform(loss: Loss, reduction: str) -> None:
    """NaN and infinities outside the mask: values and derivatives as without them (C8, C12)."""
    of_inputs = reduced(loss, reduction)
    poisons = torch.tensor([torch.nan, torch.inf, -torch.inf])[:, None, None]
    x_recons, xs = (torch.where(MASKS, clean, poisons) for clean in (X_RECONS, XS))
    values = vmap(of_inputs)(x_recons, xs, MASKS)
    gradients = vmap(grad(of_inputs))(x_recons, xs, MASKS)
    hessians = vmap(hessian(of_inputs))(x_recons, xs, MASKS)
    for k in range(SAMPLES):
        value, gradient = formula(X_RECONS[k], XS[k], MASKS[k], reduction)
        assert values[k].item() == value
        assert torch.equal(gradients[k], gradient)
        assert torch.equal(hessians[k].reshape(6, 6), diagonal(MASKS[k], reduction))
