"""vmap over the gradient of mse_loss's mean, on no elements: ZeroDivisionError."""

import sys

import torch
from torch.func import grad, vmap
from torch.nn.functional import mse_loss

nothing = torch.zeros(2, 0)
print("without vmap:", grad(mse_loss)(nothing[0], nothing[0]))
try:
    print("with vmap:", vmap(grad(mse_loss))(nothing, nothing))
except ZeroDivisionError as error:
    print(f"with vmap: ZeroDivisionError: {error}")
    sys.exit(0)
sys.exit(1)
