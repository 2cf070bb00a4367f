"""Transforms, forward mode and second order: what they must give, each with its formula.

What is done with a call stands in `transformed.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inputs.cases import Case, Inputs
from . import claims, oracle, transformed
from .acts import Call, Found
from .answers import Derive, names_in, reverse, value_only
from .bits import same_bits
from .contract import Answer, Contract

Wide = NDArray[Any]
_LONG = np.longdouble
_BOTH = ("x_recon", "x")


def vjp(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`torch.func.vjp`, with respect to the inputs whose gradients are asked for."""
    names = names_in(case)
    if not names or case.shared == "same":
        return value_only(call, _detached(inputs), case, contract)
    found = contract.act(transformed.vjp, call, inputs, names, case.upstream)
    return Answer(found["loss"], {name: found[name] for name in names}, free=True)


def _of_both(act: Callable[..., Found]) -> Derive:
    """Gradients for both inputs, with an upstream gradient of 1."""

    def derive(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
        if case.shared == "same":
            return value_only(call, _detached(inputs), case, contract)
        found = contract.act(act, call, inputs)
        gradients = {name: found[name] for name in _BOTH}
        return Answer(found["loss"], gradients, upstream=1.0, free=True)

    return derive


func_grad = _of_both(transformed.func_grad)
mapped_grad = _of_both(transformed.mapped_grad)
grad_of_mapped = _of_both(transformed.grad_of_mapped)


def jvp(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`torch.func.jvp` along both inputs."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    found = contract.act(transformed.jvp, call, inputs, case.salt + 50, _hides(case))
    _right_tangent(found["tangent"], plain, case, contract, found["tangents"])
    return Answer(found["loss"], free=True)


def dual_numbers(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Dual numbers on those inputs whose gradients a case asks for, or on both.

    The tangents stay as they are.
    """
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    names, seed = case.grads or _BOTH, case.salt + 50
    found = contract.act(transformed.dual_numbers, call, inputs, names, seed, _hides(case))
    for number, (now, was) in enumerate(found["kept"]):
        if not same_bits(now, was):
            claim = claims.same(f'found["kept"][{number}][0]', f'found["kept"][{number}][1]')
            contract.fail("C14", "forward mode modified a tangent", now, was, claim=claim)
    _right_tangent(found["tangent"], plain, case, contract, found["tangents"])
    return Answer(found["loss"], free=True)


def double_backward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Backward through backward: the Hessian times a direction, and by the upstream gradient."""
    names = names_in(case)
    if not names or case.shared == "same":
        return reverse(call, inputs, case, contract)
    found = contract.act(transformed.double_backward, call, inputs, names, case.salt + 50)
    if not found["differentiable"]:
        what, claim = (
            "the gradient cannot be differentiated",
            claims.is_true('found["differentiable"]'),
        )
        contract.fail("C13", what, "no graph", "a graph", claim=claim)
        return Answer(found["loss"], free=True)
    given = found["tangents"]
    _right_hessian(found["second"], inputs, contract, given, 3.0, "the second derivative")
    _right_tangent(found["tangent"], inputs, case, contract, given)
    gradients = {name: found[name] for name in names}
    return Answer(found["loss"], gradients, upstream=3.0, free=True)


def nonlinear(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """A nonlinear function of the loss: what reaches the loss depends on the loss."""
    names = names_in(case)
    total = contract.truth.reduced(case.effective_reduction)
    if not names or isinstance(total, str) or total > 100:
        return reverse(call, inputs, case, contract)
    found = contract.act(transformed.nonlinear, call, inputs, names)
    loss = found["loss"]
    gradients = {name: found[name] for name in names}
    upstream = loss.item() if loss.requires_grad else None
    return Answer(loss, gradients, upstream=upstream, free=loss.requires_grad)


def reverse_over_forward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The gradient of a forward-mode derivative: the Hessian times the tangents."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    act = transformed.reverse_over_forward
    found = contract.act(act, call, inputs, case.salt + 50, _hides(case))
    given = found["tangents"]
    _right_hessian(found["second"], plain, contract, given, 1.0, "reverse over forward")
    return Answer(found["loss"], free=True)


def _over_reverse(act: Callable[..., Found]) -> Derive:
    """The tangent of the gradient, that of the upstream gradient included."""

    def derive(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
        plain = _detached(inputs)
        if case.shared == "same":
            return value_only(call, plain, case, contract)
        dtype = contract.probe.wanted_dtype(plain)
        found = contract.act(act, call, inputs, case.salt + 50, _hides(case), dtype)
        given = found["tangents"]
        _right_hessian(found["second"], plain, contract, given, 3.0, "forward over reverse", 0.5)
        gradients = {name: found[name] for name in _BOTH}
        return Answer(found["loss"], gradients, upstream=3.0, free=True)

    return derive


forward_over_reverse = _over_reverse(transformed.forward_over_reverse)
dual_over_reverse = _over_reverse(transformed.dual_over_reverse)


def forward_over_forward(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The forward-mode derivative of a forward-mode derivative."""
    plain = _detached(inputs)
    if case.shared == "same":
        return value_only(call, plain, case, contract)
    act = transformed.forward_over_forward
    found = contract.act(act, call, inputs, case.salt + 50, _hides(case))
    inside = _wide(plain.mask) > 0
    s, t = (
        _wide(v[0])[inside] - _wide(v[1])[inside]
        for v in (found["tangents"], found["other tangents"])
    )
    divisor = contract.truth.divisor(case.effective_reduction)
    wanted = (2 * s * t).sum() / divisor
    scale = (2 * (abs(s) + 1) * (abs(t) + 1)).sum() / divisor
    what, got = "forward over forward", 'found["second"]'
    _fine_enough(found["second"], contract.probe.wanted_dtype(plain), contract, what, got)
    # A product's rule takes a difference that is not finite, or is beyond the range once it was
    # multiplied by a tangent, times a tangent that does not move.
    if not isinstance(contract.truth.total, str):
        pushed = (2 * abs(_difference(plain)[inside]) * (abs(s) + abs(t))).sum()
        reach = max(scale, pushed)
        _near(found["second"], wanted, scale, contract, plain, what, reach=reach, got=got)
    return Answer(found["loss"], free=True)


APART = "torch's forward mode refuses primals that overlap, and fails on lazily negated ones"


def apart(case: Case) -> bool:
    """Whether torch takes the inputs of a case as primals of its forward mode."""
    layouts = {case.x_recon.layout, case.x.layout}
    return not case.shared and not layouts & {"expanded_rows", "sliding_windows", "negated"}


def _detached(inputs: Inputs) -> Inputs:
    return Inputs(inputs.x_recon.detach(), inputs.x.detach(), inputs.mask)


def _hides(case: Case) -> bool:
    """Whether its tangents hold something of their own outside the mask: where the case does."""
    return case.x_recon.outside is not None or case.x.outside is not None


def _wide(tensor: Tensor) -> Wide:
    return oracle.as_array(tensor).astype(_LONG)


def _right_tangent(
    tangent: Any, inputs: Inputs, case: Case, contract: Contract, given: list[Tensor]
) -> None:
    """C13: Σ 2 (x_recon − x) · mask · (t_recon − t_x) ÷ divisor."""
    if isinstance(contract.truth.total, str):
        return
    if not isinstance(tangent, Tensor):
        claim = claims.is_tensor('found["tangent"]')
        contract.fail("C13", "the result has no tangent", tangent, "a tangent", claim=claim)
        return
    what, got = "the forward-mode derivative", 'found["tangent"]'
    _fine_enough(tangent, contract.probe.wanted_dtype(inputs), contract, what, got)
    d = _difference(inputs)
    inside = _wide(inputs.mask) > 0
    d, t_recon, t_x = (v[inside] for v in (d, *(_wide(v) for v in given)))
    divisor = contract.truth.divisor(case.effective_reduction)
    wanted = (2 * d * (t_recon - t_x)).sum() / divisor
    reach = (2 * abs(d) * (abs(t_recon) + abs(t_x))).sum()
    _near(tangent, wanted, reach / divisor, contract, inputs, what, reach=3.0 * reach, got=got)


def _right_hessian(
    found: Mapping[str, Any],
    inputs: Inputs,
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
    divisor = contract.truth.divisor(contract.case.effective_reduction)
    moved = abs(t_recon) + abs(t_x)
    with np.errstate(all="ignore"):
        spilled = 2 * abs(d) * (1 + abs(up) * moved) >= _largest(contract, inputs)
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            claim = claims.is_tensor(f'found["second"]["{name}"]')
            contract.fail("C13", f"{what} by {name} is missing", tensor, "a tensor", claim=claim)
            continue
        what_by, place = f"{what} by {name}", f'found["second"]["{name}"]'
        _fine_enough(tensor, getattr(inputs, name).dtype, contract, what_by, place)
        outside = tensor[~inputs.mask]
        if bool((outside != 0).any()):
            got = outside[outside != 0][0]
            claim = claims.all_zero(f"{place}[~mask]")
            said = f"{what_by} is not zero outside the mask"
            contract.fail("C12", said, got, "0", claim=claim)
        if isinstance(contract.truth.total, str):
            continue
        sign = 1 if name == "x_recon" else -1
        wanted = sign * 2 * inside * (up * (t_recon - t_x) + up_tangent * d) / divisor
        scale = 2 * inside * (abs(up) * moved + abs(up_tangent * d))
        reach = np.where(spilled, np.inf, scale)
        _near(
            tensor, wanted, scale / divisor, contract, inputs, what_by, 16, reach=reach, got=place
        )


def _difference(inputs: Inputs) -> Wide:
    with np.errstate(all="ignore"):
        difference = _wide(inputs.x_recon) - _wide(inputs.x)
        return np.where(oracle.as_array(inputs.mask), difference, _LONG(0))


def _largest(contract: Contract, inputs: Inputs) -> float:
    """A 64th of the range of the result's dtype, in which products on the way stay."""
    return torch.finfo(contract.probe.wanted_dtype(inputs)).max / 64


def _fine_enough(
    found: Tensor, dtype: torch.dtype, contract: Contract, what: str, got: str
) -> None:
    """C13: a derivative has no coarser dtype than what it is one of should have.

    A finer one is torch's: it casts gradients and no tangents, and that of `loss + 0.0` is float64.
    """
    if torch.finfo(found.dtype).eps > torch.finfo(dtype).eps:
        claim = claims.Claim(f"{got}.dtype", f"torch.finfo(got).eps <= torch.finfo({dtype}).eps")
        said = f"{what} has a coarser dtype"
        contract.fail("C13", said, str(found.dtype), str(dtype), claim=claim)


def _near(
    found: Tensor,
    wanted: Any,
    scale: Any,
    contract: Contract,
    inputs: Inputs,
    what: str,
    roundoffs: float | None = None,
    reach: Any = None,
    *,
    got: str,
) -> None:
    """Within so many roundoffs, of the coarsest dtype in use, of the terms' magnitudes.

    Where `reach`, of the terms before they are divided, is beyond a 64th of a dtype's range,
    nothing is asked: products on the way may leave it (C11).
    """
    reach = scale if reach is None else reach
    dtypes = [found.dtype, inputs.x_recon.dtype, inputs.x.dtype]
    if roundoffs is None:
        roundoffs = oracle.tangent_roundoffs(contract.truth.selected, ordered=False)
        largest = _largest(contract, inputs)
    else:
        largest = min(torch.finfo(dtype).max for dtype in dtypes) / 64
    unit = max(torch.finfo(dtype).eps for dtype in dtypes)
    tiny = 8 * max(torch.finfo(dtype).smallest_normal for dtype in dtypes)
    values = oracle.as_array(found)
    with np.errstate(all="ignore"):
        bound = np.broadcast_to(roundoffs * unit * scale + tiny, values.shape)
        right = (abs(values - wanted) <= bound) | (reach >= largest)
    if np.all(right):
        return
    if values.ndim == 0:
        claim = claims.near(f"{got}.item()", float(wanted), float(bound))
        contract.fail(
            "C13", f"{what} is wrong", repr(float(values)), repr(float(wanted)), claim=claim
        )
        return
    row, column = (int(i) for i in np.argwhere(~right)[0])
    number = float(np.asarray(wanted)[row, column])
    claim = claims.near(f"{got}[{row}, {column}].item()", number, float(bound[row, column]))
    said = f"{what} is wrong at [{row}, {column}]"
    contract.fail("C13", said, repr(float(values[row, column])), repr(number), claim=claim)
