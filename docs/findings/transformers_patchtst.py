"""PatchTST of transformers: what past_observed_mask calls missing is scored all the same."""

import sys

import torch
from transformers import PatchTSTConfig, PatchTSTForPretraining

torch.manual_seed(0)
small = {"patch_length": 1, "patch_stride": 1, "d_model": 4, "num_attention_heads": 1}
config = PatchTSTConfig(**small, context_length=4, num_hidden_layers=1, random_mask_ratio=0.99)
model, observed = PatchTSTForPretraining(config).eval(), torch.tensor([[[1], [1], [1], [0]]])
losses = []
for missing in (0.0, 1000.0):
    x = torch.tensor([[[1.0], [2.0], [3.0], [missing]]])
    losses.append(model(x, observed).loss.item())
print(f"the missing value is 0 or 1000: the loss is {losses[0]:.3g} or {losses[1]:.3g}")
sys.exit(not (losses[0] < 10 and losses[1] > 100_000))
