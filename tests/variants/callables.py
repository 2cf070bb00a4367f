"""Right, and no plain functions."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from wavemae.models.losses import _check_arguments, masked_mse, masked_sse

from .catalogue import divided, masked_difference, whole_variant, widened


class _SseObject:
    """A callable object with the contract's signature."""

    def __call__(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "batch_mean"
    ) -> Tensor:
        return masked_sse(x_recon, x, mask, reduction=reduction)


class _MseObject:
    """Likewise, with the other default."""

    def __call__(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
    ) -> Tensor:
        return masked_mse(x_recon, x, mask, reduction=reduction)


@whole_variant
def callable_objects():
    """Instances of classes with __call__: no __name__, no __code__."""
    return _SseObject(), _MseObject()


def _either(x_recon, x, mask, *, reduction):
    _check_arguments(x_recon, x, mask, reduction)
    return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)


@whole_variant
def partial_objects():
    """One function and two functools.partial objects."""
    return (
        functools.partial(_either, reduction="batch_mean"),
        functools.partial(_either, reduction="mean"),
    )


class _Methods:
    """Bound methods of one object."""

    def sse(self, x_recon, x, mask, *, reduction="batch_mean"):
        return _either(x_recon, x, mask, reduction=reduction)

    def mse(self, x_recon, x, mask, *, reduction="mean"):
        return _either(x_recon, x, mask, reduction=reduction)


@whole_variant
def bound_methods():
    """Bound methods of an instance."""
    methods = _Methods()
    return methods.sse, methods.mse


class _Module(torch.nn.Module):
    """An nn.Module whose forward is the loss."""

    def forward(self, x_recon, x, mask, *, reduction="batch_mean"):
        return _either(x_recon, x, mask, reduction=reduction)


class _MeanModule(torch.nn.Module):
    """Likewise, with the other default."""

    def forward(self, x_recon, x, mask, *, reduction="mean"):
        return _either(x_recon, x, mask, reduction=reduction)


@whole_variant
def modules():
    """nn.Module instances."""
    return _Module(), _MeanModule()


@whole_variant
def mse_is_the_first():
    """masked_sse defined by masked_mse, not the other way round."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        return masked_mse(x_recon, x, mask, reduction=reduction)

    return sse, functools.partial(masked_mse)


class _Optioned:
    """A callable with slots and a further option, which does nothing unless given."""

    __slots__ = ("fill",)

    def __init__(self, fill: float) -> None:
        self.fill = fill

    def __repr__(self) -> str:
        return "<a masked loss>"

    def __call__(
        self,
        x_recon: Tensor,
        x: Tensor,
        mask: Tensor,
        *,
        reduction: str,
        weight: float | None = None,
    ) -> Tensor:
        _check_arguments(x_recon, x, mask, reduction)
        filled = (t.masked_fill(mask.logical_not(), self.fill) for t in widened(x_recon, x))
        loss = divided(torch.sub(*filled).square().sum(), mask, reduction)
        return loss if weight is None else loss * weight


@whole_variant
def partials_of_an_object():
    """Both losses partial of one object, with one option more than the contract has."""
    both = _Optioned(0.0)
    return (
        functools.partial(both, reduction="batch_mean"),
        functools.partial(both, reduction="mean"),
    )


@functools.cache
def _wide(first, second):
    """The dtype of the result; dtypes are all that is kept."""
    return torch.promote_types(torch.promote_types(first, second), torch.float32)


@whole_variant
def cached_and_nested():
    """Caches of dtypes, nested tensors taken apart, inference tensors refused: all left open."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        given = (x_recon, x, mask)
        if all(isinstance(t, Tensor) and t.is_nested for t in given):
            parts = list(zip(*(t.unbind() for t in given), strict=True))
            total = sum(sse(*(t[None] for t in part), reduction="sum") for part in parts)
            count = sum(part[2].sum() for part in parts)
            return total / {"sum": 1, "mean": count, "batch_mean": len(parts)}[reduction]
        _check_arguments(*given, reduction)
        recorded = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if recorded and (x_recon.requires_grad or x.requires_grad):
            for name, tensor in zip(("x_recon", "x", "mask"), given, strict=True):
                if tensor.is_inference():
                    raise ValueError(f"{name} must be ordinary, got an inference tensor; clone it")
        dtype = _wide(x_recon.dtype, x.dtype)
        difference = torch.add(x_recon.to(dtype), x.to(dtype), alpha=-1)
        return divided(torch.where(mask, difference, 0.0).square().sum(), mask, reduction)

    def mse(x_recon, x, mask, *, reduction="mean"):
        return sse(x_recon, x, mask, reduction=reduction)

    return sse, mse


@whole_variant
def result_of_the_subclass():
    """A subclass in, that subclass out, if it is not one of torch's."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        loss = masked_sse(x_recon, x, mask, reduction=reduction)
        kind = type(x_recon)
        torch_s = kind.__module__.partition(".")[0] == "torch"
        return loss if torch_s or torch.compiler.is_compiling() else loss.as_subclass(kind)

    def mse(x_recon, x, mask, *, reduction="mean"):
        return sse(x_recon, x, mask, reduction=reduction)

    return sse, mse
