"""ViTMAE of transformers: a mask ratio of 0 gives NaN."""

import sys

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

one = {"num_hidden_layers": 1, "num_attention_heads": 1, "hidden_size": 8}
small = {"image_size": 4, "patch_size": 1, "mask_ratio": 0.0, "decoder_num_hidden_layers": 1}
model = ViTMAEForPreTraining(ViTMAEConfig(**one, **small))
loss = model(torch.zeros(1, 3, 4, 4)).loss.item()
print(f"with nothing masked the loss is {loss}")
sys.exit(loss == loss)
