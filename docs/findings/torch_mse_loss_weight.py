"""F.mse_loss(weight=) in float16: the sum of the weights overflows, and the loss is 0."""

import sys

import torch
from torch.nn.functional import mse_loss

one = torch.ones(70_000, dtype=torch.half)
loss, plain = mse_loss(one, 0.9 * one, weight=one), mse_loss(one, 0.9 * one)
print(f"with weights of 1 the loss is {loss.item()}, without {plain.item():.4f}")
sys.exit(loss.item() != 0)
