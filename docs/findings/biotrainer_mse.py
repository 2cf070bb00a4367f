"""biotrainer's MaskedRegressionLoss: a target of -100 is left out; no gradient where all are.

With --patched an empty selection gives a zero that is connected to the graph.
"""

import inspect
import sys
import textwrap

import torch
from biotrainer.losses import masked_mse_loss
from biotrainer.losses.masked_mse_loss import MaskedRegressionLoss

if "--patched" in sys.argv:
    source = textwrap.dedent(inspect.getsource(MaskedRegressionLoss.forward))
    line = "return torch.tensor(0.0, device=input.device, requires_grad=True)"
    there = dict(vars(masked_mse_loss))
    exec(source.replace(line, "return torch.where(mask, input, 0).sum()"), there)
    MaskedRegressionLoss.forward = there["forward"]

loss = MaskedRegressionLoss(torch.nn.functional.mse_loss)
dropped = loss(torch.tensor([-90.0, 1.0]), torch.tensor([-100.0, 1.0])).item()
print(f"a target of -100, reconstructed as -90: {dropped}, where 50 is right")
x_recon = torch.zeros(2, requires_grad=True)
loss(x_recon, torch.full((2,), -100.0)).backward()
print(f"the gradient where nothing is left: {x_recon.grad}")
sys.exit(not (dropped == 0 and x_recon.grad is None))
