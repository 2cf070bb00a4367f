"""Calls that are broken off midway, as a checkpoint does once it has what it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Breaking:
    """A hook on saved tensors that raises once, when one is saved or taken, by its number."""

    def __init__(self, number: int) -> None:
        self.left, self.raised = number, False

    def __call__(self, tensor: Tensor) -> Tensor:
        self.left -= 1
        if self.left == -1:
            self.raised = True
            raise RuntimeError("broken off")
        return tensor.detach()  # an output of its own node would keep that, and be kept by it


def broken_calls(
    loss: Callable[..., Any], x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any
) -> None:
    """The same call and its backward, broken off at the first saved tensor, then the second, ..."""
    wrt = [tensor for tensor in (x_recon, x) if tensor.requires_grad]
    for number in range(40):
        breaking = Breaking(number)
        try:
            with torch.autograd.graph.saved_tensors_hooks(breaking, breaking):
                found = loss(x_recon, x, mask, **named)
                if wrt and isinstance(found, Tensor) and found.requires_grad:
                    torch.autograd.grad(found, wrt, allow_unused=True)
        except Exception:
            if not breaking.raised:
                raise
        if not breaking.raised:
            return
