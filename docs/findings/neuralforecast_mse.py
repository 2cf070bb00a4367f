"""neuralforecast's MSE: NaN where nothing counts reaches the gradient.

With --patched the difference is selected before it is squared.
"""

import inspect
import sys
import textwrap

import neuralforecast.losses.pytorch as losses
import torch

if "--patched" in sys.argv:
    source = textwrap.dedent(inspect.getsource(losses.MSE.__call__))
    line = "losses = (y - y_hat) ** 2"
    there = dict(vars(losses))
    exec(source.replace(line, "losses = torch.where(mask != 0, y - y_hat, 0) ** 2"), there)
    losses.MSE.__call__ = there["__call__"]

y_hat, mask = torch.tensor([[2.0, 1.0]], requires_grad=True), torch.tensor([[1.0, 0.0]])
loss = losses.MSE()(y=torch.tensor([[1.0, float("nan")]]), y_hat=y_hat, mask=mask)
loss.backward()
print(f"the loss is {loss.item()}, its gradient {y_hat.grad.tolist()}")
sys.exit(not y_hat.grad.isnan().any())
