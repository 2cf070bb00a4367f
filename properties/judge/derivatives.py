"""Transforms, forward mode and second order: ways to take derivatives, each with its formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from numpy.typing import NDArray
from torch import Tensor, func

from ..inputs.cases import Case, Inputs
from ..inputs.values import INF, NAN, Lattice
from . import oracle
from .answers import Call, reverse, upstream, value_only, wanted_gradients
from .bits import same_bits
from .contract import Answer, Contract

Wide = NDArray[Any]
_LONG = np.longdouble
# Annotated as of two or three values; without `has_aux` they are two.
_jvp: Any = func.jvp
_vjp: Any = func.vjp


def vjp(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`torch.func.vjp`, with respect to the inputs whose gradients are asked for."""
    names = list(wanted_gradients(inputs, case))
    if not names or case.shared == "same":
        return value_only(call, _detached(inputs), case, contract)
    plain = _detached(inputs)

    def loss_of(*given: Tensor) -> Any:
        return call(**{**plain._asdict(), **dict(zip(names, given, strict=True))})

    loss, back = _vjp(loss_of, *(getattr(plain, name) for name in names))
    found = back(upstream(loss, case.upstream))
    return Answer(loss, dict(zip(names, found, strict=True)), free=True)


def func_grad(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`torch.func.grad_and_value` with respect to both inputs."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    found, loss = func.grad_and_value(call, argnums=(0, 1))(*plain)
    gradients = dict(zip(("x_recon", "x"), found, strict=True))
    return Answer(loss.detach(), gradients, upstream=1.0, free=True)


def mapped_grad(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`vmap(grad)` beside a sample with the opposite mask."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    stacks = [torch.stack([torch.zeros_like(t), t]) for t in _values(plain)]
    stacks.append(torch.stack([~plain.mask, plain.mask]))
    found, loss = func.vmap(func.grad_and_value(call, argnums=(0, 1)))(*stacks)
    gradients = {name: g[1] for name, g in zip(("x_recon", "x"), found, strict=True)}
    return Answer(loss[1].detach(), gradients, upstream=1.0, free=True)


def grad_of_mapped(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The gradient of a sum over `vmap`, beside a sample with the opposite mask."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    stacks = [torch.stack([torch.zeros_like(t), t]) for t in _values(plain)]
    masks = torch.stack([~plain.mask, plain.mask])

    def summed(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        losses = func.vmap(call)(a, b, masks)
        return losses.sum(), losses

    found, losses = func.grad(summed, argnums=(0, 1), has_aux=True)(*stacks)
    gradients = {name: g[1] for name, g in zip(("x_recon", "x"), found, strict=True)}
    return Answer(losses[1].detach(), gradients, upstream=1.0, free=True)


def jvp(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`torch.func.jvp` along both inputs; the tangents stay as they are."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    given = directions(plain, case)
    before = [tangent.clone() for tangent in given]
    value, tangent = _jvp(lambda a, b: call(a, b, plain.mask), _values(plain), tuple(given))
    _right_tangent(tangent, plain, case, contract, given)
    if not all(same_bits(a, b) for a, b in zip(given, before, strict=True)):
        contract.fail("C14", "forward mode modified a tangent", given, before)
    return Answer(value, free=True)


def dual_numbers(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Dual numbers on those inputs whose gradients a case asks for, or on both."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    on = case.grads or ("x_recon", "x")
    pairs = zip(("x_recon", "x"), directions(plain, case), strict=True)
    given = [tangent if name in on else torch.zeros_like(tangent) for name, tangent in pairs]
    with forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(t, tangent) if name in on else t
            for name, t, tangent in zip(("x_recon", "x"), _values(plain), given, strict=True)
        ]
        value, tangent = forward_ad.unpack_dual(call(*duals, plain.mask))
        _right_tangent(tangent, plain, case, contract, given)
    return Answer(value, free=True)


def double_backward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Backward through backward: the Hessian times a direction, and by the upstream gradient."""
    wanted = wanted_gradients(inputs, case)
    if not wanted or case.shared == "same":
        return reverse(call, inputs, case, contract)
    loss = call(*inputs)
    u = torch.full_like(loss.detach(), 3.0).requires_grad_()
    first = torch.autograd.grad(loss, list(wanted.values()), u, create_graph=True)
    clean = case.but(x_recon__outside=None, x__outside=None)
    along = dict(zip(("x_recon", "x"), directions(inputs, clean), strict=True))
    given = [along[n] if n in wanted else torch.zeros_like(along[n]) for n in along]
    product = sum(
        (g.double() * along[name].double()).sum() for name, g in zip(wanted, first, strict=True)
    )
    assert isinstance(product, Tensor)
    if not product.requires_grad:
        contract.fail("C13", "the gradient cannot be differentiated", "no graph", "a graph")
        return Answer(loss, free=True)
    *second, by_upstream = torch.autograd.grad(product, [*wanted.values(), u], allow_unused=True)
    found = {
        name: torch.zeros_like(getattr(inputs, name)) if g is None else g
        for name, g in zip(wanted, second, strict=True)
    }
    _right_hessian(found, inputs, case, contract, given, 3.0, "the second derivative")
    _right_tangent(by_upstream, inputs, case, contract, given)
    gradients = {name: g.detach() for name, g in zip(wanted, first, strict=True)}
    return Answer(loss, gradients, upstream=3.0, free=True)


def nonlinear(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """A nonlinear function of the loss: what reaches the loss depends on the loss."""
    wanted = wanted_gradients(inputs, case)
    total = contract.truth.reduced(case.effective_reduction)
    if not wanted or isinstance(total, str) or total > 100:
        return reverse(call, inputs, case, contract)
    loss = call(*inputs)
    if not loss.requires_grad:
        return Answer(loss, dict.fromkeys(wanted))
    found = torch.autograd.grad(loss.square() / 2, list(wanted.values()), allow_unused=True)
    gradients = dict(zip(wanted, found, strict=True))
    return Answer(loss, gradients, upstream=loss.item(), free=True)


def reverse_over_forward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The gradient of a forward-mode derivative: the Hessian times the tangents."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    given = directions(plain, case)

    def push(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        value, tangent = _jvp(lambda p, q: call(p, q, plain.mask), (a, b), tuple(given))
        return tangent, value

    found, value = func.grad(push, argnums=(0, 1), has_aux=True)(*_values(plain))
    gradients = dict(zip(("x_recon", "x"), found, strict=True))
    _right_hessian(gradients, plain, case, contract, given, 1.0, "reverse over forward")
    return Answer(value.detach(), free=True)


def forward_over_reverse(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The tangent of the gradient, that of the upstream gradient included."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    given = directions(plain, case)
    result = contract.probe.wanted_dtype(plain)

    def back(a: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, ...]:
        value, pulled = _vjp(lambda p, q: call(p, q, plain.mask), a, b)
        return (*pulled(u), value)

    u, tangent = torch.tensor(3.0, dtype=result), torch.tensor(0.5, dtype=result)
    first, second = _jvp(back, (*_values(plain), u), (*given, tangent))
    found = dict(zip(("x_recon", "x"), second[:2], strict=True))
    _right_hessian(found, plain, case, contract, given, 3.0, "forward over reverse", 0.5)
    gradients = dict(zip(("x_recon", "x"), first[:2], strict=True))
    return Answer(first[2], gradients, upstream=3.0, free=True)


def dual_over_reverse(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The same with dual numbers through plain autograd, without torch.func."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    given = directions(plain, case)
    result = contract.probe.wanted_dtype(plain)
    leaves = [tensor.clone().requires_grad_() for tensor in _values(plain)]
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(t, v) for t, v in zip(leaves, given, strict=True)]
        loss = call(*duals, plain.mask)
        u = forward_ad.make_dual(
            torch.full_like(loss.detach(), 3.0, dtype=result),
            torch.full_like(loss.detach(), 0.5, dtype=result),
        )
        found = torch.autograd.grad(loss, leaves, u, allow_unused=True)
        value = forward_ad.unpack_dual(loss).primal
        first: dict[str, Any] = {}
        second: dict[str, Any] = {}
        for name, gradient in zip(("x_recon", "x"), found, strict=True):
            first[name], second[name] = gradient, None
            if isinstance(gradient, Tensor):
                first[name], second[name] = forward_ad.unpack_dual(gradient)
    _right_hessian(second, plain, case, contract, given, 3.0, "forward over reverse", 0.5)
    return Answer(value, first, upstream=3.0, free=True)


def forward_over_forward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The forward-mode derivative of a forward-mode derivative."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    first, second = directions(plain, case), directions(plain, case.but(salt=case.salt + 1))

    def push(a: Tensor, b: Tensor) -> Any:
        return _jvp(lambda p, q: call(p, q, plain.mask), (a, b), tuple(first))

    (value, _), (_, curvature) = _jvp(push, _values(plain), tuple(second))
    inside = _wide(plain.mask) > 0
    s, t = (_wide(v[0])[inside] - _wide(v[1])[inside] for v in (first, second))
    divisor = contract.truth.divisor(case.effective_reduction)
    wanted = (2 * s * t).sum() / divisor
    scale = (2 * (abs(s) + 1) * (abs(t) + 1)).sum() / divisor
    # A product's rule takes a difference that is not finite times a tangent that does not move.
    if not isinstance(contract.truth.total, str):
        _near(curvature, wanted, scale, contract, plain, "forward over forward")
    return Answer(value, free=True)


APART = "torch's forward mode refuses primals that overlap, and fails on lazily negated ones"


def apart(case: Case) -> bool:
    """Whether torch takes the inputs of a case as primals of its forward mode."""
    layouts = {case.x_recon.layout, case.x.layout}
    return not case.shared and not layouts & {"expanded_rows", "sliding_windows", "negated"}


def _detached(inputs: Inputs) -> Inputs:
    return Inputs(inputs.x_recon.detach(), inputs.x.detach(), inputs.mask)


def _values(inputs: Inputs) -> tuple[Tensor, Tensor]:
    return inputs.x_recon, inputs.x


def directions(inputs: Inputs, case: Case) -> list[Tensor]:
    """A tangent for each input: eighths from 1/8 to 4, exact in every dtype.

    Where a case holds something of its own outside the mask, so do its tangents: NaN and Inf.
    """
    found = []
    poisoned = case.x_recon.outside is not None or case.x.outside is not None
    for number, tensor in enumerate(_values(inputs)):
        steps = abs(Lattice(case.salt + 50 + number).values(tensor.numel())) / 2 + 0.125
        eighths = torch.from_numpy(np.floor(steps * 8) / 8).reshape(tensor.shape)
        tangent = eighths.to(tensor.dtype).to(tensor.device)
        if poisoned:
            tangent = tangent.masked_fill(~inputs.mask, (NAN, INF)[number])
        found.append(tangent)
    return found


def _wide(tensor: Tensor) -> Wide:
    return oracle.as_array(tensor).astype(_LONG)


def _right_tangent(
    tangent: Any, inputs: Inputs, case: Case, contract: Contract, given: list[Tensor]
) -> None:
    """C13: Σ 2 (x_recon − x) · mask · (t_recon − t_x) ÷ divisor."""
    if isinstance(contract.truth.total, str):
        return
    if not isinstance(tangent, Tensor):
        contract.fail("C13", "the result has no tangent", tangent, "a tangent")
        return
    d = _difference(inputs)
    inside = _wide(inputs.mask) > 0
    d, t_recon, t_x = (v[inside] for v in (d, *(_wide(v) for v in given)))
    divisor = contract.truth.divisor(case.effective_reduction)
    wanted = (2 * d * (t_recon - t_x)).sum() / divisor
    reach = (2 * abs(d) * (abs(t_recon) + abs(t_x))).sum()
    what = "the forward-mode derivative"
    _near(tangent, wanted, reach / divisor, contract, inputs, what, reach=3.0 * reach)


def _right_hessian(
    found: Mapping[str, Any],
    inputs: Inputs,
    case: Case,
    contract: Contract,
    given: list[Tensor],
    up: float,
    what: str,
    up_tangent: float = 0.0,
) -> None:
    """C13: ± 2 · mask · (u (t_recon − t_x) + u̇ (x_recon − x)) ÷ divisor, zero outside the mask."""
    d = _difference(inputs)
    inside = _wide(inputs.mask) > 0
    t_recon, t_x = (np.where(inside, _wide(v), _LONG(0)) for v in given)
    divisor = contract.truth.divisor(case.effective_reduction)
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            contract.fail("C13", f"{what} by {name} is missing", tensor, "a tensor")
            continue
        outside = tensor[~inputs.mask]
        if bool((outside != 0).any()):
            got = outside[outside != 0][0]
            contract.fail("C12", f"{what} by {name} is not zero outside the mask", got, "0")
        if isinstance(contract.truth.total, str):
            continue
        sign = 1 if name == "x_recon" else -1
        wanted = sign * 2 * inside * (up * (t_recon - t_x) + up_tangent * d) / divisor
        reach = 2 * inside * (abs(up) * (abs(t_recon) + abs(t_x)) + abs(up_tangent * d))
        what_by = f"{what} by {name}"
        _near(tensor, wanted, reach / divisor, contract, inputs, what_by, 16, reach=reach)


def _difference(inputs: Inputs) -> Wide:
    with np.errstate(all="ignore"):
        difference = _wide(inputs.x_recon) - _wide(inputs.x)
        return np.where(oracle.as_array(inputs.mask), difference, _LONG(0))


def _near(
    got: Tensor,
    wanted: Any,
    scale: Any,
    contract: Contract,
    inputs: Inputs,
    what: str,
    roundoffs: float | None = None,
    reach: Any = None,
) -> None:
    """Within so many roundoffs, of the coarsest dtype in use, of the terms' magnitudes.

    Where `reach`, of the terms before they are divided, is beyond a 64th of a dtype's range,
    nothing is asked: products on the way may leave it (C11).
    """
    reach = scale if reach is None else reach
    dtypes = [got.dtype, inputs.x_recon.dtype, inputs.x.dtype]
    if roundoffs is None:
        roundoffs = oracle.tangent_roundoffs(contract.truth.selected, ordered=False)
        largest = torch.finfo(contract.probe.wanted_dtype(inputs)).max / 64
    else:
        largest = min(torch.finfo(dtype).max for dtype in dtypes) / 64
    unit = max(torch.finfo(dtype).eps for dtype in dtypes)
    tiny = 8 * max(torch.finfo(dtype).smallest_normal for dtype in dtypes)
    values = oracle.as_array(got)
    with np.errstate(all="ignore"):
        right = (abs(values - wanted) <= roundoffs * unit * scale + tiny) | (reach >= largest)
    if np.all(right):
        return
    if values.ndim == 0:
        contract.fail("C13", f"{what} is wrong", repr(float(values)), repr(float(wanted)))
        return
    row, column = (int(i) for i in np.argwhere(~right)[0])
    contract.fail(
        "C13",
        f"{what} is wrong at [{row}, {column}]",
        repr(float(values[row, column])),
        repr(float(np.asarray(wanted)[row, column])),
    )
