"""Optax and JAX: `optax.squared_error` under `jax.numpy.mean(where=)`, by way of DLPack."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
import reasons
import torch
from offers import offers
from torch import Tensor
from wavemae.properties import Claims, Subject

PACKAGE = "optax"
CALLS = "optax.squared_error, jax.numpy.mean(where=)"
MASK = "as it is"
NOT_CLAIMED = {
    "reductions": reasons.NO_BATCH_MEAN,
    "dtypes": "JAX's default is single precision; each further dtype compiles everything anew",
    "second_order": reasons.NOT_THROUGH,
    "forward_mode": reasons.NOT_THROUGH,
    "transforms": reasons.NOT_THROUGH,
    "compile": reasons.NOT_THROUGH,
    "data_independent": reasons.NOT_THROUGH,
    "distributed": reasons.ONE_PROCESS,
    "strict_inputs": reasons.NO_CHECKS,
    "devices": reasons.NOT_THROUGH,
}

_REDUCE = {"mean": jnp.mean, "sum": jnp.sum}


def _loss(a: Any, b: Any, mask: Any, reduction: str) -> Any:
    return _REDUCE[reduction](optax.squared_error(a, b), where=mask)


@partial(jax.jit, static_argnames="reduction")
def _value(a: Any, b: Any, mask: Any, reduction: str) -> Any:
    return _loss(a, b, mask, reduction)


@partial(jax.jit, static_argnames="reduction")
def _gradients(a: Any, b: Any, mask: Any, upstream: Any, reduction: str) -> Any:
    _, pull = jax.vjp(lambda a, b: _loss(a, b, mask, reduction), a, b)
    return pull(upstream)


class _Jax(torch.autograd.Function):
    """The loss in JAX, its gradient by `jax.vjp`."""

    @staticmethod
    def forward(ctx: Any, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        tensors = (x_recon.resolve_neg(), x.resolve_neg(), mask)
        ctx.arrays = [
            jnp.from_dlpack(t.detach().clone(memory_format=torch.contiguous_format))
            for t in tensors
        ]
        ctx.reduction = reduction
        return torch.from_dlpack(_value(*ctx.arrays, reduction)).clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        given = jnp.from_dlpack(upstream.detach().clone())
        found = _gradients(*ctx.arrays, given, ctx.reduction)
        return (*(torch.from_dlpack(g).clone() for g in found), None, None)


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mean where the mask is True, or the sum."""
    offers(reduction, "mean", "sum")
    loss: Tensor = _Jax.apply(x_recon, x, mask, reduction)
    return loss


SUBJECT = Subject(
    "optax, jax.numpy",
    masked_mse=masked_mse,
    claims=Claims(
        dtypes=("float32",),
        devices=("cpu",),
        reductions=("mean", "sum"),
        second_order=False,
        forward_mode=False,
        transforms=False,
        compile=False,
        data_independent=False,
        distributed=False,
        strict_inputs=False,
    ),
    imports="from optax_where import masked_mse",
)
