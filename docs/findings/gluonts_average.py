"""GluonTS's weighted_average: the value is clean, NaN of weight 0 reaches the gradient."""

import sys

import torch
from gluonts.torch.util import weighted_average

x_recon, weights = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor([1.0, 0.0])
loss = weighted_average((x_recon - torch.tensor([1.0, float("nan")])) ** 2, weights)
loss.backward()
print(f"the loss is {loss.item()}, its gradient {x_recon.grad.tolist()}")
sys.exit(not x_recon.grad.isnan().any())
