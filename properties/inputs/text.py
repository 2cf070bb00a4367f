"""The tensors of a case as a program that has torch and nothing else."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import layouts, written
from .internals import NEG_VIEW
from .masks import mask_bits
from .source import Source
from .values import Constant, Lattice, Palette, Reals, Spike, Tree, hashed

if TYPE_CHECKING:
    from .cases import Case
    from .masks import Mask
    from .operands import Operand

_LONGEST_LITERAL = 64  # in elements
_LONGEST_LINE = 100
_NUMBER = re.compile(r"(?<![\w'])(nan|inf)(?![\w'])")  # as repr writes them


def script(case: Case, imports: str = "", call: bool = True) -> str:
    """A program that makes this very call; `imports` brings the functions into scope."""
    source = Source()
    lines = tensors(case, source)
    if call:
        lines.append(f"loss = {case.function}(x_recon, x, mask{given(case)})")
        if case.grads:
            upstream = f"torch.full_like(loss, {source.write(case.upstream)})"
            lines += [f"loss.backward({'' if case.upstream == 1.0 else upstream})"]
            lines += [f"print(loss, {', '.join(f'{name}.grad' for name in case.grads)})"]
        else:
            lines.append("print(loss)")
    return "\n".join(whole(source, imports, lines))


def whole(source: Source, imports: str, lines: list[str]) -> list[str]:
    """Import lines, definitions, and what is done with them."""
    body = [*source.lines(), *lines]
    used = [name for name in ("inf", "nan") if re.search(rf"\b{name}\b", "\n".join(body))]
    math = [f"from math import {', '.join(used)}"] if used else []
    first = sorted(line for line in source.imports if "torch" not in line)
    torches = sorted((line for line in source.imports if "torch" in line), key=len)
    return [*first, *math, *torches, *(imports.splitlines() if imports else []), "", *body]


def given(case: Case) -> str:
    """The reduction of a call, as it follows the tensors."""
    return f', reduction="{case.reduction}"' if case.reduction else ""


def constructor(case: Case) -> str:
    """The expression that makes an equal case."""
    fields = (f"{f.name}={getattr(case, f.name)!r}" for f in dataclasses.fields(case))
    return _NUMBER.sub(r"float('\1')", f"Case({', '.join(fields)})")


def tensors(case: Case, source: Source, device: str = "cpu", grads: bool = True) -> list[str]:
    """The lines that make `x_recon`, `x` and `mask`, as `Case.build` does."""
    inputs = case.build()
    small = case.count <= _LONGEST_LITERAL
    lines = []
    names = ("x_recon",) if case.shared else ("x_recon", "x")
    if small:
        for name in names:
            lines += _literal(name, getattr(inputs, name).detach(), source)
            lines += _laid_out(name, getattr(case, name).layout, case, device)
        lines += _literal("mask", inputs.mask, source)
        lines += _laid_out("mask", case.mask.layout, case, device)
    else:
        lines += [f"mask = {_mask(case.mask, case.shape, source)}"]
        lines += _laid_out("mask", case.mask.layout, case, "cpu")
        for name in names:
            lines += _values(name, getattr(case, name), case, source)
            lines += _laid_out(name, getattr(case, name).layout, case, device)
        lines += [] if device == "cpu" else [f'mask = mask.to("{device}")']
    if case.shared == "shifted":
        columns = case.shape[1]
        lines.append("wide = torch.cat([x_recon, x_recon[:, :1]], dim=1)")
        lines.append(f"x_recon, x = wide[:, :{columns}], wide[:, {inputs.x.storage_offset()}:]")
    elif case.shared == "opposite":
        lines.append(f"x = {NEG_VIEW}(x_recon)")
    if case.shared == "same":
        lines += _born("x_recon", bool(case.grads) and grads, case)
        return [*lines, "x = x_recon"]
    for name in ("x_recon", "x"):
        lines += _born(name, name in case.grads and grads, case)
    return lines


def _born(name: str, needs_grad: bool, case: Case) -> list[str]:
    if case.born == "parameter":
        return [f"{name} = torch.nn.Parameter({name}, requires_grad={needs_grad})"]
    if not needs_grad:
        return [f"{name} = {name}.detach()"] if case.shared else []
    line = f"{name}.requires_grad_()" if not case.shared else ""
    line = line or f"{name} = {name}.detach().requires_grad_()"
    return [line, f"{name} = {name}.view_as({name})"] if case.born == "inner" else [line]


def _laid_out(name: str, layout: str, case: Case, device: str) -> list[str]:
    """The lines that bring a contiguous tensor of that name into its layout."""
    lines = [] if device == "cpu" else [f'{name} = {name}.to("{device}")']
    dtype = torch.bool if name == "mask" else getattr(torch, getattr(case, name).dtype)
    made = layouts.named(layout).text(name, case.shape, dtype)
    return lines if made == name else [*lines, f"{name} = {made}"]


def _literal(name: str, tensor: Tensor, source: Source) -> list[str]:
    """The lines that make a contiguous tensor of these values."""
    rows, columns = tensor.shape
    if rows * columns == 0:
        return [f"{name} = torch.empty({(rows, columns)}, dtype={tensor.dtype})"]
    values = tensor.tolist() if tensor.dtype == torch.bool else tensor.double().tolist()
    dtype = "" if tensor.dtype == torch.bool else f", dtype={tensor.dtype}"
    line = f"{name} = torch.tensor({source.write(values)}{dtype})"
    if len(line) <= _LONGEST_LINE:
        return [line]
    listed = [f"    {source.write(row)}," for row in values]
    return [f"{name} = [", *listed, "]", f"{name} = torch.tensor({name}{dtype})"]


def _values(name: str, operand: Operand, case: Case, source: Source) -> list[str]:
    """The lines that make the values of a large operand, contiguous, `mask` being there."""
    rows, columns = case.shape
    lines = [
        f"{name} = {_recipe(operand.values, rows * columns, source)}.reshape({rows}, {columns})"
    ]
    outside = source.write(operand.outside)
    if operand.outside is not None and layouts.named(operand.layout).dense:
        lines.append(f"{name}[~mask] = {outside}")
    elif operand.outside is not None:
        numbers = f"torch.arange({rows * columns}).reshape({rows}, {columns})"
        place = layouts.named(operand.layout).text("numbers", case.shape, torch.int64)
        lines += [
            f"numbers = {numbers}",
            f"shown = torch.zeros({rows * columns}, dtype=torch.bool)",
        ]
        lines += [f"shown[({place})[mask]] = True"]
        lines += [f"{name}[~shown.reshape({rows}, {columns})] = {outside}"]
    for position, value in operand.edits:
        lines.append(f"{name}.view(-1)[{position}] = {source.write(value)}")
    return (
        lines
        if operand.dtype == "float64"
        else [*lines, f"{name} = {name}.to(torch.{operand.dtype})"]
    )


def _recipe(values: Any, count: int, source: Source) -> str:
    def of(function: Any, *arguments: Any) -> str:
        return f"{source.define(function)}({', '.join(map(source.write, (count, *arguments)))})"

    match values:
        case Lattice(seed, shift):
            return of(written.lattice, seed, *([shift] if shift else []))
        case Reals(seed, scale, shift):
            return of(written.reals, seed, scale, shift)
        case Constant(value):
            return of(written.constant, value)
        case Palette(seed, given):
            return of(written.palette, seed, given)
        case Spike(rest, height, at):
            return of(written.spike, rest, height, (at,) if isinstance(at, int) else at)
        case Tree(lanes, step, roundoff):
            return of(written.tree, lanes, step, roundoff)
    return f"torch.tensor({source.write(list(values))}, dtype=torch.float64)"


def _mask(mask: Mask, shape: tuple[int, int], source: Source) -> str:
    """The expression that makes a large mask, contiguous; single positions are set in it."""
    rows, columns = shape
    if not isinstance(mask.bits, str):
        return f"torch.tensor({list(mask.bits)}).reshape({rows}, {columns})"
    drawn: dict[str, Any] = {"bernoulli": written.bernoulli, "sparse": written.bernoulli}
    drawn |= {"blocks": written.blocks, "ragged": written.ragged}
    if mask.bits in drawn:
        more = ", 16" if mask.bits == "sparse" else ""
        return f"{source.define(drawn[mask.bits])}({rows}, {columns}, {mask.seed}{more})"
    count = rows * columns
    bits = mask_bits(mask, shape).reshape(-1)
    pick = int(hashed(count, mask.seed)[0] % count)
    everywhere = f"torch.arange({count}).reshape({rows}, {columns})"
    match mask.bits:
        case "full" | "empty":
            return f"torch.full(({rows}, {columns}), {mask.bits == 'full'})"
        case "one_row":
            return f"(torch.arange({rows})[:, None] == {pick % rows}).repeat(1, {columns})"
        case "one_column":
            return f"(torch.arange({columns}) == {pick % columns}).repeat({rows}, 1)"
        case "tail":
            return f"{everywhere} >= {count - int(bits.sum())}"
        case "all_but_one":
            return f"{everywhere} != {pick}"
    return f"{everywhere} == {int(bits.argmax())}"  # "first", "last" and "one"
