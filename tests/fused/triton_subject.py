"""The Triton kernels of wavemae.fused as a subject on CPU tensors, by Triton's interpreter.

TRITON_INTERPRET=1 python -I -m wavemae.properties tests/fused/triton_subject.py:SUBJECT
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from torch import Tensor
from wavemae.properties import Subject

from wavemae import fused
from wavemae.fused import cuda
from wavemae.models.losses import Reduction

# The interpreter takes a millisecond for each tile. Larger tiles let it do a million elements in a
# fraction of a second, and fewer partial sums let it come to more tiles than programs.
cuda._TILE = 2**15
cuda._PARTIALS = 8

_lock = threading.Lock()


class _OneAtATime:
    """The kernels, for one thread at a time: the interpreter keeps its place in a global.

    It computes with NumPy, which would warn where a number overflows.
    """

    @staticmethod
    def reduced(*arguments: Any) -> Any:
        with _lock, np.errstate(all="ignore"):
            return cuda.reduced(*arguments)

    @staticmethod
    def gradients(*arguments: Any) -> Any:
        with _lock, np.errstate(all="ignore"):
            return cuda.gradients(*arguments)


def _kernels(device_type: str) -> Any:
    return _OneAtATime if device_type == "cpu" else None


def masked_sse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
) -> Tensor:
    """`wavemae.fused.masked_sse`, in which Triton kernels take CPU tensors."""
    return fused._loss(x_recon, x, mask, reduction, _kernels)


def masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """`wavemae.fused.masked_mse`, in which Triton kernels take CPU tensors."""
    return fused._loss(x_recon, x, mask, reduction, _kernels)


SUBJECT = Subject(
    "fused, Triton",
    masked_sse,
    masked_mse,
    expected_failures={
        "C11-extremes": "Triton's interpreter converts bfloat16 subnormals wrongly, either way"
    },
)
