"""Transforms, forward mode and second order, as `acts.py` has plain calls: what they do, no more.

Tangents are made from a seed, so that a program can make them too.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, func

from ..inputs.written import lattice
from .acts import Call, Found, Names, wanted

# Annotated as of two or three values; without `has_aux` they are two.
_jvp: Any = func.jvp
_vjp: Any = func.vjp


def tangents(inputs: Any, seed: int, hidden: bool, far: bool = False) -> list[Tensor]:
    """One for each of x_recon and x: eighths from 1/8 to 4, exact in every dtype.

    With `far` they are so large, and of other signs, that their difference leaves half's range.
    With `hidden`, what stands outside the mask is NaN and Inf.
    """
    found = []
    for number, tensor in enumerate(inputs[:2]):
        steps = lattice(tensor.numel(), seed + number).abs() / 2 + 0.125
        eighths = ((steps * 8).floor() / 8).reshape(tensor.shape)
        if far:
            eighths = (32768.0 + 2048.0 * eighths) * (1, -1)[number]
        tangent = eighths.to(tensor.dtype).to(tensor.device)
        if hidden:
            tangent = tangent.masked_fill(~inputs[2], (math.nan, math.inf)[number])
        found.append(tangent)
    return found


def detached(inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The tensors as those of nobody's graph."""
    x_recon, x, mask = inputs
    return x_recon.detach(), x.detach(), mask


def vjp(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """`torch.func.vjp`, with respect to the inputs whose gradients are asked for."""
    plain = dict(zip(("x_recon", "x", "mask"), detached(inputs), strict=True))

    def loss_of(*given: Tensor) -> Any:
        return call(**{**plain, **dict(zip(names, given, strict=True))})

    loss, back = _vjp(loss_of, *(plain[name] for name in names))
    found = back(torch.full_like(loss.detach(), upstream))
    return {"loss": loss, **dict(zip(names, found, strict=True))}


def func_grad(call: Call, inputs: Any) -> Found:
    """`torch.func.grad_and_value` with respect to both inputs."""
    (x_recon, x), loss = func.grad_and_value(call, argnums=(0, 1))(*detached(inputs))
    return {"loss": loss.detach(), "x_recon": x_recon, "x": x}


def mapped_grad(call: Call, inputs: Any) -> Found:
    """`vmap(grad)` beside a sample with the opposite mask."""
    x_recon, x, mask = detached(inputs)
    stacks = [torch.stack([torch.zeros_like(t), t]) for t in (x_recon, x)]
    stacks.append(torch.stack([~mask, mask]))
    found, loss = func.vmap(func.grad_and_value(call, argnums=(0, 1)))(*stacks)
    return {"loss": loss[1].detach(), "x_recon": found[0][1], "x": found[1][1]}


def grad_of_mapped(call: Call, inputs: Any) -> Found:
    """The gradient of a sum over `vmap`, beside a sample with the opposite mask."""
    x_recon, x, mask = detached(inputs)
    stacks = [torch.stack([torch.zeros_like(t), t]) for t in (x_recon, x)]
    masks = torch.stack([~mask, mask])

    def summed(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        losses = func.vmap(call)(a, b, masks)
        return losses.sum(), losses

    found, losses = func.grad(summed, argnums=(0, 1), has_aux=True)(*stacks)
    return {"loss": losses[1].detach(), "x_recon": found[0][1], "x": found[1][1]}


def jvp(call: Call, inputs: Any, seed: int, hidden: bool) -> Found:
    """`torch.func.jvp` along both inputs."""
    x_recon, x, mask = detached(inputs)
    given = tangents(inputs, seed, hidden, far=seed % 3 != 0)
    loss, tangent = _jvp(lambda a, b: call(a, b, mask), (x_recon, x), tuple(given))
    return {"loss": loss, "tangent": tangent, "tangents": given}


def dual_numbers(call: Call, inputs: Any, names: Names, seed: int, hidden: bool) -> Found:
    """Dual numbers on the named inputs; the tangents stay as they are.

    With an even seed the other one requires grad, as parameters do whose tangent nobody asked for.
    """
    x_recon, x, mask = detached(inputs)
    for name, tensor in (("x_recon", x_recon), ("x", x)):
        tensor.requires_grad_(name not in names and seed % 2 == 0)
    given = tangents(inputs, seed, hidden, far=seed % 3 != 0)
    pairs = list(zip(("x_recon", "x"), (x_recon, x), given, strict=True))
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, v) if name in names else t for name, t, v in pairs]
        before = [tangent.clone() for tangent in given]
        loss, tangent = forward_ad.unpack_dual(call(*duals, mask))
    found = {"loss": loss, "tangent": tangent, "kept": list(zip(given, before, strict=True))}
    given = [v if name in names else torch.zeros_like(v) for name, t, v in pairs]
    return {**found, "tangents": given}


def double_backward(call: Call, inputs: Any, names: Names, seed: int) -> Found:
    """Backward through backward: the Hessian times a direction, and by the upstream gradient."""
    loss = call(*inputs)
    tensors = wanted(inputs, names)
    u = torch.full_like(loss.detach(), 3.0).requires_grad_()
    first = torch.autograd.grad(loss, list(tensors.values()), u, create_graph=True)
    along = dict(zip(("x_recon", "x"), tangents(inputs, seed, False), strict=True))
    given = [along[name] if name in names else torch.zeros_like(along[name]) for name in along]
    pairs = zip(names, first, strict=True)
    product: Any = sum((g.double() * along[name].double()).sum() for name, g in pairs)
    found = {"loss": loss, "tangents": given, "differentiable": product.requires_grad}
    found |= {name: g.detach() for name, g in zip(names, first, strict=True)}
    if product.requires_grad:
        leaves = [*tensors.values(), u]
        *second, by_upstream = torch.autograd.grad(product, leaves, allow_unused=True)
        zeros = [torch.zeros_like(tensor) for tensor in tensors.values()]
        hessian = [z if g is None else g for g, z in zip(second, zeros, strict=True)]
        found |= {"second": dict(zip(names, hessian, strict=True)), "tangent": by_upstream}
    return found


def nonlinear(call: Call, inputs: Any, names: Names) -> Found:
    """A nonlinear function of the loss: what reaches the loss depends on the loss."""
    loss = call(*inputs)
    if not loss.requires_grad:
        return {"loss": loss, **dict.fromkeys(names)}
    tensors = list(wanted(inputs, names).values())
    found = torch.autograd.grad(loss.square() / 2, tensors, allow_unused=True)
    return {"loss": loss, **dict(zip(names, found, strict=True))}


def reverse_over_forward(call: Call, inputs: Any, seed: int, hidden: bool) -> Found:
    """The gradient of a forward-mode derivative: the Hessian times the tangents."""
    x_recon, x, mask = detached(inputs)
    given = tangents(inputs, seed, hidden)

    def push(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        loss, tangent = _jvp(lambda p, q: call(p, q, mask), (a, b), tuple(given))
        return tangent, loss

    second, loss = func.grad(push, argnums=(0, 1), has_aux=True)(x_recon, x)
    hessian = dict(zip(("x_recon", "x"), second, strict=True))
    return {"loss": loss.detach(), "second": hessian, "tangents": given}


def forward_over_reverse(
    call: Call, inputs: Any, seed: int, hidden: bool, dtype: torch.dtype
) -> Found:
    """The tangent of the gradient, that of the upstream gradient included."""
    x_recon, x, mask = detached(inputs)
    given = tangents(inputs, seed, hidden)

    def back(a: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, ...]:
        loss, pulled = _vjp(lambda p, q: call(p, q, mask), a, b)
        return (*pulled(u), loss)

    u, of_u = torch.tensor(3.0, dtype=dtype), torch.tensor(0.5, dtype=dtype)
    first, second = _jvp(back, (x_recon, x, u), (*given, of_u))
    hessian = dict(zip(("x_recon", "x"), second[:2], strict=True))
    found = {"loss": first[2], "x_recon": first[0], "x": first[1]}
    return {**found, "second": hessian, "tangents": given}


def dual_over_reverse(
    call: Call, inputs: Any, seed: int, hidden: bool, dtype: torch.dtype
) -> Found:
    """The same with dual numbers through plain autograd, without torch.func."""
    x_recon, x, mask = detached(inputs)
    given = tangents(inputs, seed, hidden)
    leaves = [tensor.clone().requires_grad_() for tensor in (x_recon, x)]
    found: Found = {"second": {}, "tangents": given}
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, v) for t, v in zip(leaves, given, strict=True)]
        loss = call(*duals, mask)
        u = forward_ad.make_dual(
            torch.full_like(loss.detach(), 3.0, dtype=dtype),
            torch.full_like(loss.detach(), 0.5, dtype=dtype),
        )
        pulled = torch.autograd.grad(loss, leaves, u, allow_unused=True)
        found["loss"] = forward_ad.unpack_dual(loss).primal
        for name, gradient in zip(("x_recon", "x"), pulled, strict=True):
            found[name], found["second"][name] = gradient, None
            if isinstance(gradient, Tensor):
                found[name], found["second"][name] = forward_ad.unpack_dual(gradient)
    return found


def forward_over_forward(call: Call, inputs: Any, seed: int, hidden: bool) -> Found:
    """The forward-mode derivative of a forward-mode derivative."""
    x_recon, x, mask = detached(inputs)
    first, second = (tangents(inputs, seed + n, hidden) for n in (0, 1))

    def push(a: Tensor, b: Tensor) -> Any:
        return _jvp(lambda p, q: call(p, q, mask), (a, b), tuple(first))

    (loss, _), (_, curvature) = _jvp(push, (x_recon, x), tuple(second))
    return {"loss": loss, "second": curvature, "tangents": first, "other tangents": second}


def hessians(call: Call, inputs: Any) -> Found:
    """`jacrev`, and all nestings of it and `jacfwd`, one of them under `vmap`."""
    rows = [tensor[None].expand(2, *tensor.shape) for tensor in inputs]
    found = {}
    for i, j in ((0, 0), (1, 1), (0, 1)):
        hessian = func.jacfwd(func.jacrev(call, argnums=i), argnums=j)
        found["hessian", i, j] = hessian(*inputs)
        found["vmap of hessian", i, j] = func.vmap(hessian)(*rows)[1]
        twice = func.jacrev(func.jacrev(call, argnums=i), argnums=j)
        found["jacrev of jacrev", i, j] = twice(*inputs)
        mixed = func.jacrev(func.jacfwd(call, argnums=i), argnums=j)
        found["jacrev of jacfwd", i, j] = mixed(*inputs)
    gradients = {
        name: func.jacrev(call, argnums=n)(*inputs) for n, name in ((0, "x_recon"), (1, "x"))
    }
    return {"loss": call(*inputs), **gradients, "hessians": found}
