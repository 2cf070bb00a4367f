"""The losses of :mod:`wavemae.models.losses`, faster: same signatures, same contract, same errors.

    from wavemae.fused import masked_mse, masked_sse

Forward streams the inputs once and allocates no full-size temporary; without the native part, at
most 2 MiB (for 2²⁹ elements or more, a byte more for every 2¹² of them). It saves the inputs and
nothing else, so changing one in place between forward and backward raises torch's own error.
Backward takes the difference anew and writes each gradient once. No state is kept between calls.

Which path takes what:

====================================================  ==============================================
call                                                  evaluated by
====================================================  ==============================================
CPU tensors, any strides, any dtypes of C2            :mod:`wavemae.fused.native`, in compiled C
the same where the native part is not built or        :mod:`wavemae.fused.cpu`, in torch operators
is switched off
CUDA tensors, any strides, where triton is installed  :mod:`wavemae.fused.cuda`
backward with ``create_graph=True``, of many          plain operators with full-size temporaries,
gradients at once (``is_grads_batched``), or under    themselves differentiable
what is named in the next rows
``torch.compile``, ``torch.export``                   the definition
``torch.func`` transforms, forward-mode AD            the definition
``make_fx``, fake tensors, ``torch.jit.trace``        the definition
subclasses of Tensor, DTensor among them              the definition
meta tensors, other devices, CUDA without triton      the definition
inference tensors that meet one that requires grad    the definition
arguments that C3 refuses                             the definition, which raises
====================================================  ==============================================

``tests/fused/test_paths.py`` has a test for each row.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import Parameter

from wavemae.models import losses as definition
from wavemae.models.losses import Reduction

from . import cpu, native
from .autograd import Kernels, MaskedLoss
from .internals import observed

__all__ = ["masked_mse", "masked_sse", "native"]

# What the property suite holds these two functions to, beyond the contract (C6).
WAVEMAE_CLAIMS = {"roundoffs": native.ROUNDOFFS} if native.is_available() else {}

_REDUCTIONS = get_args(Reduction)
_VALUE_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
_PLAIN = frozenset((Tensor, Parameter))


def masked_sse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
) -> Tensor:
    """:func:`wavemae.models.losses.masked_sse`, faster; all it says there holds here."""
    return _loss(x_recon, x, mask, reduction, _kernels)


def masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """:func:`wavemae.models.losses.masked_mse`, faster; all it says there holds here."""
    return _loss(x_recon, x, mask, reduction, _kernels)


@functools.cache
def _kernels(device_type: str) -> Kernels | None:
    """What evaluates on devices of this type; cuda needs triton, which is imported when needed."""
    if device_type == "cpu":
        return native if native.is_available() else cpu
    if device_type == "cuda" and importlib.util.find_spec("triton"):
        from . import cuda

        return cuda
    return None


def _loss(
    x_recon: Tensor,
    x: Tensor,
    mask: Tensor,
    reduction: Reduction,
    kernels_for: Callable[[str], Kernels | None],
) -> Tensor:
    """The loss by the kernels for the inputs' device, or else by the definition."""
    if not observed() and _plain(x_recon, x, mask, reduction):
        kernels = kernels_for(x_recon.device.type)
        if kernels is not None:
            if not torch.is_grad_enabled() or not (x_recon.requires_grad or x.requires_grad):
                return kernels.reduced(x_recon, x, mask, reduction)[0]
            if not (x_recon.is_inference() or x.is_inference()):  # those cannot be saved
                loss: Tensor = MaskedLoss.apply(kernels, x_recon, x, mask, reduction)
                return loss
    return definition.masked_mse(x_recon, x, mask, reduction=reduction)


def _plain(x_recon: Any, x: Any, mask: Any, reduction: Any) -> bool:
    """Whether the arguments are what C2 asks for, and ordinary tensors."""
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
    )
