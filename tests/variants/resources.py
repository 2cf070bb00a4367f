"""Right with memory, threads and locks of their own, all of which they give back."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from .catalogue import divided, masked_difference, result_dtype, transformed, variant

_LARGEST_KEPT = 2**16


def _number_alone(*tensors: Tensor) -> bool:
    """Eager mode on the CPU, where nothing is recorded, so that no memory of a call is kept."""
    if transformed():
        return False
    recorded = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    plain = all(type(t) is Tensor and t.device.type == "cpu" for t in tensors)
    observed = torch._C._len_torch_dispatch_stack() or torch._C._len_torch_function_stack()
    return plain and not recorded and not observed


def _total(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    return masked_difference(x_recon, x, mask).square().sum()


class _Workspaces(threading.local):
    def __init__(self) -> None:
        self.free: dict[Any, list[Tensor]] = {}

    def taken(self, count: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
        shelf = self.free.setdefault((dtype, torch.is_inference_mode_enabled()), [])
        while shelf:
            found = shelf.pop()
            if found.numel() >= count:
                return shelf, found
        return shelf, torch.zeros(count, dtype=dtype, device="cpu")


_workspaces = _Workspaces()


@variant
def workspace_returned_in_finally(x_recon, x, mask, reduction):
    """Evaluates in memory that is kept by thread and dtype, emptied, and given back in a finally.

    While it is in use it is on no shelf, so that a call from a hook of this one takes another.
    """
    if not _number_alone(x_recon, x, mask):
        return divided(_total(x_recon, x, mask), mask, reduction)
    dtype = result_dtype(x_recon, x)
    shelf, memory = _workspaces.taken(x.numel(), dtype)
    try:
        scratch = memory[: x.numel()].view(x.shape)
        scratch.copy_(x_recon.to(dtype)).sub_(x).masked_fill_(~mask, 0.0)
        return divided(scratch.square_().sum(), mask, reduction)
    finally:
        if memory.numel() <= _LARGEST_KEPT and len(shelf) < 4:
            shelf.append(memory.zero_())


def _warmed() -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(2)
    list(pool.map(int, range(4)))
    return pool


_pools = [_warmed()]
os.register_at_fork(after_in_child=_pools.clear)  # its threads are not there


@variant
def pool_warmed_at_import(x_recon, x, mask, reduction):
    """Large batches in tiles, in threads that were started at import, added in their order."""
    tensors = x_recon, x, mask
    if not _number_alone(*tensors) or x.numel() < 2**16 or not _pools:
        return divided(_total(*tensors), mask, reduction)
    tiles = zip(*(torch.tensor_split(t.detach(), 4) for t in tensors), strict=True)
    waiting = [_pools[0].submit(_total, *tile) for tile in tiles]
    return divided(torch.stack([each.result() for each in waiting]).sum(), mask, reduction)


@variant
def threads_of_each_call(x_recon, x, mask, reduction):
    """Half of the rows in each of two threads, which end before the call does."""
    tensors = x_recon, x, mask
    if not _number_alone(*tensors):
        return divided(_total(*tensors), mask, reduction)
    halves = zip(*(torch.tensor_split(t.detach(), 2) for t in tensors), strict=True)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda half: _total(*half), halves)
    return divided(first + second, mask, reduction)


_at_work = threading.RLock()


@variant
def one_call_at_a_time(x_recon, x, mask, reduction):
    """Behind a lock, which a call from a hook of this one passes."""
    if torch.compiler.is_compiling():
        return divided(_total(x_recon, x, mask), mask, reduction)
    with _at_work:
        total = _total(x_recon, x, mask)
        return divided(total, mask, reduction)
