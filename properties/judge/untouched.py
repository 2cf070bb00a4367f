"""C14: are tensors what they were?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..inputs import internals


class Untouched:
    """C14: compares tensors with what they were: bytes, version, strides, what they require."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.tensors = {
            name: t for name, t in tensors.items() if isinstance(t, Tensor) and not t.is_meta
        }
        self.memory = {name: _memory(tensor).clone() for name, tensor in self.tensors.items()}
        self.traits = {name: _traits(tensor) for name, tensor in self.tensors.items()}

    def changed(self) -> list[str]:
        """What is not as it was, in words."""
        words = []
        for name, tensor in self.tensors.items():
            memory, bytes_before = _memory(tensor), self.memory[name]
            if memory.dtype != bytes_before.dtype or not torch.equal(memory, bytes_before):
                words.append(f"{name}: values")
            now, before = _traits(tensor), self.traits[name]
            words += [f"{name}: {trait}" for trait in now if now[trait] != before[trait]]
        return words


def _memory(tensor: Tensor) -> Tensor:
    """All bytes that the tensor's storage holds, eight at a time where that comes out even."""
    memory = tensor.detach().untyped_storage()
    dtype = torch.uint8 if memory.nbytes() % 8 else torch.int64
    return torch.empty(0, dtype=dtype, device=tensor.device).set_(memory)


def _traits(tensor: Tensor) -> dict[str, Any]:
    return {
        "version": 0 if tensor.is_inference() else internals.version(tensor),
        "requires_grad": tensor.requires_grad,
        "strides": (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype),
        "memory": tensor.detach().untyped_storage().data_ptr(),
        "hooks": (internals.hooks(tensor), tensor.is_neg()),
        "retains_grad": tensor.retains_grad,
        ".grad": None if not tensor.is_leaf or tensor.grad is None else id(tensor.grad),
    }
