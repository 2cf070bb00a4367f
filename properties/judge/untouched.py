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
        self.before = {name: _photo(tensor) for name, tensor in self.tensors.items()}

    def changed(self) -> list[str]:
        """What is not as it was, in words."""
        words = []
        for name, tensor in self.tensors.items():
            now, before = _photo(tensor), self.before[name]
            words += [f"{name}: {part}" for part in now if not _equal(now[part], before[part])]
        return words


def _equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


def _photo(tensor: Tensor) -> dict[str, Any]:
    memory = tensor.detach().untyped_storage()
    whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(memory)
    return {
        "values": whole.clone(),
        "version": 0 if tensor.is_inference() else internals.version(tensor),
        "requires_grad": tensor.requires_grad,
        "strides": (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype),
        "memory": memory.data_ptr(),
        "hooks": (internals.hooks(tensor), tensor.is_neg()),
        ".grad": None if not tensor.is_leaf or tensor.grad is None else id(tensor.grad),
    }
