"""chemomae: float16 overflows, an integer mask is taken for row numbers, rows are broadcast.

With --patched the one line that differs is replaced in masked_mse.
"""

import inspect
import sys

import chemomae.models.losses as losses
import torch

if "--patched" in sys.argv:
    source = inspect.getsource(losses.masked_mse)
    line = "diff2 = (x_recon - x).pow(2)[mask]"
    mended = (
        "assert x_recon.shape == x.shape == mask.shape and mask.dtype == torch.bool\n"
        "    diff2 = (x_recon[mask].float() - x[mask].float()).pow(2)"
    )
    there = dict(vars(losses))
    exec(source.replace(line, mended), there)
    losses.masked_mse = there["masked_mse"]

x, x_recon = torch.zeros(2, 3), torch.tensor([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]])
mask = torch.tensor([[1, 0, 0], [0, 0, 0]])
half = losses.masked_mse((300 * x_recon).half(), x.half(), mask.bool()).item()
print(f"float16: {half}, where 90000 is right")
if half == 90000:
    sys.exit(1)
numbers = losses.masked_mse(x_recon, x, mask).item()
print(f"with a mask of 0 and 1: {numbers:.4f}, where 1 is right")
broadcast = losses.masked_mse(x_recon, x[:1], mask.bool()).item()
print(f"with one row of x for two of x_recon: {broadcast}, without a word")
sys.exit(not (numbers > 14 and broadcast == 1))
