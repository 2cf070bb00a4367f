"""Right with checks of its own, in other words, in another order."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .catalogue import divided, masked_difference, whole_variant


class OwnTypeError(TypeError):
    """A subclass of TypeError, as a code base of its own may have."""


class OwnValueError(ValueError):
    """A subclass of ValueError, likewise."""


def _own_checks(x_recon: Any, x: Any, mask: Any, reduction: Any) -> None:
    """The contract's checks in another order and in other words."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    if not isinstance(reduction, str):
        raise OwnTypeError(
            f"reduction: expected str, received {type(reduction)}; use reduction='mean'"
        )
    if reduction not in {"sum", "mean", "batch_mean"}:
        raise OwnValueError(f"reduction: {reduction!r} unknown, use 'sum', 'mean' or 'batch_mean'")
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise OwnTypeError(
                f"{name}: expected a torch.Tensor, received {type(value).__name__}; "
                "torch.as_tensor makes one"
            )
        if value.is_nested or value.layout is not torch.strided:
            raise OwnTypeError(
                f"{name}: expected a strided layout, received {value.layout}; to_dense()"
            )
    if mask.dtype is not torch.bool:
        raise OwnTypeError(
            f"mask: expected torch.bool, received {mask.dtype}; mask.bool() where True is masked, "
            "~visible where True is visible"
        )
    for name in ("x", "x_recon"):
        if named[name].dtype not in {torch.float64, torch.float32, torch.float16, torch.bfloat16}:
            raise OwnTypeError(
                f"{name}: expected float16, bfloat16, float32 or float64, received "
                f"{named[name].dtype}; {name}.float() converts"
            )
    for name in ("mask", "x", "x_recon"):
        shape, wanted = tuple(named[name].shape), tuple(x_recon.shape)
        if len(shape) != 2 or shape != wanted:
            raise OwnValueError(
                f"{name}: expected shape (B, L) as of x_recon {wanted}, received {shape};"
                " reshape or expand it first"
            )
        if named[name].device != x_recon.device:
            raise OwnValueError(
                f"{name}: expected device {x_recon.device} as of x_recon, received "
                f"{named[name].device}; move it with .to"
            )


def _behind(check: Any) -> Any:
    """Both functions, each call checked by `check(x_recon, x, mask, reduction)`."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        check(x_recon, x, mask, reduction)
        return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)

    def mse(x_recon, x, mask, *, reduction="mean"):
        return sse(x_recon, x, mask, reduction=reduction)

    return sse, mse


@whole_variant
def own_checks_and_exceptions():
    """Checks of its own: another order, other words, subclassed exceptions."""
    return _behind(_own_checks)


def _terse_checks(x_recon: Any, x: Any, mask: Any, reduction: Any) -> None:
    """The contract's checks; what came is shown as it is, or by the one number that is wrong."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is {value!r}, wanted: a tensor (torch.as_tensor)")
        if value.layout is not torch.strided:
            raise TypeError(f"{name} has layout {value.layout}, wanted: strided (to_dense)")
    if mask.dtype is not torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}, wanted: bool (mask.bool() or ~visible)")
    for name in ("x_recon", "x"):
        if not named[name].is_floating_point() or named[name].element_size() == 1:
            raise TypeError(f"{name} has dtype {named[name].dtype}, wanted: float ({name}.float())")
    places = [str(value.device) for value in named.values()]
    if len(set(places)) > 1:
        raise ValueError(f"x_recon, x and mask are on {', '.join(places)}; move them to one device")
    for name, value in named.items():
        if value.dim() != 2:
            raise ValueError(f"{name} has {value.dim()} dimensions: {list(value.shape)}, wanted: 2")
    for name, axis in itertools.product(("x", "mask"), (0, 1)):
        if named[name].shape[axis] != x_recon.shape[axis]:
            sizes = f"{named[name].shape[axis]}, and that of x_recon {x_recon.shape[axis]}"
            raise ValueError(f"size {axis} of {name} is {sizes}; expand it first")
    if not isinstance(reduction, str) or reduction not in ("sum", "mean", "batch_mean"):
        raise ValueError(f"reduction is {reduction!r}, wanted: sum, mean or batch_mean")


@whole_variant
def terse_messages():
    """Checks of its own in few words."""
    return _behind(_terse_checks)


@whole_variant
def type_of_a_reduction():
    """Of a reduction that is no string the message names the type alone."""

    def check(x_recon, x, mask, reduction):
        if not isinstance(reduction, str):
            kind = type(reduction).__qualname__
            raise TypeError(f"reduction: a {kind}, where a string such as 'mean' is wanted")
        _terse_checks(x_recon, x, mask, reduction)

    return _behind(check)


@whole_variant
def names_who_differs_from_x_recon():
    """Where x_recon alone is elsewhere, the message is about the next argument."""

    def check(x_recon, x, mask, reduction):
        for name, value in {"x": x, "mask": mask}.items():
            if isinstance(value, Tensor) and isinstance(x_recon, Tensor):
                if value.device != x_recon.device:
                    where = f"{name} is on {value.device}, and {x_recon.device} is wanted"
                    raise ValueError(f"{where}; move it with .to")
        _terse_checks(x_recon, x, mask, reduction)

    return _behind(check)


def _checked(
    say: Any, dtype: Any, shape: Any, x_recon: Any, x: Any, mask: Any, reduction: Any
) -> None:
    """The contract's checks in words: `say(name, came, wanted, way out)`, of a dtype, a shape."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    if not isinstance(reduction, str) or reduction not in ("sum", "mean", "batch_mean"):
        wanted = "'sum', 'mean', 'batch_mean'"
        raise ValueError(say("reduction", repr(reduction), wanted, "reduction='mean'"))
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(say(name, type(value).__name__, "Tensor", f"torch.as_tensor({name})"))
        if value.is_nested or value.layout is not torch.strided:
            raise TypeError(say(name, value.layout, torch.strided, f"{name}.to_dense()"))
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for name, value in named.items():
        kinds, way = (floats, f"{name}.float()") if name != "mask" else ((torch.bool,), "~visible")
        if value.dtype not in kinds:
            raise TypeError(say(name, dtype(value), ", ".join(map(str, kinds)), way))
    for name, value in named.items():
        if value.dim() != 2:
            came = f"{value.dim()} dim {shape(value)}"
            raise ValueError(say(name, came, "B, L", f"{name}.view(B, L)"))
        if value.shape != x_recon.shape:
            wanted = f"{shape(x_recon)} as x_recon"
            raise ValueError(say(name, shape(value), wanted, f"{name}.expand_as(x_recon)"))
        if value.device != x_recon.device:
            raise ValueError(say(name, value.device, x_recon.device, f"{name}.to(x_recon.device)"))


def _with_words(say: Any, *, dtype: Any, shape: Any) -> Any:
    return _behind(partial(_checked, say, dtype, shape))


def _short(tensor: Tensor) -> str:
    """f32 for torch.float32, b1 for torch.bool."""
    name = str(tensor.dtype).removeprefix("torch.")
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i")):
        if name.startswith(long) and name[len(long) :].isdigit():
            return name.replace(long, short)
    return "b1" if tensor.dtype is torch.bool else name.replace("complex", "c")


@whole_variant
def short_messages():
    """Shapes as 3x4, dtypes as i64."""
    return _with_words(
        lambda name, came, wanted, way: f"{name} :: {came} -> wanted {wanted}; {way} makes one",
        dtype=_short,
        shape=lambda tensor: "x".join(map(str, tensor.shape)),
    )


@whole_variant
def messages_of_four_lines():
    """A line for each fact, the name in quotes, shapes as [3, 4]."""
    return _with_words(
        lambda name, came, wanted, way: (
            f'\n  argument: "{name}"\n  came:     {came}\n  wanted:   {wanted}\n  way out:  {way}\n'
        ),
        dtype=lambda tensor: tensor.dtype,
        shape=lambda tensor: list(tensor.shape),
    )


@whole_variant
def old_type_names_in_german():
    """Another language's order of words, and torch.LongTensor for a tensor of int64."""
    return _with_words(
        lambda name, came, wanted, way: (
            f"Übergeben wurde {came}, wo {wanted} erwartet wird, nämlich für `{name}`: {way}"
        ),
        dtype=lambda tensor: tensor.type(),
        shape=lambda tensor: tensor.shape,
    )


def _faults(x_recon: Any, x: Any, mask: Any, reduction: Any) -> None:
    """All that is wrong with a call at once, in a list of three facts each, in French."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    kinds: list[tuple[Any, ...]] = []
    for name, value in named.items():
        wanted = (torch.bool,) if name == "mask" else floats
        if not isinstance(value, Tensor):
            kinds.append((name, type(value).__name__, "torch.Tensor", "torch.as_tensor"))
        elif value.layout is not torch.strided:
            kinds.append((name, value.layout, torch.strided, "to_dense()"))
        elif value.dtype not in wanted:
            kinds.append(
                (name, value.dtype, wanted, "mask.bool()" if name == "mask" else ".float()")
            )
    if not isinstance(reduction, str):
        kinds.append(("reduction", repr(reduction), "str", "'sum', 'mean', 'batch_mean'"))
    if kinds:
        raise TypeError("\n".join(["fautes de type :", *map(_in_french, kinds)]))
    values: list[tuple[Any, ...]] = []
    for name, value in named.items():
        if value.ndim != 2:
            values.append((name, f"forme {tuple(value.shape)}", "(B, L)", "reshape(B, L)"))
        elif x.ndim == 2 and value.shape != x.shape:
            shapes = f"forme {tuple(value.shape)}", f"celle de x, {tuple(x.shape)}"
            values.append((name, *shapes, "expand_as(x)"))
        if value.device != x.device:
            values.append((name, value.device, f"celui de x, {x.device}", "to(x.device)"))
    if reduction not in ("sum", "mean", "batch_mean"):
        values.append(("reduction", repr(reduction), "'sum', 'mean', 'batch_mean'", "'sum'"))
    if values:
        raise ValueError("\n".join(["fautes de valeur :", *map(_in_french, values)]))


def _in_french(fault: tuple[Any, ...]) -> str:
    return "  {} : reçu {} ; attendu {} ; remède {}".format(*fault)


@whole_variant
def all_faults_in_french():
    """Every fault of a call in one message, in another language."""
    return _behind(_faults)


@whole_variant
def what_came_of_another_argument():
    """Where x_recon has another shape, the message is about x, and says nothing of that shape."""

    def check(x_recon, x, mask, reduction):
        tensors = [value for value in (x_recon, x, mask) if isinstance(value, Tensor)]
        if len(tensors) == 3 and x_recon.ndim == x.ndim == 2 and x.shape != x_recon.shape:
            if mask.dtype == torch.bool and all(t.layout == torch.strided for t in tensors):
                came = f"x has shape {tuple(x.shape)}, and the shape of x_recon is wanted"
                if x_recon.is_floating_point() and x.is_floating_point():
                    raise ValueError(f"{came}; x.expand_as(x_recon)")
        _terse_checks(x_recon, x, mask, reduction)

    return _behind(check)
