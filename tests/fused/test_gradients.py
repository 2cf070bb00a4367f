"""The gradients of wavemae.fused beyond what the suite draws: blocks, layouts, second order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from wavemae import fused
from wavemae.models import losses

from ..worked_example import MASK, X_RECON, X, any_reduction


def leaf(tensor: Tensor) -> Tensor:
    """A copy in float64 that requires grad."""
    return tensor.double().requires_grad_()


@any_reduction
def test_gradcheck_and_gradgradcheck(reduction: str) -> None:
    """First and second order are what finite differences say, upstream gradient included."""

    def loss(x_recon: Tensor, x: Tensor) -> Tensor:
        return fused.masked_sse(x_recon, x, MASK, reduction=reduction)  # type: ignore[arg-type]

    assert gradcheck(loss, (leaf(X_RECON), leaf(X)))
    assert gradgradcheck(loss, (leaf(X_RECON), leaf(X)))


@pytest.mark.parametrize("changed", ["x_recon", "x", "mask"])
def test_change_in_place_raises(changed: str) -> None:
    """An input changed between forward and backward raises torch's own error, at any size."""
    for repeats in (1, 300_000):
        x_recon, x, mask = (t.repeat(1, repeats) for t in (X_RECON, X, MASK))
        x_recon = x_recon.requires_grad_() * 1  # a leaf could not be changed in place
        loss = fused.masked_mse(x_recon, x, mask)
        {"x_recon": x_recon, "x": x, "mask": mask}[changed].detach().zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


# Two blocks of float32 and a part of a third, so that blocks have an end and the last is shorter.
SHAPES = [(1, 600_001), (600_001, 1), (773, 777), (2, 300_001)]


def layout(tensor: Tensor, kind: str) -> Tensor:
    """The same values with other strides."""
    if kind == "transposed":
        return tensor.t().contiguous().t()
    if kind == "strided":
        return torch.stack((tensor, tensor), 2)[:, :, 0]
    return tensor


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "kinds",
    [
        ("dense", "dense", "dense"),
        ("transposed", "transposed", "transposed"),
        ("strided", "dense", "strided"),
        ("transposed", "strided", "dense"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_blocks_cover_every_position_once(
    shape: tuple[int, int], kinds: tuple[str, ...], dtype: torch.dtype
) -> None:
    """Value and gradients agree with the definition's, for sizes and strides of every kind.

    The values are whole numbers, the squares sum up exactly, and so equality is exact.
    """
    generator = torch.Generator().manual_seed(0)
    found = []
    numbers = [torch.randint(-3, 4, shape, generator=generator).to(dtype) for _ in range(2)]
    mask = layout(torch.rand(shape, generator=generator) < 0.7, kinds[2])
    for loss in (fused.masked_sse, losses.masked_sse):
        x_recon, x = (
            layout(n, kind).detach().requires_grad_()
            for n, kind in zip(numbers, kinds[:2], strict=True)
        )
        value = loss(x_recon, x, mask, reduction="sum")
        value.backward()
        found.append((value, x_recon.grad, x.grad))
    for ours, wanted in zip(*found, strict=True):
        assert ours is not None
        assert wanted is not None
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("wanted", ["x_recon", "x"])
def test_only_the_gradient_that_is_wanted_is_made(wanted: str) -> None:
    """With one input requiring grad the other gets none, and the sign is its own."""
    inputs = {"x_recon": X_RECON.clone(), "x": X.clone()}
    inputs[wanted].requires_grad_()
    fused.masked_sse(**inputs, mask=MASK, reduction="sum").backward()
    gradient = inputs[wanted].grad
    assert gradient is not None
    sign = 1 if wanted == "x_recon" else -1
    assert torch.equal(gradient, sign * 2 * (X_RECON - X) * MASK)


def test_gradient_has_the_layout_of_its_input() -> None:
    """A dense transposed input gets a gradient with its strides, as built-in losses give."""
    x_recon = X_RECON.t().contiguous().t().requires_grad_()
    fused.masked_mse(x_recon, X, MASK).backward()
    assert x_recon.grad is not None
    assert x_recon.grad.stride() == x_recon.stride()


def test_number_of_threads_changes_no_bit() -> None:
    """Blocks and rows depend on sizes alone, so any number of threads adds up in one order."""
    x_recon, x = torch.randn(2, 700, 1501, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    values = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            values.append(fused.masked_mse(x_recon, x, x < 1).item())
    finally:
        torch.set_num_threads(before)
    assert len(set(values)) == 1


@pytest.mark.parametrize("create_graph", [False, True])
def test_infinite_upstream_stays_inside_the_mask(create_graph: bool) -> None:
    """Outside the mask the gradient is 0, not 0 times infinity (C12)."""
    x_recon = X_RECON.clone().requires_grad_()
    loss = fused.masked_sse(x_recon, X, MASK)
    upstream = torch.tensor(float("inf"))
    (gradient,) = torch.autograd.grad(loss, x_recon, upstream, create_graph=create_graph)
    assert gradient[~MASK].count_nonzero() == 0
    assert gradient[MASK].isinf().all()
