"""MONAI's MaskedLoss: the mean is over all positions, and outside the mask an infinity is NaN."""

import sys

import torch
from monai.losses import MaskedLoss

loss, one = MaskedLoss(torch.nn.MSELoss), torch.ones(1, 1, 8)
mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]])
mean, spoilt = loss(one, 0 * one, mask).item(), loss(one / mask, 0 * one, mask).item()
print(f"two of eight masked, each off by 1: {mean}, where 1 is right")
print(f"with infinities outside the mask: {spoilt}")
sys.exit(not (mean == 0.25 and spoilt != spoilt))
