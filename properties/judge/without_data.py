"""Calls on tensors that hold nothing, and what asks for data: as `acts.py` has plain calls."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from .acts import Call, Found, Names, pull, wanted
from .ways import deterministic


class ReadsBack(internals.TorchDispatchMode):
    """Records operators that bring data to the host, or whose output's shape depends on data."""

    NAMES = frozenset(
        [
            "_local_scalar_dense",
            "item",
            "is_nonzero",
            "equal",
            "nonzero",
            "masked_select",
            "unique",
            "unique_consecutive",
            "_unique2",
            "unique_dim",
            "allclose",
            "bincount",
            "repeat_interleave",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.operators: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.operators.append(str(func))
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in args[1]
            if i is not None
        )
        if name != "index" and by_mask:  # with one number from the host, torch fills under the mask
            by_mask = args[2].numel() != 1 or args[2].device.type != "cpu"
        if name in self.NAMES or by_mask:
            self.seen.append(f"{func} (a boolean index)" if by_mask else str(func))
        return func(*args, **(kwargs or {}))


def _call_and_pull(call: Call, inputs: Any, names: Names, upstream: float, twice: bool) -> Found:
    """With its backward, or else without grad mode too: evaluation is another path in many.

    Deterministic mode and autocast may have paths of their own as well.
    """
    loss = call(*inputs)
    if twice and names:
        pull_twice(call, inputs, names)
    for context in (deterministic, *((torch.no_grad, torch.inference_mode) if not names else ())):
        with context():
            call(*inputs)
    with torch.autocast("cuda" if loss.device.type == "cuda" else "cpu", dtype=torch.bfloat16):
        mixed = call(*inputs)
    pull(mixed, inputs, names, upstream)
    return {"loss": loss, **pull(loss, inputs, names, upstream)}


def pull_twice(call: Call, inputs: Any, names: Names) -> None:
    """Second order, where the first order has a graph."""
    loss, tensors = call(*inputs), list(wanted(inputs, names).values())
    if isinstance(loss, Tensor) and loss.requires_grad:
        first = torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True)
        graphs = [g for g in first if g is not None and g.requires_grad]
        ones = [torch.ones_like(g) for g in graphs]
        if graphs:
            torch.autograd.grad(graphs, tensors, ones, allow_unused=True)


def on_meta(call: Call, inputs: Any, names: Names, upstream: float, twice: bool) -> Found:
    """On meta tensors; "eager" is the loss of those that were given."""
    placed = [t.detach().to("meta").requires_grad_(t.requires_grad) for t in inputs]
    found = _call_and_pull(call, placed, names, upstream, twice)
    return {**found, "eager": call(*inputs)}


def on_fake(call: Call, inputs: Any, names: Names, upstream: float, twice: bool) -> Found:
    """On fake tensors; "eager" is the loss of those that were given."""
    given = [(tensor.detach(), tensor.requires_grad) for tensor in inputs]
    with internals.fake_mode(real=False) as mode:
        placed = [mode.from_tensor(tensor).requires_grad_(needed) for tensor, needed in given]
        found = _call_and_pull(call, placed, names, upstream, twice)
    return {**found, "eager": call(*inputs)}


def reading_back(call: Call, inputs: Any, names: Names, upstream: float, twice: bool) -> Found:
    """What is read back to the host meanwhile, and whether other data lead to other operators."""
    with ReadsBack() as recorded:
        found = _call_and_pull(call, inputs, names, upstream, twice)
    return {**found, "read back": recorded.seen, "other operators": _depending(call, inputs, names)}


def _depending(call: Call, inputs: Any, names: Names) -> list[str]:
    """Operators that some data lead to and others do not, of the same shapes and dtypes."""
    x_recon, x, mask = inputs
    masks = mask, torch.ones_like(mask), torch.zeros_like(mask)
    given = [(x_recon, x, other) for other in masks]
    given.append((torch.zeros_like(x_recon).requires_grad_(x_recon.requires_grad), x, mask))
    traces = []
    for data in (given[0], *given):  # what is made once is made in the first
        with ReadsBack() as recorded:
            loss = call(*data)
            pull(loss, data, names, 1.0)
        traces.append(recorded.operators)
    for trace in traces[2:]:
        if trace != traces[1]:
            number = f"{len(trace)} operators, and not {len(traces[1])}"
            return sorted({*trace} ^ {*traces[1]}) or [number]
    return []


def on_another_device(call: Call, inputs: Any) -> Found:
    """On fake tensors of a device that need not be there; None where it, or torch, refuses them."""
    loss = None
    with internals.fake_mode(), contextlib.suppress(Exception):
        loss = call(*(torch.empty(t.shape, dtype=t.dtype, device="xpu") for t in inputs))
    return {"loss": loss, "eager": call(*inputs)}
