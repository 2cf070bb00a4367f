"""Every name of torch with an underscore in front that wavemae.fused relies on, but Triton's.

They may change in any version of torch. Each is looked up here, once; if one is missing,
``MISSING`` says which, and every call goes to the definition, which needs none of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_C: Any = torch._C

# name: why it is needed
REASONS = {
    "forward_ad._current_level": "dual numbers may be among the inputs where it is not below 0",
    "_C._are_functorch_transforms_active": "torch.func maps over or differentiates the call",
    "_C._get_tracing_state": "torch.jit.trace records the operators that are called",
    "_C._len_torch_dispatch_stack": "make_fx, fake tensors, or a user's mode watch operators",
    "_C._functorch.is_legacy_batchedtensor": "`is_grads_batched` sends many gradients in one",
    "_C._nn.mse_loss": "torch.nn.functional.mse_loss, which cannot write to given memory",
}


def _lookup(name: str) -> Any:
    place: Any = {"_C": _C, "forward_ad": forward_ad}[name.split(".")[0]]
    for part in name.split(".")[1:]:
        place = getattr(place, part)
    return place


def _missing() -> str | None:
    for name in REASONS:
        try:
            _lookup(name)
        except AttributeError:
            return name
    return None


MISSING = _missing()
mse_loss: Any = None if MISSING else _C._nn.mse_loss


def observed() -> bool:
    """Whether more than autograd watches: a compiler, a transform, forward mode or a mode."""
    return (
        torch.compiler.is_compiling()
        or MISSING is not None
        or forward_ad._current_level >= 0
        or _C._are_functorch_transforms_active()
        or _C._get_tracing_state() is not None
        or _C._len_torch_dispatch_stack() > 0
    )


def is_one(upstream: Tensor) -> bool:
    """Whether a gradient is one ordinary tensor; `is_grads_batched` brings many in one."""
    return type(upstream) is Tensor and not _C._functorch.is_legacy_batchedtensor(upstream)
