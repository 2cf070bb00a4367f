"""The definition without data; test_amp.py has what C17 says about GPUs."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from ..worked_example import MASK, X_RECON, Loss, X, any_reduction, either_loss


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
