"""mse_loss under two vmaps that map different arguments: an error about sizes."""

import sys

import torch
from torch.func import vmap
from torch.nn.functional import mse_loss

a, b = torch.zeros(3, 2), torch.ones(4, 2)
try:
    found = vmap(lambda y: vmap(lambda x: mse_loss(x, y))(a))(b)
except RuntimeError as error:
    print(f"RuntimeError: {error}")
    sys.exit(0)
print(found)
sys.exit(1)
