"""What the definition leaves alone, and what it does not care about (C14 to C16)."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import Barrier

import pytest
import torch
from torch import Tensor

from ..worked_example import GRAD_OF_SUM, MASK, X_RECON, Loss, X, either_loss


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Another default dtype for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@either_loss
@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean"])
def test_inputs_are_left_alone(loss: Loss, reduction: str) -> None:
    """Values, versions, flags and strides are as before, after forward and after backward (C14)."""
    x_recon = X_RECON.clone().requires_grad_()
    x, mask = X.clone(), MASK.clone()
    inputs = (x_recon, x, mask)

    def facts() -> list[tuple[int, bool, tuple[int, ...]]]:
        return [(t._version, t.requires_grad, t.stride()) for t in inputs]

    before = facts()
    loss(x_recon, x, mask, reduction=reduction).backward()
    assert facts() == before
    for tensor, original in zip(inputs, (X_RECON, X, MASK), strict=True):
        assert torch.equal(tensor, original)


@either_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_result_shares_no_memory(loss: Loss, dtype: torch.dtype) -> None:
    """Also for a single position, writing to the result leaves the inputs as they were (C14)."""
    x_recon, x = torch.full((1, 1), 3.0, dtype=dtype), torch.zeros(1, 1, dtype=dtype)
    mask = torch.ones(1, 1, dtype=torch.bool)
    result = loss(x_recon, x, mask)
    result.fill_(7.0)
    assert (x_recon.item(), x.item(), mask.item()) == (3.0, 0.0, True)
    storages = {t.untyped_storage().data_ptr() for t in (x_recon, x, mask)}
    assert result.untyped_storage().data_ptr() not in storages


def transposed(tensor: Tensor) -> Tensor:
    """The same numbers, stored column by column."""
    return tensor.t().contiguous().t()


def every_other_column(tensor: Tensor) -> Tensor:
    """The same numbers, each followed in memory by one that does not belong."""
    return torch.stack([tensor, torch.ones_like(tensor)], dim=2).flatten(1)[:, ::2]


def with_offset(tensor: Tensor) -> Tensor:
    """The same numbers, a few elements into a larger storage."""
    wide = torch.ones(tensor.shape[0] + 2, tensor.shape[1] + 3, dtype=tensor.dtype)
    wide[1:-1, 2:-1] = tensor
    return wide[1:-1, 2:-1]


@either_loss
@pytest.mark.parametrize("layout", [transposed, every_other_column, with_offset])
def test_strides_and_offsets_do_not_matter(loss: Loss, layout: Callable[[Tensor], Tensor]) -> None:
    """A view in an odd layout gives the value and the gradient of a dense tensor (C15)."""
    x_recon = layout(X_RECON).requires_grad_()
    result = loss(x_recon, layout(X), layout(MASK), reduction="sum")
    (grad,) = torch.autograd.grad(result, x_recon)
    assert not x_recon.is_contiguous()
    assert result.item() == 13.5
    assert torch.equal(grad, GRAD_OF_SUM)


@either_loss
def test_expanded_inputs(loss: Loss) -> None:
    """A row expanded over the batch counts once per sample: 2 · (0.25 + 4) (C15)."""
    x_recon, x, mask = (t[:1].expand(2, 3) for t in (X_RECON, X, MASK))
    assert loss(x_recon, x, mask, reduction="sum").item() == 8.5


@either_loss
@pytest.mark.parametrize(
    "context",
    [
        pytest.param(lambda: torch.autocast("cpu", dtype=torch.bfloat16), id="autocast"),
        pytest.param(torch.no_grad, id="no_grad"),
        pytest.param(torch.inference_mode, id="inference_mode"),
        pytest.param(lambda: default_dtype(torch.float64), id="default float64"),
        pytest.param(lambda: default_dtype(torch.float16), id="default float16"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_same_in_any_context(
    loss: Loss, dtype: torch.dtype, context: Callable[[], AbstractContextManager[None]]
) -> None:
    """Autocast, grad modes and the default dtype change neither value nor dtype (C16)."""
    x_recon, x = torch.full((1, 3), 512.0, dtype=dtype), torch.zeros(1, 3, dtype=dtype)
    mask = torch.tensor([[True, False, True]])
    with context():
        result = loss(x_recon, x, mask, reduction="sum")
    assert result.dtype == torch.float32
    assert result.item() == 2 * 512.0**2


@either_loss
def test_globals_are_left_alone(loss: Loss, capfd: pytest.CaptureFixture[str]) -> None:
    """Generators, default dtype, grad mode and threads stay; nothing is printed or warned (C16)."""

    def state() -> tuple[object, ...]:
        return (
            random.getstate(),
            torch.get_rng_state().tolist(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            list(warnings.filters),
        )

    before = state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss(X_RECON.clone().requires_grad_(), X, MASK).backward()
    assert state() == before
    assert caught == []
    assert capfd.readouterr() == ("", "")


@either_loss
def test_deterministic(loss: Loss) -> None:
    """Ten calls on the same large input give one and the same bit pattern (C16)."""
    generator = torch.Generator().manual_seed(3)
    x_recon = torch.randn(64, 4099, generator=generator)
    x = torch.randn(64, 4099, generator=generator)
    mask = torch.rand(64, 4099, generator=generator) < 0.75
    results = torch.stack([loss(x_recon, x, mask) for _ in range(10)])
    assert torch.unique(results.view(torch.int32)).numel() == 1


@either_loss
def test_many_threads(loss: Loss) -> None:
    """Eight threads that call at once each get the result of their own inputs (C16)."""
    start = Barrier(8)

    def work(k: int) -> list[tuple[float, bool]]:
        start.wait(timeout=30)
        results = []
        for _ in range(25):
            x_recon = (X_RECON * 2.0**k).requires_grad_()
            result = loss(x_recon, X * 2.0**k, MASK, reduction="sum")
            result.backward()
            grad = x_recon.grad
            right = grad is not None and torch.equal(grad, GRAD_OF_SUM * 2.0**k)
            results.append((result.item(), right))
        return results

    with ThreadPoolExecutor(8) as pool:
        for k, results in enumerate(pool.map(work, range(8))):
            assert results == [(13.5 * 4.0**k, True)] * 25
