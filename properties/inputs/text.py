"""The reproducer of a case: a program that pastes and runs."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import layouts
from .values import RECIPES

if TYPE_CHECKING:
    from .cases import Case

_LONGEST_LITERAL = 64
_NUMBER = re.compile(r"(?<![\w'])(nan|inf)(?![\w'])")  # as repr writes them


def script(case: Case, imports: str = "", call: bool = True) -> str:
    """A program that makes this very call; `imports` brings the functions into scope."""
    lines = ["import torch"]
    if imports:
        lines.append(imports)
    if case.count <= _LONGEST_LITERAL and case.born == "leaf" and not case.shared:
        inputs = case.build()
        finite = all(bool(torch.isfinite(t).all()) for t in inputs[:2])
        lines += [""] if finite else ["from math import inf, nan", ""]
        for name, tensor, layout in (
            ("x_recon", inputs.x_recon, case.x_recon.layout),
            ("x", inputs.x, case.x.layout),
            ("mask", inputs.mask, case.mask.layout),
        ):
            lines.append(f"{name} = {_literal(tensor.detach(), layout)}")
        lines += [f"{name}.requires_grad_()" for name in case.grads]
    else:
        lines += [f"from wavemae.properties import {', '.join(_names_in(case))}", ""]
        lines += [f"case = {constructor(case)}", "x_recon, x, mask = case.build()"]
    if call:
        given = f', reduction="{case.reduction}"' if case.reduction else ""
        lines.append(f"loss = {case.function}(x_recon, x, mask{given})")
        if case.grads:
            upstream = "" if case.upstream == 1.0 else f"torch.full_like(loss, {case.upstream!r})"
            lines += [f"loss.backward({upstream})"]
            lines += [f"print(loss, {', '.join(f'{name}.grad' for name in case.grads)})"]
        else:
            lines.append("print(loss)")
    return "\n".join(lines)


def constructor(case: Case) -> str:
    """The expression that makes an equal case."""
    fields = (f"{f.name}={getattr(case, f.name)!r}" for f in dataclasses.fields(case))
    return _NUMBER.sub(r"float('\1')", f"Case({', '.join(fields)})")


def _literal(tensor: Tensor, layout: str) -> str:
    """The expression that makes `tensor` with the same values, dtype and strides."""
    rows, columns = tensor.shape
    if rows * columns == 0:
        return f"torch.empty({(rows, columns)}, dtype={tensor.dtype})"
    values = tensor.tolist() if tensor.dtype == torch.bool else tensor.double().tolist()
    return layouts.named(layout).text(values, (rows, columns), tensor.dtype)


def _names_in(case: Case) -> list[str]:
    recipes = {type(o.values).__name__ for o in (case.x_recon, case.x)} & set(RECIPES)
    return sorted({"Case", "Mask", "Operand"} | recipes)
