"""The definition without data; test_losses_amp.py has what C17 says about GPUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from wavemae import masked_mse, masked_sse

Loss = Callable[..., Tensor]

X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
X_RECON = torch.tensor([[1.5, 9.0, 5.0], [4.5, 7.0, 3.0]])
MASK = torch.tensor([[True, False, True], [True, False, True]])
REDUCTIONS = ("sum", "mean", "batch_mean")

either_loss = pytest.mark.parametrize("loss", [masked_sse, masked_mse])
any_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


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
