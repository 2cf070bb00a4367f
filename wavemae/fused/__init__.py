"""The losses of wavemae.models.losses at the speed of memory: same signatures, contract, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor
from torch.nn import Parameter

from ..models import losses as definition
from ..models.losses import Reduction
from . import cpu
from .autograd import Kernels, evaluate, transformed

__all__ = ["masked_mse", "masked_sse"]

_EVALUATORS: Mapping[str, Kernels] = {"cpu": cpu}
_REDUCTIONS = get_args(Reduction)
_VALUE_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
_PLAIN = frozenset((Tensor, Parameter))


def masked_sse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
) -> Tensor:
    """As :func:`wavemae.models.losses.masked_sse`, faster where the table above says so."""
    return _loss(x_recon, x, mask, reduction, _EVALUATORS)


def masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """As :func:`wavemae.models.losses.masked_mse`, faster where the table above says so."""
    return _loss(x_recon, x, mask, reduction, _EVALUATORS)


def _loss(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction, evaluators: Mapping[str, Kernels]
) -> Tensor:
    if not torch.compiler.is_compiling() and _plain(x_recon, x, mask, reduction):
        kernels = evaluators.get(x_recon.device.type)
        if kernels is not None:
            return evaluate(kernels, x_recon, x, mask, reduction)
    return definition.masked_mse(x_recon, x, mask, reduction=reduction)


def _plain(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction) -> bool:
    """Whether kernels may run: right arguments, real data, and autograd alone watching."""
    return (
        type(x_recon) in _PLAIN
        and type(x) in _PLAIN
        and type(mask) in _PLAIN
        and x_recon.dtype in _VALUE_DTYPES
        and x.dtype in _VALUE_DTYPES
        and mask.dtype == torch.bool
        and x_recon.layout == x.layout == mask.layout == torch.strided
        and not (x_recon.is_nested or x.is_nested or mask.is_nested)
        and x_recon.dim() == 2
        and x_recon.shape == x.shape == mask.shape
        and x_recon.device == x.device == mask.device
        and type(reduction) is str
        and reduction in _REDUCTIONS
        and not transformed()
    )
