"""The definition in mixed precision, and on a GPU (C5, C16, C17)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ..worked_example import (
    GRAD_OF_SUM,
    MASK,
    X_RECON,
    Loss,
    X,
    any_reduction,
    either_loss,
    every_loss,
)

# n and B are powers of two here, so that every quotient is exact.
DIVISOR = {"sum": 1.0, "mean": 4.0, "batch_mean": 2.0}

HALF_DTYPES = (torch.float16, torch.bfloat16)

any_half = pytest.mark.parametrize("half", HALF_DTYPES)
some_device = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(), reason="needs a GPU that CUDA drives"
            ),
        ),
    ],
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA drives")


@some_device
@either_loss
@any_reduction
@any_half
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALF_DTYPES])
def test_autocast_changes_nothing(
    loss: Loss, reduction: str, dtype: torch.dtype, half: torch.dtype, device: str
) -> None:
    """Value, dtype and gradients in autocast are those outside of it, to the last bit (C16)."""
    x_recon, x = (t.to(device, dtype, copy=True).requires_grad_() for t in (X_RECON, X))
    with torch.autocast(device, dtype=half):
        assert torch.mm(X.to(device), X.to(device).t()).dtype == half  # autocast is on
        result = loss(x_recon, x, MASK.to(device), reduction=reduction)
    assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert result.item() == 13.5 / DIVISOR[reduction]
    result.backward()
    for tensor, sign in ((x_recon, 1.0), (x, -1.0)):
        assert tensor.grad is not None
        assert tensor.grad.dtype == dtype
        assert torch.equal(tensor.grad.cpu().float(), sign * GRAD_OF_SUM / DIVISOR[reduction])


@some_device
@either_loss
@any_half
def test_autocast_keeps_digits_that_half_lacks(loss: Loss, half: torch.dtype, device: str) -> None:
    """A difference of 2⁻²⁰ next to 1 and a square of 2²⁰ survive in autocast (C5, C16)."""
    x_recon = torch.tensor([[1.0 + 2.0**-20, 1024.0]], device=device)
    x = torch.tensor([[1.0, 0.0]], device=device)
    with torch.autocast(device, dtype=half):
        small = loss(x_recon, x, torch.tensor([[True, False]], device=device))
        large = loss(x_recon, x, torch.tensor([[False, True]], device=device))
    assert (small.item(), large.item()) == (2.0**-40, 2.0**20)


@some_device
@either_loss
@any_half
def test_autocast_around_model_and_loss(loss: Loss, half: torch.dtype, device: str) -> None:
    """The half-precision output of a model in autocast meets its float32 target undamaged (C5)."""
    model = nn.Linear(3, 3, bias=False, device=device)
    with torch.no_grad():
        model.weight.copy_(torch.eye(3) * 512.0)
    with torch.autocast(device, dtype=half):
        x_recon = model(X.to(device))
        result = loss(x_recon, X.to(device), MASK.to(device), reduction="sum")
    assert x_recon.dtype == half
    # 511² · (1 + 9 + 16 + 36): beyond float16's range, and every step of it exact in float32.
    assert result.item() == 511.0**2 * 62
    result.backward()
    assert model.weight.grad is not None
    assert bool(model.weight.grad.isfinite().all())
    assert model.weight.grad.dtype == torch.float32


def training(
    loss: Loss, device: str, half: torch.dtype, scale: float, steps: int = 40
) -> tuple[list[float], list[float]]:
    """Losses and scales of a linear model that is trained in autocast under a `GradScaler`."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(32, 8, generator=generator).to(device)
    model = nn.Linear(8, 8, device=device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    scaler = torch.amp.GradScaler(device, init_scale=scale, growth_interval=10**6)
    losses, scales = [], []
    for step in range(steps):
        mask = (torch.rand(32, 8, generator=generator) < 0.5).to(device)
        if step == 1:
            mask = torch.zeros_like(mask)
        optimizer.zero_grad()
        with torch.autocast(device, dtype=half):
            result = loss(model(x), x, mask, reduction="batch_mean")
        scaler.scale(result).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(result.item())
        scales.append(scaler.get_scale())
    return losses, scales


@some_device
@either_loss
@any_half
def test_training_with_grad_scaler(loss: Loss, half: torch.dtype, device: str) -> None:
    """A scaled training learns, also through a step with nothing masked, and never overflows."""
    losses, scales = training(loss, device, half, scale=2.0**6)
    assert losses[1] == 0.0
    assert 0.0 < losses[-1] < losses[0] / 5
    assert set(scales) == {2.0**6}


@some_device
@either_loss
def test_grad_scaler_sees_an_overflow_and_recovers(loss: Loss, device: str) -> None:
    """Gradients beyond float16 arrive as infinities, so that the scaler backs off and goes on."""
    losses, scales = training(loss, device, torch.float16, scale=2.0**24)
    assert scales[0] == 2.0**23
    assert losses[-1] < losses[0] / 5
    assert scales[-1] < 2.0**24


@some_device
@either_loss
@any_reduction
def test_scale_passes_through_half_gradients(loss: Loss, reduction: str, device: str) -> None:
    """A gradient that float16 alone would round to 0 is there, times the scale (C11)."""
    difference = 2.0**-14  # twice this over 2¹³ positions is 2⁻²⁶, below float16's least 2⁻²⁴
    x_recon = torch.full((2**13, 1), difference, dtype=torch.float16, device=device)
    x_recon.requires_grad_()
    x, mask = torch.zeros_like(x_recon), torch.ones_like(x_recon, dtype=torch.bool)
    result = loss(x_recon, x, mask, reduction=reduction)
    divisor = 1.0 if reduction == "sum" else 2.0**13
    scaler = torch.amp.GradScaler(device, init_scale=2.0**10)
    (unscaled,) = torch.autograd.grad(result, x_recon, retain_graph=True)
    (scaled,) = torch.autograd.grad(scaler.scale(result), x_recon)
    assert torch.equal(scaled, torch.full_like(x_recon, 2 * difference * 2.0**10 / divisor))
    assert bool((unscaled == 0).all()) == (reduction != "sum")


@needs_gpu
@every_loss
@any_reduction
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_no_synchronisation_on_cuda(loss: Loss, reduction: str, dtype: torch.dtype) -> None:
    """Forward and backward run with CUDA's sync debug mode set to raise (C17)."""
    x_recon, x, mask = X_RECON.cuda().to(dtype).requires_grad_(), X.cuda(), MASK.cuda()
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(x_recon, x, mask, reduction=reduction).backward()
        with pytest.raises(RuntimeError):
            mask.any().item()  # the mode is on
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert x_recon.grad is not None
    assert torch.equal(x_recon.grad.cpu().float(), GRAD_OF_SUM / DIVISOR[reduction])


@needs_gpu
@every_loss
@any_reduction
def test_cuda_graph_replays_with_another_mask(loss: Loss, reduction: str) -> None:
    """Captured once, forward and backward are right for masks that came later (C17)."""
    x_recon, x, mask = X_RECON.cuda().requires_grad_(), X.cuda(), MASK.cuda()

    def step() -> tuple[Tensor, Tensor]:
        result = loss(x_recon, x, mask, reduction=reduction)
        return result, torch.autograd.grad(result, x_recon)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # lets libraries and allocator warm up, as capture asks for
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value, grad = step()
    column = torch.zeros_like(MASK)
    column[:, 1] = True
    for new in (MASK, column, torch.zeros_like(MASK)):
        mask.copy_(new)
        graph.replay()
        recon = X_RECON.clone().requires_grad_()
        wanted = loss(recon, X, new, reduction=reduction)  # on the CPU, and exact
        wanted.backward()
        assert value.item() == wanted.item()
        assert recon.grad is not None
        assert torch.equal(grad.cpu(), recon.grad)
