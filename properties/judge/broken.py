"""Calls that are broken off midway: a checkpoint has what it needs, or no memory is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs.internals import TorchDispatchMode, uncompiled

_MOST = 40  # places, the first of a call, and as many in all of it, at which it is broken off


class Breaking:
    """Counts what happens in a call, and raises once: where the count is at a number."""

    def __init__(self, number: int, error: type[Exception]) -> None:
        self.number, self.error, self.count, self.raised = number, error, 0, False

    def counted(self) -> None:
        self.count += 1
        if self.count == self.number:
            self.raised = True
            raise self.error("broken off")

    def saved(self, tensor: Tensor) -> Tensor:
        self.counted()
        return tensor.detach()  # an output of its own node would keep that, and be kept by it


class Computing(TorchDispatchMode):
    """Every operator is counted."""

    def __init__(self, breaking: Breaking) -> None:
        super().__init__()
        self.breaking = breaking

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.breaking.counted()
        return func(*args, **(kwargs or {}))


def while_saving(breaking: Breaking, called: Callable[[], None]) -> None:
    """Called, and broken off where a tensor is saved, or taken again."""
    with torch.autograd.graph.saved_tensors_hooks(breaking.saved, breaking.saved):
        called()


def while_computing(breaking: Breaking, called: Callable[[], None]) -> None:
    """Called, and broken off at an operator; what is compiled runs as it is written meanwhile."""
    with uncompiled(), Computing(breaking):
        called()


def broken_calls(
    loss: Callable[..., Any],
    x_recon: Tensor,
    x: Tensor,
    mask: Tensor,
    *,
    backward: bool = True,
    **named: Any,
) -> None:
    """The same call and its backward, broken off at the first tensor or operator, then the next."""
    wrt = [tensor for tensor in (x_recon, x) if tensor.requires_grad and backward]

    def called() -> None:
        found = loss(x_recon, x, mask, **named)
        if wrt and isinstance(found, Tensor) and found.requires_grad:
            torch.autograd.grad(found, wrt, allow_unused=True)

    def broken_off(within: Callable[..., None], number: int) -> Breaking:
        # Python's own want of memory is no RuntimeError, and torch's is one.
        breaking = Breaking(number, (RuntimeError, MemoryError)[(number + x.numel()) % 2])
        try:
            within(breaking, called)
        except Exception:
            # There are things that torch refuses to do in a mode.
            if not breaking.raised and within is while_saving:
                raise
        return breaking

    for within in (while_saving, while_computing):
        if all(broken_off(within, number).raised for number in range(1, _MOST + 1)):
            whole = broken_off(within, 0).count  # not before, for it may leave what lasts
            for number in range(_MOST + 1, whole + 1, -(-whole // _MOST)):
                broken_off(within, number)
