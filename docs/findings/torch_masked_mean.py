"""torch.masked.mean of a square: NaN outside the mask reaches the gradient."""

import sys

import torch

x_recon, mask = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor([True, False])
loss = torch.masked.mean((x_recon - torch.tensor([1.0, float("nan")])) ** 2, mask=mask)
loss.backward()
print(f"the loss is {loss.item()}, its gradient {x_recon.grad.tolist()}")
sys.exit(not x_recon.grad.isnan().any())
