"""One small batch whose losses and gradients are known by heart, and who is tried on it.

Masked differences 0.5, 2, 0.5, -3; their squares 0.25, 4, 0.25, 9; the sum 13.5. `GRAD_OF_SUM`,
the gradient of the sum by x_recon, is twice the masked differences.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wavemae import fused, masked_mse, masked_sse

Loss = Callable[..., Tensor]

X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
X_RECON = torch.tensor([[1.5, 9.0, 5.0], [4.5, 7.0, 3.0]])
MASK = torch.tensor([[True, False, True], [True, False, True]])
GRAD_OF_SUM = torch.tensor([[1.0, 0.0, 4.0], [1.0, 0.0, -6.0]])

REDUCTIONS = ("sum", "mean", "batch_mean")

either_loss = pytest.mark.parametrize("loss", [masked_sse, masked_mse])
every_loss = pytest.mark.parametrize(
    "loss",
    [masked_sse, masked_mse, fused.masked_sse, fused.masked_mse],
    ids=["masked_sse", "masked_mse", "fused.masked_sse", "fused.masked_mse"],
)
any_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
