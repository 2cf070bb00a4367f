"""Cases: frozen descriptions of one call, from which the tensors are built.

A case says everything about a call: function, reduction, shape, dtypes, values, mask, memory
layout, and which inputs require grad. It is hashable, it travels through JSON, and its repr is a
program that pastes and runs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import layouts, text
from .internals import neg_view
from .masks import Mask, mask_bits
from .operands import Operand, filled
from .plain import operand_from, plain
from .values import Lattice

FUNCTIONS = ("masked_sse", "masked_mse")
REDUCTIONS = ("sum", "mean", "batch_mean")
DEFAULT_REDUCTION = {"masked_sse": "batch_mean", "masked_mse": "mean"}
DTYPES = ("float32", "float64", "float16", "bfloat16")
NAMES = ("x_recon", "x", "mask")
SHARED = ("same", "shifted", "opposite")


class Inputs(NamedTuple):
    """The three tensors of one call, in the order of the signature."""

    x_recon: Tensor
    x: Tensor
    mask: Tensor


@dataclass(frozen=True, repr=False)
class Case:
    """One call of one of the two functions. `reduction=None` leaves the default in force.

    `grads` names the inputs that require grad, `upstream` is the gradient that reaches the loss,
    and `salt` seeds whatever a property chooses for itself (a permutation, a partition). `shared`
    says whether `x` is the very tensor `x_recon` ("same") or lies in its memory, one column on
    ("shifted") or lazily negated ("opposite"); `born` whether what requires grad is a "leaf", the
    "inner" part of a graph, or a "parameter".
    """

    function: str = "masked_mse"
    reduction: str | None = "mean"
    shape: tuple[int, int] = (2, 3)
    x_recon: Operand = field(default_factory=Operand)
    x: Operand = field(default_factory=lambda: Operand(values=Lattice(1)))
    mask: Mask = field(default_factory=Mask)
    grads: tuple[str, ...] = ()
    upstream: float = 1.0
    salt: int = 0
    shared: str = ""
    born: str = "leaf"

    @property
    def effective_reduction(self) -> str:
        """The reduction that is in force, the function's default where none is given."""
        return self.reduction or DEFAULT_REDUCTION[self.function]

    @property
    def keyword(self) -> dict[str, Any]:
        """The reduction, where one is given, as a call hands it over."""
        return {} if self.reduction is None else {"reduction": self.reduction}

    @property
    def count(self) -> int:
        """The number of elements, B·L."""
        return self.shape[0] * self.shape[1]

    def build(self, device: str = "cpu") -> Inputs:
        """The tensors, leaves of a new graph, on `device`."""
        bits = mask_bits(self.mask, self.shape)
        mask = _laid_out(torch.from_numpy(bits), self.mask.layout, device)
        seen = mask.cpu().numpy()
        x_recon, x = (
            _laid_out(filled(operand, self.shape, seen), operand.layout, device)
            for operand in (self.x_recon, self.x)
        )
        if self.shared == "shifted":
            wide = torch.cat([x_recon, x_recon[:, :1]], dim=1)
            x_recon, x = wide[:, : self.shape[1]], wide[:, wide.shape[1] - self.shape[1] :]
        if self.shared == "opposite":
            x = neg_view(x_recon)
        if self.shared == "same":
            x_recon = x = self._born(x_recon, bool(self.grads))
        else:
            x_recon = self._born(x_recon, "x_recon" in self.grads)
            x = self._born(x, "x" in self.grads)
        return Inputs(x_recon, x, mask)

    def _born(self, tensor: Tensor, needs_grad: bool) -> Tensor:
        if self.born == "parameter":
            return torch.nn.Parameter(tensor, requires_grad=needs_grad)
        tensor = tensor.detach().requires_grad_(needs_grad)
        return tensor.view_as(tensor) if needs_grad and self.born == "inner" else tensor

    def but(self, **changes: Any) -> Case:
        """The same case with some fields replaced; `x_recon__dtype=...` reaches into an operand."""
        flat = {k: v for k, v in changes.items() if "__" not in k}
        for key, value in changes.items():
            if "__" in key:
                owner, attribute = key.split("__")
                part = flat.get(owner, getattr(self, owner))
                flat[owner] = dataclasses.replace(part, **{attribute: value})
        return dataclasses.replace(self, **flat)

    def __repr__(self) -> str:
        return self.script()

    def script(self, imports: str = "", call: bool = True) -> str:
        """A program that makes this very call; `imports` brings the functions into scope."""
        return text.script(self, imports, call)

    def constructor(self) -> str:
        """The expression that makes an equal case."""
        return text.constructor(self)

    def holding(self, inputs: Inputs) -> Case:
        """The case with the values of these tensors, contiguous, in the case's dtypes."""
        x_recon, x, mask = (tuple(t.detach().cpu().flatten().tolist()) for t in inputs)
        return self.but(
            shape=tuple(inputs.mask.shape),
            x_recon=Operand(self.x_recon.dtype, x_recon),
            x=Operand(self.x.dtype, x),
            mask=Mask(mask),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers as hex floats, so that nothing is rounded."""
        described: dict[str, Any] = plain(self)
        for name, ordinary in (("shared", ""), ("born", "leaf")):
            if described[name] == ordinary:  # as before there were others
                del described[name]
        return described

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Case:
        """The case that `to_dict` described."""
        return Case(
            function=data["function"],
            reduction=data["reduction"],
            shape=(data["shape"][0], data["shape"][1]),
            x_recon=operand_from(data["x_recon"]),
            x=operand_from(data["x"]),
            mask=Mask(
                data["mask"]["bits"]
                if isinstance(data["mask"]["bits"], str)
                else tuple(data["mask"]["bits"]),
                data["mask"]["seed"],
                data["mask"]["layout"],
            ),
            grads=tuple(data["grads"]),
            upstream=float.fromhex(data["upstream"]),
            salt=data["salt"],
            shared=data.get("shared", ""),
            born=data.get("born", "leaf"),
        )


def _laid_out(values: Tensor, layout: str, device: str) -> Tensor:
    return layouts.named(layout).build(values.to(device))
