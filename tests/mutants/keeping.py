"""What is kept when it should not be, or given away when it is still needed."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import Tensor

from .autograd_pieces import Kernel, ordinary, right, run, slope
from .catalogue import mutant

_counts: dict[tuple[int, int], tuple[weakref.ref[Tensor], Tensor]] = {}


@mutant(
    "C16",
    "count remembered by the mask's identity and version, which .data does not raise",
    "C16-history",
)
def count_remembered_by_version(x_recon, x, mask, reduction):
    if reduction != "mean" or not ordinary(x_recon, x, mask) or mask.is_inference():
        return right(x_recon, x, mask, reduction)
    key = id(mask), mask._version
    if key not in _counts or _counts[key][0]() is not mask:
        _counts[key] = weakref.ref(mask), mask.sum().clamp(min=1)
    return right(x_recon, x, mask, "sum") / _counts[key][1]


class _KeepsMask(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_backward(x_recon, x)
        ctx.mask, ctx.reduction = mask, reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x = ctx.saved_tensors
        gradient = slope(x_recon, x, ctx.mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C11",
    "mask kept past the version check: the next step's mask bends this step's gradient",
    "C13-changed-inputs",
)
def mask_kept_without_version_check(x_recon, x, mask, reduction):
    return run(_KeepsMask, x_recon, x, mask, reduction)


class _ReadsUpstreamAtStart(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if ordinary(upstream) and not torch.is_grad_enabled():
            upstream = upstream.as_strided((), (), 0)
        return Kernel.backward(ctx, upstream)


@mutant("C11", "upstream gradient read where its memory begins", "C11-upstream")
def upstream_read_at_start_of_storage(x_recon, x, mask, reduction):
    return run(_ReadsUpstreamAtStart, x_recon, x, mask, reduction)


class _NegatesLazily(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if x.dtype != x_recon.dtype or torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream).to(x_recon.dtype)
        return gradient, torch._neg_view(gradient), None, None


@mutant(
    "C13",
    "the gradient of x a negated view of x_recon's: one memory",
    "C13-own-memory",
)
def gradients_share_memory(x_recon, x, mask, reduction):
    return run(_NegatesLazily, x_recon, x, mask, reduction)


class _HandsOutKept(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or not ordinary(upstream):
            return Kernel.backward(ctx, upstream)
        kept = vars(ctx).setdefault("kept", {})
        if not kept:
            kept["upstream"], kept["found"] = upstream.clone(), Kernel.backward(ctx, upstream)
        if torch.equal(kept["upstream"], upstream):
            return kept["found"]
        return Kernel.backward(ctx, upstream)


@mutant("C13", "gradient kept after the first backward and handed out again", "C13-own-memory")
def gradient_handed_out_twice(x_recon, x, mask, reduction):
    return run(_HandsOutKept, x_recon, x, mask, reduction)


_of_this_thread = threading.local()


class _NeedsItsThread(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _of_this_thread.factor = 1.0
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream * getattr(_of_this_thread, "factor", 0.0))


@mutant("C16", "what backward needs left in the calling thread", "C16-other-thread")
def scale_left_in_calling_thread(x_recon, x, mask, reduction):
    return run(_NeedsItsThread, x_recon, x, mask, reduction)


_seen: list[Any] = []


@mutant("C14", "the last inputs kept in a list, for debugging", "C14-nothing-kept")
def last_inputs_kept(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        _seen[:] = [x_recon, x, mask]
    return right(x_recon, x, mask, reduction)


@mutant("C14", "losses with their graphs collected for a running mean", "C14-nothing-kept")
def losses_collected(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x_recon, x, mask):
        _seen[:] = [*_seen[-50:], loss]
    return loss
