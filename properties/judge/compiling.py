"""Calls that are compiled or exported at one size and made at another, as `acts.py` has others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from .acts import Call, Found, Names, pull


class Counting:
    """A compiler backend that counts the graphs it is given and hands them to aot_eager.

    With `quick`, the captured graph is run as it is: AOT autograd takes seconds to import.
    """

    def __init__(self, quick: bool) -> None:
        self.graphs, self.quick = 0, quick

    def __call__(self, graph: Any, example_inputs: Any) -> Any:
        self.graphs += 1
        if self.quick:
            return graph.forward
        return internals.aot_eager()(graph, example_inputs)


def ones(inputs: Any, rows: int, columns: int) -> list[Tensor]:
    """Inputs of the same dtypes, of another size."""
    made = [torch.ones(rows, columns, dtype=t.dtype, device=t.device) for t in inputs]
    return [f.requires_grad_(t.requires_grad) for f, t in zip(made, inputs, strict=True)]


def compiled(call: Call, inputs: Any, names: Names, upstream: float, quick: bool) -> Found:
    """Compiled with dynamic shapes on other sizes, then called; "graphs" counts all."""
    torch.compiler.reset()
    backend = Counting(quick)
    made = torch.compile(
        lambda *tensors: call(*tensors), fullgraph=True, dynamic=True, backend=backend
    )
    for rows, columns in 3 * ((4, 6), (5, 5), (3, 17), (2, 3)):
        made(*ones(inputs, rows, columns))
    loss = made(*inputs)
    made(inputs[0], inputs[1], ~inputs[2])
    return {"loss": loss, **pull(loss, inputs, names, upstream), "graphs": backend.graphs}


def exported(call: Call, inputs: Any) -> Found:
    """Exported with dynamic shapes at another size, then called."""

    class Loss(torch.nn.Module):
        def forward(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Any:
            return call(x_recon, x, mask)

    rows, columns = torch.export.Dim("B", min=2), torch.export.Dim("L", min=2)
    sizes = {name: {0: rows, 1: columns} for name in ("x_recon", "x", "mask")}
    given = tuple(tensor.detach() for tensor in ones(inputs, 4, 6))
    program = torch.export.export(Loss(), given, dynamic_shapes=sizes).module()
    return {"loss": program(*inputs)}
