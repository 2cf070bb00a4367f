"""Calls that are broken off midway, as where memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs.internals import TorchDispatchMode


class Breaking(TorchDispatchMode):
    """Raises at one operator, by its number, what torch raises where there is no memory left."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.seen = number, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += 1
        if self.seen > self.number:
            raise torch.OutOfMemoryError("out of memory, as a test has it")
        return func(*args, **(kwargs or {}))


def broken_calls(
    loss: Callable[..., Any], x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any
) -> None:
    """The same call and its backward, broken off at its first operator, its second, and so on."""
    wrt = [tensor for tensor in (x_recon, x) if tensor.requires_grad]
    for number in range(40):
        with contextlib.suppress(torch.OutOfMemoryError), Breaking(number) as breaking:
            found = loss(x_recon, x, mask, **named)
            if wrt and isinstance(found, Tensor) and found.requires_grad:
                torch.autograd.grad(found, wrt)
        if breaking.seen <= number:
            return
