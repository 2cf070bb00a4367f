"""Keras: the mask that a layer hands on is multiplied in after squaring, so that NaN stays NaN."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import torch

x, x_recon = torch.tensor([[[1.0], [float("nan")]]]), torch.tensor([[[2.0], [1.0]]])
x_recon._keras_mask = torch.tensor([[True, False]])
loss = keras.losses.MeanSquaredError()
spoilt, clean = loss(x, x_recon).item(), loss(x.nan_to_num(), x_recon).item()
print(f"with NaN outside the mask {spoilt}, with 0 there {clean}")
sys.exit(not (spoilt != spoilt and clean == 1))
