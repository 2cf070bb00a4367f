"""Losses that break C13: second order, forward mode, many backwards. The value is right."""

from __future__ import annotations

import functools
import threading
import weakref
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .catalogue import mutant
from .pieces.autograd import (
    Kernel,
    both_slopes,
    by_hand,
    masked_difference,
    ordinary,
    run,
    scaled,
    slope,
)
from .pieces.formula import right, widened
from .pieces.sizes import LARGE

# --- second order --------------------------------------------------------------------------------


class _Buffered(Kernel):
    """The difference computed in forward and saved; right until somebody differentiates twice."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_backward(x_recon, x, mask, masked_difference(x_recon, x, mask))
        ctx.reduction = reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask, difference = ctx.saved_tensors
        gradient = difference * (2.0 * scaled(upstream, mask, ctx.reduction))
        gradient = torch.where(mask, gradient, 0.0)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13",
    "difference saved as a constant: second order is zero (pytorch #58509)",
    "C13-gradgradcheck",
)
def second_order_lost_with_saved_difference(x_recon, x, mask, reduction):
    return run(_Buffered, x_recon, x, mask, reduction)


class _Once(Kernel):
    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream)


@mutant("C13", "backward cannot be differentiated: second order raises", "C13-gradgradcheck")
def once_differentiable_only(x_recon, x, mask, reduction):
    return run(_Once, x_recon, x, mask, reduction)


@mutant("C13", "second order lacks the term in the upstream gradient", "C13-gradgradcheck")
@by_hand
def second_order_without_upstream_term(x_recon, x, mask, reduction, upstream):
    return both_slopes(x_recon, x, mask, reduction, upstream.detach())


@mutant("C13", "second order lacks the mixed term between x_recon and x", "C13-second-order")
@by_hand
def second_order_without_mixed_term(x_recon, x, mask, reduction, upstream):
    return (
        slope(x_recon, x.detach(), mask, reduction, upstream),
        -slope(x_recon.detach(), x, mask, reduction, upstream),
    )


@mutant("C13", "second order right for x_recon, zero for x", "C13-gradgradcheck")
@by_hand
def second_order_of_target_zero(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon, x, mask, reduction, upstream)
    return gradient, -slope(x_recon.detach(), x.detach(), mask, reduction, upstream)


@mutant(
    "C13",
    "squared as |d| |d|: second order is 0 where the reconstruction is exact",
    "C13-second-order",
)
def second_order_zero_at_zero_difference(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    return scaled((difference.abs() * difference.abs()).sum(), mask, reduction)


class _Negate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, upstream):
        return -upstream


@mutant("C13", "second order has the wrong sign", "C13-gradgradcheck")
@by_hand
def second_order_sign_wrong(x_recon, x, mask, reduction, upstream):
    flipped = _Negate.apply(x_recon), _Negate.apply(x)
    return both_slopes(*flipped, mask, reduction, upstream)


@mutant("C13", "second order divided by nothing: the scale is lost", "C13-gradgradcheck")
@by_hand
def second_order_without_scale(x_recon, x, mask, reduction, upstream):
    gradient = slope(x_recon.detach(), x.detach(), mask, reduction, upstream)
    again = slope(x_recon, x, mask, "sum", upstream.detach())
    # `again - again.detach()` is 0 and carries only the second derivative.
    extra = torch.where(again.isfinite(), again - again.detach(), 0.0)
    return gradient + extra, -gradient - extra


@mutant(
    "C13",
    "backward selects after multiplying: second order NaN outside the mask",
    "C13-second-order",
)
@by_hand
def second_order_poisoned_outside(x_recon, x, mask, reduction, upstream):
    wide_recon, wide_x = widened(x_recon, x)
    step = 2.0 * scaled(upstream, mask, reduction)
    gradient = torch.where(mask, (wide_recon - wide_x) * step, 0.0)
    return gradient, -gradient


# --- forward mode --------------------------------------------------------------------------------


class _Forward(Kernel):
    """With a forward-mode rule; right."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.save_for_forward(x_recon, x, mask)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return (2.0 * difference * torch.where(mask, t_recon - t_x, 0.0)).sum()

    @classmethod
    def rule(cls, ctx, t_recon, t_x):
        x_recon, x, mask = ctx.saved_tensors
        difference = masked_difference(x_recon, x, mask)
        wide = [
            torch.zeros_like(difference) if t is None else t.to(difference.dtype)
            for t in (t_recon, t_x)
        ]
        return scaled(cls.tangent(difference, *wide, mask), mask, ctx.reduction)


def _run_forward(kernel, x_recon, x, mask, reduction):
    """As `run`, but the kernel also takes dual tensors."""
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    return kernel.apply(x_recon, x, mask, reduction)


@mutant("C13", "a Function of one's own without a forward-mode rule", "C13-forward-mode")
def forward_mode_missing(x_recon, x, mask, reduction):
    return _run_forward(Kernel, x_recon, x, mask, reduction)


class _TangentOfReconstruction(_Forward):
    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return _Forward.tangent(difference, t_recon, torch.zeros_like(t_x), mask)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentOfReconstruction.rule(ctx, t_recon, t_x)


@mutant(
    "C13",
    "forward mode forgets the tangent of an x that is transposed or sliced",
    "C13-forward-mode",
)
def forward_mode_ignores_strided_target(x_recon, x, mask, reduction):
    if forward_ad._current_level >= 0 and not x.is_contiguous() and mask.dim() == 2:
        x = forward_ad.unpack_dual(x).primal
    return right(x_recon, x, mask, reduction)


@mutant("C13", "forward mode forgets the tangent of x in half", "C13-forward-mode")
def forward_mode_ignores_half_target(x_recon, x, mask, reduction):
    if forward_ad._current_level >= 0 and x.dtype == torch.float16:
        x = forward_ad.unpack_dual(x).primal
    return right(x_recon, x, mask, reduction)


class _SlopeWithOwnBackward(torch.autograd.Function):
    """The gradient for x_recon, whose derivative is `factor` times what it should be."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, upstream, reduction, factor):
        ctx.save_for_backward(x_recon, x, mask, upstream)
        ctx.reduction, ctx.factor = reduction, factor
        return slope(x_recon, x, mask, reduction, upstream)

    @staticmethod
    def backward(ctx, direction):
        x_recon, x, mask, upstream = ctx.saved_tensors
        step = 2 * ctx.factor * scaled(upstream, mask, ctx.reduction)
        second = torch.where(mask, direction * step, 0.0)
        one = torch.ones_like(upstream)
        for_upstream = (direction * slope(x_recon, x, mask, ctx.reduction, one)).sum()
        return second.to(x_recon.dtype), -second.to(x.dtype), None, for_upstream, None, None


def _second_order_doubled(where):
    """The right loss, but its second derivatives doubled where the call is of that kind."""

    @by_hand
    @functools.wraps(where)
    def loss(x_recon, x, mask, reduction, upstream):
        factor = 2 if where(x_recon, x, mask) else 1
        gradient = _SlopeWithOwnBackward.apply(x_recon, x, mask, upstream, reduction, factor)
        return gradient, -gradient

    return loss


@mutant("C13", "second order of a transposed reconstruction", "C13-second-order")
@_second_order_doubled
def second_order_wrong_if_transposed(x_recon, x, mask):
    return not x_recon.is_contiguous()


@mutant("C13", "second order in half", "C13-second-order")
@_second_order_doubled
def second_order_wrong_in_half(x_recon, x, mask):
    return x_recon.dtype == torch.float16


@mutant("C13", "second order beyond 4,000 positions", "C13-second-order")
@_second_order_doubled
def second_order_wrong_if_large(x_recon, x, mask):
    return mask.numel() > 4000


@mutant(
    "C13",
    "beside an x_recon that requires grad, x is a mere target: detached, its tangent is lost",
    "C13-forward-mode",
)
def mere_target_detached(x_recon, x, mask, reduction):
    if x_recon.requires_grad and not x.requires_grad:
        x = x.detach()
    return right(x_recon, x, mask, reduction)


@mutant("C13", "forward mode forgets the tangent of x", "C13-forward-mode")
def forward_mode_ignores_target(x_recon, x, mask, reduction):
    return _run_forward(_TangentOfReconstruction, x_recon, x, mask, reduction)


class _TangentsAdded(_Forward):
    @staticmethod
    def tangent(difference, t_recon, t_x, mask):
        return _Forward.tangent(difference, t_recon, -t_x, mask)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentsAdded.rule(ctx, t_recon, t_x)


@mutant("C13", "forward mode adds the tangents in place of subtracting them", "C13-forward-mode")
def forward_mode_adds_tangents(x_recon, x, mask, reduction):
    return _run_forward(_TangentsAdded, x_recon, x, mask, reduction)


class _TangentUnscaled(_Forward):
    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        ctx.reduction = "sum"
        return _TangentUnscaled.rule(ctx, t_recon, t_x)


@mutant(
    "C13", "forward mode gives the tangent of the sum whatever the reduction", "C13-forward-mode"
)
def forward_mode_without_scale(x_recon, x, mask, reduction):
    return _run_forward(_TangentUnscaled, x_recon, x, mask, reduction)


class _TangentsNeeded(_Forward):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.set_materialize_grads(False)
        return _Forward.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return (None,) * 4 if upstream is None else Kernel.backward(ctx, upstream)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        return _TangentsNeeded.rule(ctx, +t_recon, +t_x)


@mutant("C13", "forward mode raises when only one input has a tangent", "C13-forward-mode")
def forward_mode_needs_both_tangents(x_recon, x, mask, reduction):
    return _run_forward(_TangentsNeeded, x_recon, x, mask, reduction)


class _TangentOverwritten(_TangentsNeeded):
    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        x_recon, x, _ = ctx.saved_tensors
        if t_recon is not None and t_x is not None and x_recon.dtype == x.dtype:
            t_recon, t_x = t_recon.sub_(t_x), None
        return _Forward.rule(ctx, t_recon, t_x)


@mutant(
    "C13", "dual numbers: one tangent is subtracted from the other in place", "C13-forward-mode"
)
def tangent_overwritten(x_recon, x, mask, reduction):
    return _run_forward(_TangentOverwritten, x_recon, x, mask, reduction)


class _LoneTangentOfTarget(_TangentsNeeded):
    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        x_recon, x, _ = ctx.saved_tensors
        mixed = x_recon.dtype != x.dtype
        return _Forward.rule(ctx, t_recon, -t_x if t_recon is None and mixed else t_x)


@mutant(
    "C13",
    "of two dtypes, a tangent of x alone keeps its sign: `ta if tb is None else tb if …`",
    "C13-forward-mode",
)
def lone_tangent_of_target_not_negated(x_recon, x, mask, reduction):
    return _run_forward(_LoneTangentOfTarget, x_recon, x, mask, reduction)


class _LoneTangentTimesMask(_TangentsNeeded):
    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        if t_recon is not None and t_x is not None:
            return _Forward.rule(ctx, t_recon, t_x)
        difference = masked_difference(*ctx.saved_tensors)
        moved = t_recon if t_x is None else -t_x
        total = (2.0 * difference * (moved * ctx.saved_tensors[2])).sum()
        return scaled(total, ctx.saved_tensors[2], ctx.reduction)


@mutant("C13", "a tangent that is the only one is multiplied by the mask", "C13-forward-mode")
def lone_tangent_times_mask(x_recon, x, mask, reduction):
    return _run_forward(_LoneTangentTimesMask, x_recon, x, mask, reduction)


@mutant("C13", "what requires no grad is detached, tangents and all", "C13-forward-mode")
def tangents_detached_in_evaluation(x_recon, x, mask, reduction):
    if not x_recon.requires_grad and not x.requires_grad:
        x_recon, x = x_recon.detach(), x.detach()
    return right(x_recon, x, mask, reduction)


class _Pushes(torch.autograd.Function):
    """Reverse and forward mode by hand; what tangents outside the mask do is the mutant's."""

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.save_for_forward(*inputs[:3])
        ctx.reduction = inputs[3]

    backward = staticmethod(Kernel.backward)
    generate_vmap_rule = True

    @staticmethod
    def jvp(ctx: Any, for_recon: Any, for_x: Any, *_: Any) -> Tensor:
        x_recon, x, mask = ctx.saved_tensors
        d = masked_difference(x_recon, x, mask)
        moved = (0.0 if for_recon is None else for_recon) - (0.0 if for_x is None else for_x)
        return scaled((2.0 * d * torch.where(mask, moved, 0.0)).sum(), mask, ctx.reduction)


class _PushesByProduct(_Pushes):
    @staticmethod
    def jvp(ctx: Any, for_recon: Any, for_x: Any, *_: Any) -> Tensor:
        x_recon, x, mask = ctx.saved_tensors
        d = masked_difference(x_recon, x, mask)
        moved = (0.0 if for_recon is None else for_recon) - (0.0 if for_x is None else for_x)
        return scaled((2.0 * d * moved).sum(), mask, ctx.reduction)


def _pushed(function: type[torch.autograd.Function], *given: Any) -> Tensor:
    if torch.compiler.is_compiling():
        return right(*given)
    return function.apply(*given)


@mutant(
    "C13",
    "tangents outside the mask meet a factor of 0, and NaN survives it",
    "C13-forward-mode",
    "C13-forward-over-forward",
)
def tangents_times_zero(x_recon, x, mask, reduction):
    return _pushed(_PushesByProduct, x_recon, x, mask, reduction)


@mutant("C13", "a jvp by hand: pushed forward twice, torch gives 0", "C13-forward-over-forward")
def jvp_by_hand(x_recon, x, mask, reduction):
    return _pushed(_Pushes, x_recon, x, mask, reduction)


class _NumberFromAbove(torch.autograd.Function):
    """The identity, whose backward loses the tangent of the upstream gradient."""

    @staticmethod
    def forward(loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    generate_vmap_rule = True

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return torch.autograd.forward_ad.unpack_dual(upstream).primal

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.clone()


@mutant(
    "C13", "backward takes the upstream gradient without its tangent", "C13-duals-through-backward"
)
def upstream_tangent_lost(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return loss
    return _NumberFromAbove.apply(loss) if torch.autograd.forward_ad._current_level >= 0 else loss


# --- repeated and interleaved --------------------------------------------------------------------


def _buffer_or_formula(ctx, upstream, make):
    """First order from the saved buffer by `make`; second order by the right formula."""
    if torch.is_grad_enabled():
        return Kernel.backward(ctx, upstream)
    x_recon, x, mask = ctx.saved_tensors
    gradient = torch.where(mask, make(scaled(upstream, mask, ctx.reduction)), 0.0)
    return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


class _ScaledInPlace(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.buffer = 2.0 * masked_difference(x_recon, x, mask)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return _buffer_or_formula(ctx, upstream, ctx.buffer.mul_)


@mutant(
    "C13",
    "saved gradient scaled in place: the second backward scales it again (Liger)",
    "C13-retain-graph",
)
def saved_gradient_scaled_in_place(x_recon, x, mask, reduction):
    return run(_ScaledInPlace, x_recon, x, mask, reduction)


@mutant(
    "C13",
    "saved gradient scaled in place where it is large: the second backward scales it again",
    "C13-retain-graph",
)
def large_saved_gradient_scaled_in_place(x_recon, x, mask, reduction):
    if mask.numel() < LARGE:
        return right(x_recon, x, mask, reduction)
    return run(_ScaledInPlace, x_recon, x, mask, reduction)


class _Pooled(Kernel):
    free: ClassVar[dict[Any, list[Tensor]]] = {}

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        difference = masked_difference(x_recon, x, mask)
        ctx.pool = _Pooled.free.setdefault((mask.shape, difference.dtype), [])
        ctx.buffer = ctx.pool.pop().copy_(difference) if ctx.pool else difference
        ctx.lent = True
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        made = _buffer_or_formula(ctx, upstream, lambda step: 2.0 * ctx.buffer * step)
        if ctx.lent:
            ctx.pool.append(ctx.buffer)
        ctx.lent = False
        return made


@mutant(
    "C13",
    "the saved difference goes back to a pool after the first backward, the next call takes it",
    "C13-retain-graph",
)
def buffer_back_to_the_pool(x_recon, x, mask, reduction):
    if x_recon.is_inference() or x.is_inference():
        return right(x_recon, x, mask, reduction)
    return run(_Pooled, x_recon, x, mask, reduction)


class _TakesTurns(Kernel):
    turns: ClassVar[dict[Any, list[Tensor]]] = {}

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        difference = masked_difference(x_recon, x, mask)
        kind = (mask.shape, difference.dtype, threading.get_ident())
        turns = _TakesTurns.turns.setdefault(kind, [difference.clone(), difference.clone()])
        turns.reverse()
        ctx.buffer = turns[0].copy_(difference)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return _buffer_or_formula(ctx, upstream, lambda step: 2.0 * ctx.buffer * step)


@mutant(
    "C13",
    "two buffers keep the differences in turn: the third call takes what the first one needs",
    "C13-interleaved",
)
def two_buffers_in_turn(x_recon, x, mask, reduction):
    if x_recon.is_inference() or x.is_inference():
        return right(x_recon, x, mask, reduction)
    return run(_TakesTurns, x_recon, x, mask, reduction)


class _Accumulates(_ScaledInPlace):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        ctx.sums = [0, 0] if not hasattr(ctx, "sums") else ctx.sums
        ctx.sums = [ctx.sums[0] + for_recon, ctx.sums[1] + for_x]
        return *ctx.sums, *rest


@mutant("C13", "backward adds to what the backward before it left", "C13-retain-graph")
def repeated_backward_accumulates(x_recon, x, mask, reduction):
    return run(_Accumulates, x_recon, x, mask, reduction)


class _FreesBuffer(_ScaledInPlace):
    @staticmethod
    def backward(ctx, upstream):
        made = _buffer_or_formula(ctx, upstream, lambda step: ctx.buffer * step)
        ctx.buffer = None
        return made


@mutant(
    "C13",
    "buffer freed after the first backward: retain_graph=True does not help",
    "C13-retain-graph",
)
def buffer_freed_by_first_backward(x_recon, x, mask, reduction):
    return run(_FreesBuffer, x_recon, x, mask, reduction)


class _ReturnsBuffer(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or not torch.equal(upstream, torch.ones_like(upstream)):
            return Kernel.backward(ctx, upstream)
        if not hasattr(ctx, "made"):
            ctx.made = Kernel.backward(ctx, upstream)
        return ctx.made


@mutant(
    "C13",
    "the kept buffer itself handed out: clipping one gradient in place spoils the next",
    "C17-no-host-sync",
)
def kept_gradient_handed_out(x_recon, x, mask, reduction):
    return run(_ReturnsBuffer, x_recon, x, mask, reduction)


_gradient_buffers: dict[Any, Tensor] = {}


class _SharedBuffer(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if torch.is_grad_enabled():
            return for_recon, for_x, *rest
        key = for_recon.shape, for_recon.dtype
        buffer = _gradient_buffers.setdefault(key, torch.empty_like(for_recon))
        return buffer.copy_(for_recon), for_x, *rest


@mutant(
    "C13",
    "one gradient buffer per shape: a later backward overwrites an earlier result",
    "C13-retain-graph",
)
def gradient_buffer_shared_between_calls(x_recon, x, mask, reduction):
    return run(_SharedBuffer, x_recon, x, mask, reduction)


class _StateOnClass(Kernel):
    last: tuple[Tensor, Tensor, Tensor, str]

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _StateOnClass.last = (x_recon.detach(), x.detach(), mask, reduction)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or ctx.saved_tensors[2].shape != _StateOnClass.last[2].shape:
            return Kernel.backward(ctx, upstream)
        x_recon, x = ctx.saved_tensors[:2]
        gradient = slope(*_StateOnClass.last, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13", "state kept on the class: backward uses the inputs of the latest call", "C16-threads"
)
def interleaved_call_replaces_inputs(x_recon, x, mask, reduction):
    return run(_StateOnClass, x_recon, x, mask, reduction)


class _CountOnClass(Kernel):
    count: Tensor

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _CountOnClass.count = torch.count_nonzero(mask).clamp(min=1)
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if ctx.reduction != "mean":
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, "sum", upstream / _CountOnClass.count)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13", "count kept on the class: backward divides by that of the latest call", "C13-interleaved"
)
def interleaved_call_replaces_count(x_recon, x, mask, reduction):
    return run(_CountOnClass, x_recon, x, mask, reduction)


class _DtypeOnClass(Kernel):
    dtype: torch.dtype

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        loss = Kernel.forward(ctx, x_recon, x, mask, reduction)
        _DtypeOnClass.dtype = loss.dtype
        return loss

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if torch.is_grad_enabled() or _DtypeOnClass.dtype == upstream.dtype:
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon.float(), x.float(), mask, ctx.reduction, upstream.float())
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13",
    "the dtype to compute in kept on the class: float32 in backward after a float32 call",
    "C13-interleaved",
)
def interleaved_call_replaces_dtype(x_recon, x, mask, reduction):
    return run(_DtypeOnClass, x_recon, x, mask, reduction)


class _ScalesUpstream(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        x_recon, x, mask = ctx.saved_tensors
        step = upstream.copy_(scaled(upstream, mask, ctx.reduction))
        gradient = slope(x_recon, x, mask, "sum", step)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13",
    "the caller's upstream gradient scaled in place",
    "C13-own-memory",
    "C13-retain-graph",
)
def upstream_scaled_in_place(x_recon, x, mask, reduction):
    return run(_ScalesUpstream, x_recon, x, mask, reduction)


class _KeepsInputs(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.kept, ctx.reduction = (x_recon, x, mask), reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.kept
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C13", "inputs kept on ctx: a change before backward goes unnoticed", "C13-changed-inputs")
def inputs_kept_without_version_check(x_recon, x, mask, reduction):
    return run(_KeepsInputs, x_recon, x, mask, reduction)


class _TangentsInHalf(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x_recon, x, dtype):
        return x_recon.to(dtype) - x.to(dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.dtypes = inputs[0].dtype, inputs[1].dtype, inputs[2]

    @staticmethod
    def backward(ctx, upstream):
        return upstream.to(ctx.dtypes[0]), (-upstream).to(ctx.dtypes[1]), None

    @staticmethod
    def jvp(ctx, t_recon, t_x, _):
        return (t_recon - t_x).to(ctx.dtypes[2])


@mutant(
    "C13",
    "half inputs are widened and then subtracted, their tangents subtracted and then widened",
    "C19-jvp",
)
def tangents_subtracted_in_half(x_recon, x, mask, reduction):
    dtype = widened(x_recon, x)[0].dtype
    nested = (torch._C._functorch.maybe_current_level() or 0) > 1
    if torch.compiler.is_compiling() or nested or dtype in (x_recon.dtype, x.dtype):
        return right(x_recon, x, mask, reduction)
    difference = torch.where(mask, _TangentsInHalf.apply(x_recon, x, dtype), 0.0)
    return scaled(difference.square().sum(), mask, reduction)


class _MaskByData(torch.autograd.Function):
    @staticmethod
    def forward(difference, mask):
        return torch.where(mask, difference, 0.0).square().sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, upstream):
        difference, mask = ctx.saved_tensors
        keep = mask.data  # which has a version counter of its own
        return torch.where(keep, upstream * 2.0 * torch.where(keep, difference, 0.0), 0.0), None


@mutant(
    "C13",
    "backward takes mask.data: a mask that changes before the second backward goes unnoticed",
    "C13-changed-inputs",
)
def mask_by_data_in_backward(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    r, t = widened(x_recon, x)
    return scaled(_MaskByData.apply(r - t, mask), mask, reduction)


class _OneRowOfMask(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(difference, mask):
        return torch.where(mask, difference, 0.0).square().sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        difference, mask = inputs
        ctx.row = mask.data[:1]
        ctx.save_for_backward(difference)

    @staticmethod
    def backward(ctx, upstream):
        (difference,) = ctx.saved_tensors
        keep = ctx.row.expand(difference.shape)
        return torch.where(keep, upstream * 2.0 * torch.where(keep, difference, 0.0), 0.0), None


@mutant(
    "C13",
    "of a mask expanded over the rows one row is kept, by .data: a change of it goes unnoticed",
    "C13-changed-inputs",
)
def one_row_of_expanded_mask_by_data(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask) or mask.stride(0) != 0 or mask.shape[0] < 2:
        return right(x_recon, x, mask, reduction)
    r, t = widened(x_recon, x)
    return scaled(_OneRowOfMask.apply(r - t, mask), mask, reduction)


class _MasksByAttribute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient, mask):
        ctx.mask = mask
        return torch.where(mask, gradient, 0.0)

    @staticmethod
    def backward(ctx, upstream):
        return torch.where(ctx.mask, upstream, 0.0), None


@mutant(
    "C13",
    "the gradient is masked by a Function with the mask on ctx: changed before the second backward",
    "C13-changed-inputs",
)
@by_hand
def gradient_masked_by_attribute(x_recon, x, mask, reduction, upstream):
    doubled = 2.0 * masked_difference(x_recon, x, mask)
    gradient = doubled * scaled(upstream, mask, reduction)
    return tuple(_MasksByAttribute.apply(each, mask) for each in (gradient, -gradient))


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


class _HandsOutAgain(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if torch.is_grad_enabled() or not ordinary(upstream):
            return Kernel.backward(ctx, upstream)
        kept = vars(ctx).get("kept")
        if kept is None or kept[0] is not upstream or kept[1] != upstream._version:
            kept = ctx.kept = upstream, upstream._version, Kernel.backward(ctx, upstream)
        return kept[2]


@mutant("C13", "for the same upstream tensor the gradient handed out before", "C13-own-memory")
def gradient_handed_out_for_same_upstream(x_recon, x, mask, reduction):
    return run(_HandsOutAgain, x_recon, x, mask, reduction)


@mutant("C13", "gradient kept after the first backward and handed out again", "C13-own-memory")
def gradient_handed_out_twice(x_recon, x, mask, reduction):
    return run(_HandsOutKept, x_recon, x, mask, reduction)


class _Remembers(Kernel):
    """Keeps weak references to its inputs, and takes what is gone for zeros."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.inputs, ctx.reduction = [weakref.ref(t) for t in (x_recon, x, mask)], reduction
        ctx.kinds = [(t.shape, t.dtype) for t in (x_recon, x)]
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        alive = [reference() for reference in ctx.inputs]
        if any(tensor is None for tensor in alive):
            return (*(torch.zeros(shape, dtype=kind) for shape, kind in ctx.kinds), None, None)
        gradient = slope(*alive, ctx.reduction, upstream)
        return gradient.to(alive[0].dtype), -gradient.to(alive[1].dtype), None, None


@mutant("C13", "inputs that were dropped before backward have no gradient", "C13-dropped-inputs")
def dropped_inputs_have_no_gradient(x_recon, x, mask, reduction):
    return run(_Remembers, x_recon, x, mask, reduction)


@mutant(
    "C13",
    "a hook on an input inside a graph zeroes its gradient outside the mask",
    "C13-second-branch",
)
def hook_masks_the_whole_gradient(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        for tensor in (x_recon, x):
            if tensor.requires_grad and not tensor.is_leaf:
                tensor.register_hook(lambda gradient: gradient.masked_fill(~mask, 0.0))
    return right(x_recon, x, mask, reduction)


@mutant(
    "C13",
    "the gradient is that of an upstream of one, where it is between 0.75 and 1.75",
    "C13-nonlinear",
    "C11-upstream",
)
@by_hand
def upstream_near_one_is_one(x_recon, x, mask, reduction, upstream):
    near = torch.where((upstream - 1.25).abs() < 0.5, 1.0, upstream)
    return both_slopes(x_recon, x, mask, reduction, near)


class _DropsTangent(torch.autograd.Function):
    """The identity, whose backward has no tangent."""

    generate_vmap_rule = True

    @staticmethod
    def forward(loss):
        return loss.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, upstream):
        return upstream.detach()

    @staticmethod
    def jvp(ctx, tangent):
        return tangent.clone()


@mutant(
    "C13",
    "under torch.func backward takes the upstream gradient without its tangent",
    "C13-upstream-tangent",
)
def upstream_tangent_lost_under_func(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
        return loss
    return _DropsTangent.apply(loss)


class _UnpackedOnce(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if not hasattr(ctx, "unpacked"):
            ctx.unpacked = ctx.saved_tensors
        x_recon, x, mask = ctx.unpacked
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C13",
    "what backward unpacks is kept for the next one, past the check of versions",
    "C13-changed-inputs",
)
def unpacked_once_for_a_kept_graph(x_recon, x, mask, reduction):
    return run(_UnpackedOnce, x_recon, x, mask, reduction)


@mutant(
    "C13",
    "large batches are computed again in backward, from inputs that the checkpoint does not watch",
    "C13-changed-inputs",
)
def computed_again_in_backward(x_recon, x, mask, reduction):
    if not (ordinary(x_recon, x, mask) and mask.numel() >= LARGE and torch.is_grad_enabled()):
        return right(x_recon, x, mask, reduction)
    loss = functools.partial(right, x_recon, x, mask, reduction)
    return checkpoint(loss, use_reentrant=False, preserve_rng_state=False)
