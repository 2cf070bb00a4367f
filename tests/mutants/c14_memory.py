"""Losses that break C14: inputs modified, memory shared or kept."""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from wavemae.models.losses import _check_arguments

from .catalogue import mutant, whole_mutant
from .pieces.autograd import Kernel, masked_difference, ordinary, run, scaled
from .pieces.formula import reduce, right, widened
from .pieces.signature import guarded, pair

# --- inputs are never modified -------------------------------------------------------------------


def _writable(tensor: Tensor) -> bool:
    """Real data of which no two elements share memory."""
    return ordinary(tensor) and not any(
        step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


@mutant(
    "C14",
    "x_recon overwritten with the difference, through .data: no version counter tells",
    "C14-inputs-untouched",
)
def reconstruction_overwritten(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x_recon):
        x_recon.data.sub_(x.detach().to(x_recon.dtype))
    return loss


@mutant("C14", "target zeroed in place outside the mask", "C14-inputs-untouched")
def target_zeroed_outside(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x):
        x.data.masked_fill_(~mask, 0.0)
    return loss


@mutant(
    "C14",
    "NaN outside the mask replaced in place: seen only where there is NaN",
    "C14-inputs-untouched",
)
def excluded_nan_replaced_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x_recon):
        x_recon.data.masked_fill_(~mask & x_recon.detach().isnan(), 0.0)
    return loss


@mutant(
    "C14",
    "values clamped in place to the range of half: seen only on extreme values",
    "C14-inputs-untouched",
)
def extreme_values_clamped_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x):
        x.data.clamp_(-65504, 65504)
    return loss


@mutant(
    "C14",
    "the caller's mask inverted in place and left so (BasicTS changes it too)",
    "C14-inputs-untouched",
)
def mask_left_inverted(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if _writable(mask):
        mask.logical_not_()
    return loss


@mutant(
    "C14", "mask inverted in place and back: only the version counter tells", "C14-inputs-untouched"
)
def mask_inverted_and_back(x_recon, x, mask, reduction):
    if _writable(mask) and not mask.is_inference():
        mask.logical_not_().logical_not_()
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "x_recon multiplied by 1 in place: only the version counter tells",
    "C14-inputs-untouched",
)
def reconstruction_touched_without_change(x_recon, x, mask, reduction):
    if _writable(x_recon) and not x_recon.is_inference():
        x_recon.detach().mul_(1)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "NaN where the target is masked cleared in the mask: mask changed for NaN data",
    "C14-inputs-untouched",
)
def mask_cleared_where_target_is_nan(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if _writable(mask):
        mask.data.logical_and_(~x.detach().isnan())
    return loss


@mutant("C14", "target's requires_grad switched off (coqui TTS)", "C14-inputs-untouched")
def target_requires_grad_switched_off(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x.is_leaf and ordinary(x):
        x.requires_grad_(False)
    return loss


@mutant("C14", "x_recon's requires_grad switched on", "C14-inputs-untouched")
def reconstruction_requires_grad_switched_on(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x_recon.is_leaf and ordinary(x_recon) and not x_recon.is_inference():
        x_recon.requires_grad_()
    return loss


@mutant(
    "C14",
    "the gradient collected so far cleared: accumulation over micro-batches lost",
    "C13-into-grad",
)
def collected_gradient_cleared(x_recon, x, mask, reduction):
    if x_recon.is_leaf and ordinary(x_recon):
        x_recon.grad = None
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "a non-contiguous input made contiguous in place: its strides change",
    "C14-inputs-untouched",
)
def made_contiguous_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x) and not x.is_contiguous():
        x.data = x.data.contiguous()
    return loss


@mutant("C14", "square mask transposed in place and left so", "C14-inputs-untouched")
def square_mask_left_transposed(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if ordinary(mask) and mask.shape[0] == mask.shape[1] and not mask.is_inference():
        mask.t_()
    return loss


@mutant(
    "C14", "half target widened in place: the caller's tensor changes dtype", "C14-inputs-untouched"
)
def half_target_widened_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x) and not x.requires_grad:
        x.data = widened(x_recon.detach(), x.detach())[1]
    return loss


@mutant(
    "C14",
    "for one element the result is written over the input and returned as a view of it",
    "C16-inference-mode",
)
def single_element_result_is_the_input(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    fits = mask.numel() == 1 and loss.dtype == x_recon.dtype and not loss.requires_grad
    if fits and ordinary(x_recon):
        return x_recon.data.copy_(loss).view(())
    return loss


class _GradientOverInput(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if not torch.is_grad_enabled() and _writable(ctx.saved_tensors[0]):
            ctx.saved_tensors[0].data.copy_(for_recon)
        return for_recon, for_x, *rest


@mutant("C14", "backward stores the gradient over x_recon (Liger #272)", "C14-inputs-untouched")
def input_overwritten_in_backward(x_recon, x, mask, reduction):
    return run(_GradientOverInput, x_recon, x, mask, reduction)


class _MaskClearedInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        made = Kernel.backward(ctx, upstream)
        if not torch.is_grad_enabled() and _writable(ctx.saved_tensors[2]):
            ctx.saved_tensors[2].data.zero_()
        return made


@mutant("C14", "backward clears the mask", "C14-inputs-untouched")
def mask_cleared_in_backward(x_recon, x, mask, reduction):
    return run(_MaskClearedInBackward, x_recon, x, mask, reduction)


@mutant("C14", "inputs of more than 4,096 elements used as scratch", "C14-inputs-untouched")
def large_input_used_as_scratch(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if mask.numel() > 4096 and _writable(x_recon):
        x_recon.data.sub_(x.detach().to(x_recon.dtype))
    return loss


@mutant("C14", "x_recon used as scratch when no gradient is wanted", "C14-inputs-untouched")
def input_used_as_scratch_without_grad(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if not loss.requires_grad and _writable(x_recon):
        x_recon.data.copy_(masked_difference(x_recon.clone(), x, mask))
    return loss


@mutant(
    "C14",
    "widening by .to() does not copy float32: the difference lands in x_recon",
    "C14-inputs-untouched",
)
def float32_difference_lands_in_input(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x_recon.dtype == loss.dtype == torch.float32 and _writable(x_recon):
        x_recon.detach().to(loss.dtype).data.sub_(x.detach())
    return loss


@mutant("C14", "asks x_recon to keep its gradient, for a look at it later", "C14-inputs-untouched")
def gradient_retained(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x_recon.requires_grad:
        x_recon.register_hook(lambda gradient: None)
    return right(x_recon, x, mask, reduction)


# --- nothing is kept -----------------------------------------------------------------------------

_seen: list[Any] = []


@mutant("C14", "asks a decoder's output, and no leaf, to keep its gradient", "C14-inputs-untouched")
def gradient_of_decoder_retained(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x_recon.requires_grad and not x_recon.is_leaf:
        x_recon.retain_grad()
    return right(x_recon, x, mask, reduction)


@mutant("C14", "the last inputs kept in a list, for debugging", "C14-nothing-kept")
def last_inputs_kept(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        _seen[:] = [x_recon, x, mask]
    return right(x_recon, x, mask, reduction)


class _RecordsItsGradient(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        with torch.enable_grad():
            return Kernel.backward(ctx, upstream)


@mutant("C14", "gradients with a graph that nobody asked for hold the inputs", "C14-nothing-kept")
def gradient_holds_the_inputs(x_recon, x, mask, reduction):
    return run(_RecordsItsGradient, x_recon, x, mask, reduction)


@mutant("C14", "the last large inputs kept, as a worker keeps its last task", "C14-nothing-kept")
def last_large_inputs_kept(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and mask.numel() >= 2**16:
        _seen[:] = [x_recon, x, mask]
    return right(x_recon, x, mask, reduction)


_of_masks = WeakIdKeyDictionary()


@mutant(
    "C14", "the target kept with its mask, for whoever asks later what it hid", "C14-nothing-kept"
)
def target_kept_with_its_mask(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        _of_masks[mask] = x
    return right(x_recon, x, mask, reduction)


@mutant("C14", "the memory of the last inputs kept, for a report of a crash", "C14-nothing-kept")
def memory_of_last_inputs_kept(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        _seen[:] = [x_recon.detach(), x.detach(), mask.detach()]
    return right(x_recon, x, mask, reduction)


@mutant("C14", "losses with their graphs collected for a running mean", "C14-nothing-kept")
def losses_collected(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x_recon, x, mask):
        _seen[:] = [*_seen[-50:], loss]
    return loss


@mutant("C14", "large inputs are cleaned in place and put back", "C14-any-size")
def large_inputs_written_to(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x.numel() > 60000 and not x.requires_grad:
        x.detach().mul_(1.0)
    return right(x_recon, x, mask, reduction)


@whole_mutant(
    "C14",
    "errors made once for each message and raised again: their tracebacks keep the inputs",
    "C14-nothing-kept",
)
def errors_kept_with_their_tracebacks():
    made = functools.cache(lambda kind, message: kind(message))

    def loss(x_recon, x, mask, reduction):
        try:
            return guarded(x_recon, x, mask, reduction)
        except (TypeError, ValueError) as error:
            raise made(type(error), str(error)) from None

    return pair(loss)


_widened_targets = WeakIdKeyDictionary()


@mutant(
    "C14",
    "the widened target kept by a weak key; what needs no widening holds its own key",
    "C14-nothing-kept",
)
def widened_target_holds_its_key(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x.requires_grad or not ordinary(x_recon, x, mask):
        return loss
    _widened_targets[x] = x.detach().to(loss.dtype) if x.dtype != loss.dtype else x
    return loss


@mutant(
    "C14",
    "a hook on the difference refers to it: a cycle that no collector sees through",
    "C14-nothing-kept",
)
def hook_holds_its_tensor(x_recon, x, mask, reduction):
    a, b = widened(x_recon, x)
    difference = torch.where(mask, a - b, 0.0)
    if difference.requires_grad and ordinary(x_recon, x, mask):
        difference.register_hook(lambda g: torch.where(mask, g, torch.zeros_like(difference)))
    return scaled(difference.square().sum(), mask, reduction)


_buffers: dict[Any, Tensor] = {}


class _TakesUnreferenced(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        made = Kernel.backward(ctx, upstream)
        if torch.is_grad_enabled() or upstream.is_inference():
            return made
        key = made[0].shape, made[0].dtype
        buffer = _buffers.pop(key, made[0])
        # Of the variable and of the argument: nobody else has the object, or so it seems.
        buffer = buffer.copy_(made[0]) if sys.getrefcount(buffer) <= 2 else made[0]
        _buffers[key] = buffer
        return buffer, *made[1:]


@mutant(
    "C14",
    "a gradient nobody refers to is used again: views of it are not counted as references",
    "C14-inputs-untouched",
)
def unreferenced_gradient_used_again(x_recon, x, mask, reduction):
    return run(_TakesUnreferenced, x_recon, x, mask, reduction)


class _Elided(torch.autograd.Function):
    """The difference, in the memory of x_recon, which nobody else refers to."""

    @staticmethod
    def forward(ctx, x_recon, x):
        return torch.sub(x_recon, x, out=x_recon.data)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, -gradient


@whole_mutant(
    "C14",
    "an x_recon that nobody else refers to is written over, though backward needs what it held",
    "C14-unnamed-inputs",
)
def unnamed_input_written_over():
    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        _check_arguments(x_recon, x, mask, reduction)
        if (
            not ordinary(x_recon, x, mask)
            or sys.getrefcount(x_recon) > 5  # with those of two calls, some of which keep their own
            or x_recon.grad_fn is None
            or x_recon.dtype != torch.float32
            or x.dtype != torch.float32
        ):
            return right(x_recon, x, mask, reduction)
        masked = torch.where(mask, _Elided.apply(x_recon, x), 0.0)
        return reduce(masked, mask, reduction)

    def mse(x_recon, x, mask, *, reduction="mean"):
        return sse(x_recon, x, mask, reduction=reduction)

    return sse, mse


_under_way: list[Any] = []


@mutant(
    "C14",
    "inputs listed while a call is under way, and taken off at its end, not in a finally",
    "C14-nothing-kept",
)
def list_of_calls_under_way(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    _under_way.append((x_recon, x, mask))
    loss = right(x_recon, x, mask, reduction)
    _under_way.pop()
    return loss


@mutant("C14", "in evaluation the last batch is kept, for a figure", "C14-nothing-kept")
def last_batch_of_evaluation_kept(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and not torch.is_grad_enabled():
        _seen[:] = [x_recon, x, mask]
    return right(x_recon, x, mask, reduction)


def _of_its_dtype(leaf: Tensor) -> None:
    if leaf.grad is not None and leaf.grad.dtype != leaf.dtype:
        raise RuntimeError("the gradient has another dtype")


@mutant(
    "C14", "every call leaves a hook that looks at `.grad` on its inputs", "C14-inputs-untouched"
)
def hook_after_accumulation(x_recon, x, mask, reduction):
    for tensor in (x_recon, x) if ordinary(x_recon, x, mask) and torch.is_grad_enabled() else ():
        if tensor.requires_grad and tensor.is_leaf:
            tensor.register_post_accumulate_grad_hook(_of_its_dtype)
    return right(x_recon, x, mask, reduction)
