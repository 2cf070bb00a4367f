"""Hiera of transformers: the mean of nothing is NaN. Its mask is true where one can see."""

import sys

import torch
from transformers import HieraConfig, HieraForPreTraining

model = HieraForPreTraining.__new__(HieraForPreTraining)
model.__dict__.update(config=HieraConfig(normalize_pixel_loss=False), pred_stride=1)
image, logits = torch.zeros(1, 1, 1, 2), torch.tensor([[[1.0], [3.0]]])
loss = HieraForPreTraining.forward_loss(model, image, logits, torch.tensor([[True, True]])).item()
print(f"with nothing masked the loss is {loss}")
sys.exit(loss == loss)
