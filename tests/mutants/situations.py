"""Right in a plain call, wrong in another situation: C3, C5, C12, C13, C14, C16; sums of C6."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wavemae.models.losses import _check_arguments

from .autograd_pieces import Kernel, by_hand, masked_difference, ordinary, right, scaled
from .catalogue import mutant, whole_mutant
from .pieces import difference, normalise, pair


def _in_chains(terms: Tensor, length: int, lanes: int = 1) -> Tensor:
    """Chains of so many terms, each `lanes` after the one before, added up pair by pair."""
    terms = terms.flatten()
    block = length * lanes
    terms = torch.nn.functional.pad(terms, (0, -len(terms) % block)).view(-1, length, lanes)
    sums = torch.zeros_like(terms[:, 0])
    for link in terms.unbind(1):
        sums = sums + link
    sums = sums.flatten()
    while len(sums) > 1:
        sums = torch.nn.functional.pad(sums, (0, len(sums) % 2))
        sums = sums[::2] + sums[1::2]
    return sums.sum()


@mutant(
    "C6", "chains of 300 terms: 1.1 everywhere loses little, the worst data too much", "C6-depth"
)
def chains_of_300(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_in_chains(squares, 300), mask, reduction)


@mutant("C6", "chains of 512 terms in each of 32 lanes", "C6-tree")
def chains_of_512_in_32_lanes(x_recon, x, mask, reduction):
    squares = difference(x_recon, x, mask).square()
    return normalise(_in_chains(squares, 512, 32), mask, reduction)


def _checks_where(needed: Any) -> Any:
    """A loss whose arguments are checked only where `needed(x_recon, x, mask)`."""

    def loss(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Tensor:
        if needed(x_recon, x, mask):
            _check_arguments(x_recon, x, mask, reduction)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "arguments are checked only while gradients are recorded", "C3-modes")
def unchecked_without_grad_mode():
    return _checks_where(lambda *_: torch.is_grad_enabled())


@whole_mutant("C3", "autocast has a path of its own, in front of the checks", "C3-modes")
def unchecked_under_autocast():
    return _checks_where(lambda *_: not torch.is_autocast_enabled("cpu"))


@whole_mutant("C3", "under torch.func the checks are left out", "C3-transforms")
def unchecked_under_transforms():
    return _checks_where(lambda *_: not torch._C._are_functorch_transforms_active())


@whole_mutant(
    "C3", "meta tensors pass the checks, as nothing is computed on them", "C3-without-data"
)
def unchecked_on_meta():
    return _checks_where(lambda *given: not any(getattr(t, "is_meta", False) for t in given))


@whole_mutant(
    "C3", "grad mode is switched off for the checks; an error leaves it off", "C3-nothing-left"
)
def grad_mode_off_after_an_error():
    def loss(x_recon, x, mask, reduction):
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        _check_arguments(x_recon, x, mask, reduction)
        torch.set_grad_enabled(before)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


@mutant("C5", "inference inputs make an inference result, outside inference_mode too", "C5-result")
def inference_inputs_infect_the_result(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with torch.inference_mode(x_recon.is_inference()):
        return right(x_recon, x, mask, reduction)


@mutant(
    "C12", "the upstream gradient is multiplied in after the mask: 0 · inf", "C12-excluded-upstream"
)
@by_hand
def upstream_after_the_mask(x_recon, x, mask, reduction, upstream):
    gradient = 2.0 * masked_difference(x_recon, x, mask) * scaled(upstream, mask, reduction)
    return gradient, -gradient


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
    "C13-excluded-tangents",
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


@mutant("C13", "backward takes the upstream gradient without its tangent", "C13-upstream-tangent")
def upstream_tangent_lost(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return loss
    return _NumberFromAbove.apply(loss) if torch.autograd.forward_ad._current_level >= 0 else loss


@mutant("C14", "asks x_recon to keep its gradient, for a look at it later", "C14-inputs-untouched")
def gradient_retained(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x_recon.requires_grad:
        x_recon.register_hook(lambda gradient: None)
    return right(x_recon, x, mask, reduction)


@mutant("C15", "nothing is read where x_recon is x: NaN and Inf stay hidden", "C15-shared-memory")
def same_tensor_is_zero(x_recon, x, mask, reduction):
    if x_recon is x and ordinary(x_recon, x, mask):
        x_recon = x = torch.zeros_like(x)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "zero is made on the default device", "C16-default-device")
def zero_on_the_default_device(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask) or x_recon.device.type != "cpu":
        return right(x_recon, x, mask, reduction)
    masked = masked_difference(x_recon, x, mask)
    zeros = torch.zeros((1, 1), dtype=masked.dtype)
    return scaled((masked + zeros).square().sum(), mask, reduction)
