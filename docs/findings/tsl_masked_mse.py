"""tsl's MaskedMetric of the squared error: NaN outside the mask reaches the gradient."""

import sys

import torch
from tsl.metrics.torch.metric_base import MaskedMetric

masked_mse = MaskedMetric(torch.nn.functional.mse_loss, metric_fn_kwargs={"reduction": "none"})
y_hat, mask = torch.tensor([[2.0, 1.0]], requires_grad=True), torch.tensor([[True, False]])
loss = masked_mse(y_hat, torch.tensor([[1.0, float("nan")]]), mask)
loss.backward()
print(f"the loss is {loss.item()}, its gradient {y_hat.grad.tolist()}")
sys.exit(not y_hat.grad.isnan().any())
