"""Calls that are broken off midway: a checkpoint has what it needs, or no memory is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs.internals import TorchDispatchMode


class Saving(torch.autograd.graph.saved_tensors_hooks):
    """In here a tensor, by its number, cannot be saved, or not be taken again."""

    def __init__(self, number: int) -> None:
        super().__init__(self.hook, self.hook)
        self.left, self.raised = number, False

    def hook(self, tensor: Tensor) -> Tensor:
        self.left -= 1
        if self.left == -1:
            self.raised = True
            raise RuntimeError("broken off")
        return tensor.detach()  # an output of its own node would keep that, and be kept by it


class Computing(TorchDispatchMode):
    """In here an operator, by its number, finds no memory."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left, self.raised = number, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == -1:
            self.raised = True
            raise RuntimeError("out of memory")
        return func(*args, **(kwargs or {}))


def broken_calls(
    loss: Callable[..., Any], x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any
) -> None:
    """The same call and its backward, broken off at the first tensor or operator, then the next."""
    wrt = [tensor for tensor in (x_recon, x) if tensor.requires_grad]
    for kind in (Saving, Computing):
        for number in range(40):
            breaking = kind(number)
            try:
                with breaking:
                    found = loss(x_recon, x, mask, **named)
                    if wrt and isinstance(found, Tensor) and found.requires_grad:
                        torch.autograd.grad(found, wrt, allow_unused=True)
            except Exception:
                if not breaking.raised:
                    raise
            if not breaking.raised:
                break
