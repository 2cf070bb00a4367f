"""How the definition can be run: without data, compiled, exported, transformed (C17 to C19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.func import grad, hessian, jacrev, jvp, vmap

from wavemae import masked_mse, masked_sse

Loss = Callable[..., Tensor]

X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
X_RECON = torch.tensor([[1.5, 9.0, 5.0], [4.5, 7.0, 3.0]])
MASK = torch.tensor([[True, False, True], [True, False, True]])
GRAD_OF_SUM = torch.tensor([[1.0, 0.0, 4.0], [1.0, 0.0, -6.0]])
REDUCTIONS = ("sum", "mean", "batch_mean")

either_loss = pytest.mark.parametrize("loss", [masked_sse, masked_mse])
any_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """No compiled code from before, and none left behind."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@either_loss
@any_reduction
def test_meta_tensors(loss: Loss, reduction: str) -> None:
    """With no data at all, shape, dtype, device and the gradient's shape are known (C17)."""
    x_recon = X_RECON.to("meta").half().requires_grad_()
    result = loss(x_recon, X.to("meta"), MASK.to("meta"), reduction=reduction)
    assert (result.shape, result.dtype, result.device.type) == ((), torch.float32, "meta")
    result.backward()
    assert x_recon.grad is not None
    assert (x_recon.grad.shape, x_recon.grad.dtype) == (X_RECON.shape, torch.float16)


@either_loss
@any_reduction
def test_fake_tensors(loss: Loss, reduction: str) -> None:
    """Fake tensors, as tracers use them, pass through; a read of data would raise (C17)."""
    with FakeTensorMode() as mode:
        x_recon, x, mask = (mode.from_tensor(t) for t in (X_RECON, X, MASK))
        result = loss(x_recon, x, mask, reduction=reduction)
    assert isinstance(result, FakeTensor)
    assert (result.shape, result.dtype) == ((), torch.float32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@either_loss
@any_reduction
def test_no_synchronisation_on_cuda(loss: Loss, reduction: str) -> None:
    """Forward and backward run with CUDA's sync debug mode set to raise (C17)."""
    x_recon, x, mask = X_RECON.cuda().requires_grad_(), X.cuda(), MASK.cuda()
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(x_recon, x, mask, reduction=reduction).backward()
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert x_recon.grad is not None
    assert x_recon.grad.cpu().ne(0).equal(MASK)


@pytest.mark.usefixtures("fresh_compiler")
@either_loss
@any_reduction
def test_compiles_whole(loss: Loss, reduction: str) -> None:
    """`fullgraph=True` takes it, with the eager value and gradient (C18)."""
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    x_recon, x_recon_eager = X_RECON.clone().requires_grad_(), X_RECON.clone().requires_grad_()
    got = compiled(x_recon, X, MASK, reduction=reduction)
    expected = loss(x_recon_eager, X, MASK, reduction=reduction)
    assert torch.equal(got, expected)
    (got_grad,) = torch.autograd.grad(got, x_recon)
    (expected_grad,) = torch.autograd.grad(expected, x_recon_eager)
    assert torch.equal(got_grad, expected_grad)


@pytest.mark.usefixtures("fresh_compiler")
@either_loss
def test_compiles_once_for_all_masks_and_sizes(loss: Loss) -> None:
    """One graph serves another mask, an empty mask, another B and another L (C18)."""
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, _inputs: list[Any]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=count)
    cases = [
        (X_RECON, X, MASK),
        (X_RECON, X, ~MASK),
        (X_RECON, X, torch.zeros_like(MASK)),
        tuple(t.repeat(2, 1) for t in (X_RECON, X, MASK)),
        tuple(t.repeat(1, 3) for t in (X_RECON, X, MASK)),
    ]
    for case in cases:
        assert torch.equal(compiled(*case), loss(*case))
    assert len(graphs) == 1


@pytest.mark.usefixtures("fresh_compiler")
@either_loss
@any_reduction
def test_exports_with_dynamic_sizes(loss: Loss, reduction: str) -> None:
    """`torch.export` takes it with B and L dynamic, and the program serves other sizes (C18)."""

    class Module(torch.nn.Module):
        def forward(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
            return loss(x_recon, x, mask, reduction=reduction)

    sizes = {0: torch.export.Dim("B", min=1), 1: torch.export.Dim("L", min=1)}
    program = torch.export.export(
        Module(), (X_RECON, X, MASK), dynamic_shapes={"x_recon": sizes, "x": sizes, "mask": sizes}
    )
    larger = tuple(t.repeat(2, 3) for t in (X_RECON, X, MASK))
    assert torch.equal(program.module()(*larger), loss(*larger, reduction=reduction))


@either_loss
@any_reduction
def test_vmap(loss: Loss, reduction: str) -> None:
    """Mapped over a leading dimension, each slice gets its own loss, 0 for an empty mask (C19)."""
    x_recon = torch.stack([X_RECON, X, X_RECON])
    mask = torch.stack([MASK, MASK, torch.zeros_like(MASK)])
    got = vmap(lambda a, m: loss(a, X, m, reduction=reduction))(x_recon, mask)
    whole = 13.5 / {"sum": 1, "mean": 4, "batch_mean": 2}[reduction]
    assert got.tolist() == [whole, 0.0, 0.0]


@either_loss
def test_func_grad(loss: Loss) -> None:
    """`torch.func.grad` by either input gives the gradient of the sum and its negation (C19)."""
    by_x_recon, by_x = grad(loss, argnums=(0, 1))(X_RECON, X, MASK, reduction="sum")
    assert torch.equal(by_x_recon, GRAD_OF_SUM)
    assert torch.equal(by_x, -GRAD_OF_SUM)


@either_loss
def test_func_vmap_of_grad(loss: Loss) -> None:
    """Gradients per sample: each row by itself, in one call (C19)."""

    def of_row(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return loss(x_recon[None], x[None], mask[None], reduction="sum")

    assert torch.equal(vmap(grad(of_row))(X_RECON, X, MASK), GRAD_OF_SUM)


@either_loss
def test_func_jvp_and_jacrev(loss: Loss) -> None:
    """Forward mode gives 1·1 + 4·2 + 1·3 − 6·4 = −12, `jacrev` the gradient itself (C19)."""
    direction = torch.tensor([[1.0, 10.0, 2.0], [3.0, 10.0, 4.0]])

    def of_x_recon(x_recon: Tensor) -> Tensor:
        return loss(x_recon, X, MASK, reduction="sum")

    value, tangent, *_ = jvp(of_x_recon, (X_RECON,), (direction,))
    assert (value.item(), tangent.item()) == (13.5, -12.0)
    assert torch.equal(jacrev(of_x_recon)(X_RECON), GRAD_OF_SUM)


@either_loss
def test_func_hessian(loss: Loss) -> None:
    """The Hessian of the sum is 2 on the diagonal where masked and 0 elsewhere (C19)."""
    second = hessian(lambda x_recon: loss(x_recon, X, MASK, reduction="sum"))(X_RECON)
    assert torch.equal(second.reshape(6, 6), torch.diag(2.0 * MASK.flatten().float()))
