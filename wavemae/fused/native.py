"""The native CPU evaluator: plain C, one pass for the loss and one for the gradients.

It is compiled when wavemae is installed, if there is a C compiler, and comes ready in wheels.
``is_available()`` tells whether it is in use and ``status()`` why, or why not. Where it is not,
:mod:`wavemae.fused.cpu` does the same work in torch operators. The environment variable
``WAVEMAE_NATIVE``, read at import, switches it off with ``0``; ``plain`` or ``avx2`` choose the
instruction set, which otherwise is the best that the processor has.

It works on as many threads as ``torch.get_num_threads()`` says. They are torch's own where torch
brings GNU's OpenMP, as on Linux, so that no others compete with them; elsewhere, and in a forked
process, threads of its own, which sleep until there is work. docs/native.md compares them.

What is added up, and how exact that is
---------------------------------------

Elements are taken in the order of the rows, or of the columns if all inputs are transposed, 1024 at
a time. Element i of such a block is added to lane i mod 64, in the result's dtype; then every lane
is added to a float64 of its own, with compensation (Knuth's TwoSum) where the result's dtype is
float64 too. Parts of at least 16 blocks, as many as the size says, go to whatever threads are free;
their sums are added in order, again with compensation. Neither the number of threads, nor the
instruction set, nor strides that keep the order change a bit: products and sums are rounded one by
one. Where the inputs are laid out in different orders, the blocks are tiles of 32 × 32.

With u the unit roundoff of the result's dtype, no relative error beyond these can come of it:

=========================================================  =============  =============
step                                                       float32        float64
=========================================================  =============  =============
half or float32 to the result's dtype                      0              0
the difference: one rounding, which the square doubles     2 u            2 u
the square                                                 1 u            1 u
16 terms of a lane, the first of them added to 0           15 u           15 u
lanes, blocks, parts: at most 2^15 float64 additions       2^-14 u        0 (*)
high + low; the division; the result's dtype               1 u + 2^-28 u  2 u
=========================================================  =============  =============

All terms are non-negative, so the relative error of a sum is at most that of the term that passes
most roundings. (*) TwoSum is exact; only the sums of what it left behind are rounded, a relative
error below 2^15 u². Products of (1 + u) exceed the sums above by less than 19² u². So the error is
below 20 unit roundoffs in float32 and below 21 in float64, for any data and up to 2^24 masked
positions: ``ROUNDOFFS``. Gradients take two roundings (doubling is exact), a third where the
upstream gradient is divided, and a fourth in the conversion to a half.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import torch
from torch import Tensor

from wavemae.models.losses import Reduction

from . import cpu

__all__ = ["ROUNDOFFS", "gradients", "is_available", "reduced", "status"]

ROUNDOFFS = 21  # the bound derived above, for either dtype of the result

_KINDS = {
    torch.float16: 0,
    torch.bfloat16: 1,
    torch.float32: 2,
    torch.float64: 3,
    torch.bool: 4,
}
_NEGATED = 8


def _load() -> tuple[Any, str]:
    """The compiled module or None, and what there is to say about it."""
    wanted = os.environ.get("WAVEMAE_NATIVE", "")
    if wanted == "0":
        return None, "not in use: WAVEMAE_NATIVE=0 switches it off"
    try:
        from . import _native
    except ImportError as error:
        return None, (
            f"not built ({error}); with a C compiler at hand, "
            "`pip install --force-reinstall --no-cache-dir wavemae` builds it"
        )
    try:
        name = _native.choose("" if wanted == "1" else wanted)
    except ValueError as error:
        raise ValueError(
            f"WAVEMAE_NATIVE must be 0, 1, or kernels that this processor has, got {wanted!r}; "
            f"unset it ({error})"
        ) from None
    return _native, f"in use, compiled for {name}"


def _gnu_openmp() -> int:
    """Where GNU's OpenMP begins a parallel region, if torch has loaded that; or else 0."""
    if sys.platform != "linux":
        return 0
    begin = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return (ctypes.cast(begin, ctypes.c_void_p).value or 0) if begin else 0


_kernels, _status = _load()
_openmp = _gnu_openmp()
_POOLS = {**({"threads of torch": _openmp} if _openmp else {}), "threads of its own": 0}


def pools() -> tuple[str, ...]:
    """Whose threads can be used here, the best first: what :func:`use_pool` takes."""
    return tuple(_POOLS)


def use_pool(name: str) -> None:
    """Use these threads from now on, for measurements and tests; nothing else changes."""
    if _kernels is not None:
        _kernels.share(_POOLS[name])


use_pool(pools()[0])


def is_available() -> bool:
    """Whether CPU tensors are evaluated here: it was built, and is not switched off."""
    return _kernels is not None


def status() -> str:
    """Whether it is in use, for which instruction set and on whose threads, or why not: a line."""
    whose = f", on {pools()[0]}" if is_available() else ""
    return f"wavemae.fused.native: {_status}{whose}"


def reduced(
    x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction
) -> tuple[Tensor, Tensor | int]:
    """The loss, and by what the sum was divided."""
    inputs = _views(x_recon, x, mask)
    if inputs is None:
        return cpu.reduced(x_recon, x, mask, reduction)
    shape = x_recon.shape
    wide = torch.float64 in (x_recon.dtype, x.dtype)
    loss = torch.empty((), dtype=torch.float64 if wide else torch.float32, device="cpu")
    divisor = 1 if reduction == "sum" else 0 if reduction == "mean" else max(shape[0], 1)
    threads = torch.get_num_threads()
    return loss, _kernels.reduced(threads, shape, *inputs, loss.data_ptr(), divisor)


def gradients(
    x_recon: Tensor,
    x: Tensor,
    mask: Tensor,
    upstream: Tensor,
    divisor: Tensor | int,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """2 (x_recon - x) · mask · upstream / divisor, and its negation for x, where wanted."""
    inputs = _views(x_recon, x, mask)
    if inputs is None:
        return cpu.gradients(x_recon, x, mask, upstream, divisor, wanted)
    for_recon = torch.empty_like(x_recon) if wanted[0] else None
    for_x = torch.empty_like(x) if wanted[1] else None
    _kernels.gradients(
        torch.get_num_threads(),
        x_recon.shape,
        *inputs,
        *(_NO_VIEW if for_recon is None else _view(for_recon)),
        *(_NO_VIEW if for_x is None else _view(for_x)),
        upstream.item(),
        divisor,
    )
    return for_recon, for_x


def _view(tensor: Tensor) -> tuple[int, int, tuple[int, ...]]:
    """Where a tensor lies, of what kind it is, and its strides."""
    kind = _KINDS[tensor.dtype]
    return tensor.data_ptr(), kind + _NEGATED if tensor.is_neg() else kind, tensor.stride()


_NO_VIEW = 0, 0, (0, 0)  # of a gradient that is not wanted


def _views(x_recon: Tensor, x: Tensor, mask: Tensor) -> tuple[Any, ...] | None:
    """The views of all in a row, or None if one has elements but no memory to read them from.

    Such are torch's tensors of lazy zeros, and what FSDP has handed back for the time being.
    """
    views = (*_view(x_recon), *_view(x), mask.data_ptr(), _KINDS[torch.bool], mask.stride())
    if not (views[0] and views[3] and views[6]) and mask.numel():
        return None
    return views
