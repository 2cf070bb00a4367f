"""Cases: frozen descriptions of one call, from which the tensors are built.

A case says everything about a call: function, reduction, shape, dtypes, values, mask, memory
layout, and which inputs require grad. It is hashable, it travels through JSON, and its repr is a
program that pastes and runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FUNCTIONS = ("masked_sse", "masked_mse")
REDUCTIONS = ("sum", "mean", "batch_mean")
DEFAULT_REDUCTION = {"masked_sse": "batch_mean", "masked_mse": "mean"}
DTYPES = ("float32", "float64", "float16", "bfloat16")
LAYOUTS = (
    "contiguous",
    "transposed",
    "offset",
    "strided_columns",
    "strided_rows",
    "expanded_rows",
    "expanded_columns",
    "sliding_windows",
)
DENSE_LAYOUTS = LAYOUTS[:5]
MASK_PATTERNS = (
    "full",
    "empty",
    "bernoulli",
    "last",
    "first",
    "all_but_one",
    "one_row",
    "one_column",
    "blocks",
    "ragged",
    "one",
    "sparse",
    "tail",
)

_LONGEST_LITERAL = 64


class Inputs(NamedTuple):
    """The three tensors of one call, in the order of the signature."""

    x_recon: Tensor
    x: Tensor
    mask: Tensor


def _hashed(count: int, seed: int) -> NDArray[np.uint64]:
    """`count` well mixed 64-bit numbers (splitmix64), the same on every machine."""
    with np.errstate(over="ignore"):
        z = (
            np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**20)
        ) * (np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True)
class Lattice:
    """Multiples of 1/8 in [-8, 8]: every difference, square and sum of a few thousand is exact."""

    seed: int = 0
    shift: float = 0.0

    def values(self, count: int) -> NDArray[np.float64]:
        steps = _hashed(count, self.seed) % np.uint64(129)
        multiples: NDArray[np.float64] = steps.astype(np.float64) / 8 - 8 + self.shift
        return multiples


@dataclass(frozen=True)
class Constant:
    """The same value everywhere: what exposes errors of the order of summation."""

    value: float

    def values(self, count: int) -> NDArray[np.float64]:
        return np.full(count, self.value)


@dataclass(frozen=True)
class Palette:
    """Each position takes one of a few values, the first ones far more often."""

    seed: int
    palette: tuple[float, ...]

    def values(self, count: int) -> NDArray[np.float64]:
        uniform = _hashed(count, self.seed).astype(np.float64) / 2.0**64
        index = np.minimum((uniform**3 * len(self.palette)).astype(np.int64), len(self.palette) - 1)
        return np.asarray(self.palette)[index]


@dataclass(frozen=True)
class Spike:
    """One value everywhere but at one position or some (counted from the end if negative)."""

    rest: float
    spike: float
    at: int | tuple[int, ...] = 0

    def values(self, count: int) -> NDArray[np.float64]:
        out = np.full(count, self.rest)
        if count:
            out[np.asarray(self.at, dtype=np.int64) % count] = self.spike
        return out


@dataclass(frozen=True)
class Tree:
    """A 1, and values whose squares are just too small for the partial sums that they meet.

    Made against sums that deal the elements out to `lanes` and add each lane in levels of `step`
    terms, in a format of this unit roundoff: on the first level every addition to the 1 loses just
    under half a unit in the last place, and on each further one every partial sum does.
    """

    lanes: int
    step: int
    roundoff: float

    def values(self, count: int) -> NDArray[np.float64]:
        rows = np.arange(-(-count // self.lanes))
        squares = np.full(rows.shape, self.roundoff * (1 - 2.0**-10))
        for level in (1, 2, 3):
            squares[rows >= self.step**level] /= self.step
        squares[:1] = 1
        out = np.zeros(count)
        out[:: self.lanes] = np.sqrt(squares)
        return out


Recipe = Lattice | Constant | Palette | Spike | Tree
Values = tuple[float, ...] | Recipe
_RECIPES: dict[str, Callable[..., Recipe]] = {
    "Lattice": Lattice,
    "Constant": Constant,
    "Palette": Palette,
    "Spike": Spike,
    "Tree": Tree,
}


@dataclass(frozen=True)
class Operand:
    """Values, dtype and memory layout of `x_recon` or `x`.

    `outside`, where given, replaces every value outside the mask; `edits` sets single positions,
    counted row by row, after that. An expanded layout repeats the first row or column; sliding
    windows overlap, so that all values come from the first row and the last column.
    """

    dtype: str = "float32"
    values: Values = Lattice()
    layout: str = "contiguous"
    outside: float | None = None
    edits: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Mask:
    """A mask: the bits row by row, or the name of a pattern and the seed it is drawn with."""

    bits: tuple[bool, ...] | str = "full"
    seed: int = 0
    layout: str = "contiguous"


@dataclass(frozen=True, repr=False)
class Case:
    """One call of one of the two functions. `reduction=None` leaves the default in force.

    `grads` names the inputs that require grad, `upstream` is the gradient that reaches the loss,
    and `salt` seeds whatever a property chooses for itself (a permutation, a partition).
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

    @property
    def effective_reduction(self) -> str:
        return self.reduction or DEFAULT_REDUCTION[self.function]

    @property
    def count(self) -> int:
        return self.shape[0] * self.shape[1]

    def build(self, device: str = "cpu") -> Inputs:
        """The tensors, leaves of a new graph, on `device`."""
        bits = mask_bits(self.mask, self.shape)
        mask = _lay_out(torch.from_numpy(bits), self.mask.layout, device)
        seen = mask.cpu().numpy()
        x_recon, x = (
            _lay_out(_filled(operand, self.shape, seen), operand.layout, device)
            for operand in (self.x_recon, self.x)
        )
        for name, tensor in (("x_recon", x_recon), ("x", x)):
            tensor.requires_grad_(name in self.grads)
        return Inputs(x_recon, x, mask)

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

    def script(self, imports: str = "", call: bool = True, device: str = "cpu") -> str:
        """A program that makes this very call; `imports` brings the functions into scope."""
        lines = ["import torch"]
        if imports:
            lines.append(imports)
        if self.count <= _LONGEST_LITERAL:
            lines += ["from math import inf, nan", ""] if self._needs_names() else [""]
            inputs = self.build()
            for name, tensor, layout in (
                ("x_recon", inputs.x_recon, self.x_recon.layout),
                ("x", inputs.x, self.x.layout),
                ("mask", inputs.mask, self.mask.layout),
            ):
                lines += _literal(name, tensor.detach(), layout)
            lines += [f"{name}.requires_grad_()" for name in self.grads]
        else:
            lines += [f"from wavemae.properties.cases import {', '.join(_names_in(self))}", ""]
            lines += [f"case = {self.constructor()}", "x_recon, x, mask = case.build()"]
        if call:
            given = f', reduction="{self.reduction}"' if self.reduction else ""
            lines.append(f"loss = {self.function}(x_recon, x, mask{given})")
            if self.grads:
                upstream = (
                    "" if self.upstream == 1.0 else f"torch.full_like(loss, {self.upstream!r})"
                )
                lines += [f"loss.backward({upstream})"]
                lines += [f"print(loss, {', '.join(f'{name}.grad' for name in self.grads)})"]
            else:
                lines.append("print(loss)")
        return "\n".join(lines)

    def constructor(self) -> str:
        """The expression that makes an equal case."""
        fields = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self))
        return f"Case({', '.join(fields)})".replace("=nan", "=float('nan')").replace(
            "=inf", "=float('inf')"
        )

    def _needs_names(self) -> bool:
        inputs = self.build()
        return not all(bool(torch.isfinite(t).all()) for t in inputs[:2])

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
        plain: dict[str, Any] = _plain(self)
        return plain

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Case:
        """The case that `to_dict` described."""
        return Case(
            function=data["function"],
            reduction=data["reduction"],
            shape=(data["shape"][0], data["shape"][1]),
            x_recon=_operand_from(data["x_recon"]),
            x=_operand_from(data["x"]),
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
        )


def mask_bits(mask: Mask, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The bits of a mask, shape (B, L); a writable array of their own."""
    rows, columns = shape
    count = rows * columns
    if not isinstance(mask.bits, str):
        given: NDArray[np.bool_] = np.asarray(mask.bits, dtype=np.bool_).reshape(shape).copy()
        return given
    bits = np.zeros(shape, dtype=np.bool_)
    if count == 0:
        return bits
    flat = bits.reshape(-1)
    noise = _hashed(count, mask.seed).reshape(shape)
    pick = int(noise.flat[0] % np.uint64(count))
    match mask.bits:
        case "full":
            bits[:] = True
        case "empty":
            pass
        case "bernoulli":
            bits[:] = noise % np.uint64(4) != 0
        case "sparse":
            bits[:] = noise % np.uint64(16) == 0
        case "first":
            flat[0] = True
        case "last":
            flat[-1] = True
        case "one":
            flat[pick] = True
        case "all_but_one":
            flat[:] = True
            flat[pick] = False
        case "one_row":
            bits[pick % rows] = True
        case "one_column":
            bits[:, pick % columns] = True
        case "blocks":
            width = max(1, columns // 8)
            kept = _hashed(rows * 9, mask.seed + 1).reshape(rows, 9) % np.uint64(4) != 0
            bits[:] = kept[:, np.minimum(np.arange(columns) // width, 8)]
        case "ragged":
            lengths = noise[:, 0] % np.uint64(columns + 1)
            bits[:] = np.arange(columns)[None, :] < lengths[:, None].astype(np.int64)
        case "tail":
            flat[-min(count, 1 + pick % 7) :] = True
        case other:
            raise ValueError(f"mask pattern must be one of {MASK_PATTERNS}, got {other!r}")
    return bits


def _filled(operand: Operand, shape: tuple[int, int], mask: NDArray[np.bool_]) -> Tensor:
    count = shape[0] * shape[1]
    given = operand.values
    array = np.asarray(given, np.float64) if isinstance(given, tuple) else given.values(count)
    array = array.reshape(shape).copy()
    if operand.outside is not None:
        array[~mask] = operand.outside
    for position, value in operand.edits:
        array.flat[position] = value
    return torch.from_numpy(array).to(getattr(torch, operand.dtype))


def _lay_out(values: Tensor, layout: str, device: str) -> Tensor:
    """The values in another memory layout; what lies between them is NaN, or True in a mask."""
    values = values.to(device)
    rows, columns = values.shape
    trap: Any = True if values.dtype == torch.bool else math.nan
    match layout:
        case "contiguous":
            return values.clone()
        case "transposed":
            return values.t().contiguous().t()
        case "offset":
            return (
                values.new_full((rows * columns + 3,), trap)[3:].view(rows, columns).copy_(values)
            )
        case "strided_columns":
            wide = values.new_full((rows, 2 * columns + 1), trap)
            return wide[:, 1::2].copy_(values)
        case "strided_rows":
            return values.new_full((2 * rows, columns + 2), trap)[::2, 1:-1].copy_(values)
        case "expanded_rows":
            return values[:1].clone().expand(rows, columns)
        case "expanded_columns":
            return values[:, :1].clone().expand(rows, columns)
        case "sliding_windows":
            if values.numel() == 0:
                return values.clone()
            return torch.cat([values[0], values[1:, -1]]).unfold(0, columns, 1)
        case other:
            raise ValueError(f"layout must be one of {LAYOUTS}, got {other!r}")


def _literal(name: str, tensor: Tensor, layout: str) -> list[str]:
    """Lines that make `tensor` with the same values, dtype and strides."""
    rows, columns = tensor.shape
    if rows * columns == 0:
        return [f"{name} = torch.empty({(rows, columns)}, dtype={tensor.dtype})"]
    values = tensor.tolist() if tensor.dtype == torch.bool else tensor.double().tolist()
    shaped = ""
    if layout == "expanded_rows" and rows > 1:
        values, shaped = values[:1], f".expand{(rows, columns)}"
    if layout == "expanded_columns" and columns > 1:
        values, shaped = [row[:1] for row in values], f".expand{(rows, columns)}"
    if layout == "sliding_windows":
        line = [*values[0], *(row[-1] for row in values[1:])]
        return [f"{name} = torch.tensor({line}, dtype={tensor.dtype}).unfold(0, {columns}, 1)"]
    made = f"torch.tensor({values}, dtype={tensor.dtype}){shaped}"
    trap = True if tensor.dtype == torch.bool else "float('nan')"
    match layout:
        case "transposed":
            return [f"{name} = {made}.t().contiguous().t()"]
        case "offset":
            buffer = f"torch.full(({rows * columns + 3},), {trap}, dtype={tensor.dtype})"
            return [f"{name} = {buffer}[3:].view({rows}, {columns}).copy_({made})"]
        case "strided_columns":
            buffer = f"torch.full(({rows}, {2 * columns + 1}), {trap}, dtype={tensor.dtype})"
            return [f"{name} = {buffer}[:, 1::2].copy_({made})"]
        case "strided_rows":
            buffer = f"torch.full(({2 * rows}, {columns + 2}), {trap}, dtype={tensor.dtype})"
            return [f"{name} = {buffer}[::2, 1:-1].copy_({made})"]
    return [f"{name} = {made}"]


def _names_in(case: Case) -> list[str]:
    recipes = {type(o.values).__name__ for o in (case.x_recon, case.x)} & set(_RECIPES)
    return sorted({"Case", "Mask", "Operand"} | recipes)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"recipe": type(value).__name__} | data if type(value).__name__ in _RECIPES else data
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value.hex()
    return value


def _operand_from(data: dict[str, Any]) -> Operand:
    values: Values
    if isinstance(data["values"], dict):
        given = dict(data["values"])
        recipe = _RECIPES[given.pop("recipe")]
        values = recipe(**{k: _number_from(v) for k, v in given.items()})
    else:
        values = tuple(float.fromhex(v) for v in data["values"])
    outside = None if data["outside"] is None else float.fromhex(data["outside"])
    edits = tuple((position, float.fromhex(value)) for position, value in data["edits"])
    return Operand(data["dtype"], values, data["layout"], outside, edits)


def _number_from(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number_from(item) for item in value)
    return float.fromhex(value) if isinstance(value, str) else value
