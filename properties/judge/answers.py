"""Ways to make a call and to take its gradients, in reverse mode: each gives an `Answer`.

`call(x_recon, x, mask)` is the loss under test with its reduction filled in.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.cases import Case, Inputs
from ..inputs.masks import Mask
from ..inputs.values import Lattice
from .bits import same_bits
from .contract import Answer, Contract

Call = Callable[..., Any]
Derive = Callable[[Call, Inputs, Case, Contract], Answer]


def wanted_gradients(inputs: Inputs, case: Case) -> dict[str, Tensor]:
    """The inputs whose gradients a case asks for; one of them where they are one tensor."""
    if case.shared == "same":
        return {"x_recon": inputs.x_recon} if case.grads else {}
    return {name: getattr(inputs, name) for name in case.grads}


def upstream(loss: Tensor, value: float) -> Tensor:
    """The gradient that reaches the loss."""
    return torch.full_like(loss.detach(), value)


def pull(
    loss: Any,
    inputs: Inputs,
    case: Case,
    contract: Contract,
    *,
    given: float | None = None,
    retain_graph: bool = False,
) -> dict[str, Any]:
    """The gradients of a loss; the upstream gradient has to stay as it is."""
    wanted = wanted_gradients(inputs, case)
    part = "C12" if contract.truth.selected == 0 else "C11"
    if not isinstance(loss, Tensor):
        return {}
    if loss.requires_grad != bool(wanted):
        what = "whether the loss requires grad is not what its inputs say"
        contract.fail(part, what, loss.requires_grad, bool(wanted))
        return {}
    if not wanted:
        return {}
    u = upstream(loss, case.upstream if given is None else given)
    version, before = internals.version(u), u.clone()
    found = torch.autograd.grad(
        loss, list(wanted.values()), u, allow_unused=True, retain_graph=retain_graph
    )
    if internals.version(u) != version or not same_bits(u, before):
        contract.fail("C14", "backward modified the upstream gradient", u, before)
    for name, gradient in zip(wanted, found, strict=True):
        if gradient is None or not gradient.numel():
            continue
        if gradient.untyped_storage().data_ptr() == u.untyped_storage().data_ptr():
            what = f"the gradient of {name} shares memory with the upstream gradient"
            contract.fail("C14", what, "one memory", "two")
    return dict(zip(wanted, found, strict=True))


def reverse(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The loss, and its gradients by backward."""
    loss = call(*inputs)
    return Answer(loss, pull(loss, inputs, case, contract))


def value_only(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The loss alone, where no gradient is recorded or none can be."""
    loss = call(*inputs)
    if not torch.is_grad_enabled() and isinstance(loss, Tensor) and loss.requires_grad:
        contract.fail("C16", "the loss requires grad where grad mode is off", True, False)
    return Answer(loss, inference=torch.is_inference_mode_enabled())


def retained(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Backward several times through one graph, another call and another upstream in between."""
    loss = call(*inputs)
    first = pull(loss, inputs, case, contract, retain_graph=True)
    kept = {name: g.clone() for name, g in first.items() if isinstance(g, Tensor)}
    noise(call, case, 2)
    other = pull(loss, inputs, case, contract, given=3.0, retain_graph=True)
    contract.judge_gradients(other, inputs, 3.0)
    second = pull(loss, inputs, case, contract, retain_graph=True)
    for name, gradient in kept.items():
        if not (same_bits(first[name], gradient) and same_bits(second[name], gradient)):
            what = f"a second backward gives {name} another gradient, or changes the first"
            contract.fail("C13", what, second[name], gradient)
    for gradient in first.values():
        with contextlib.suppress(RuntimeError):  # one number expanded cannot be written to
            gradient.zero_()
    return Answer(loss, pull(loss, inputs, case, contract))


def in_anomaly_mode(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Under the search for NaN, but where a NaN may be on the way to what is right."""
    finite = math.isfinite(case.upstream) and not isinstance(contract.truth.total, str)
    with torch.autograd.set_detect_anomaly(True, check_nan=finite):
        return reverse(call, inputs, case, contract)


def into_grad(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`backward()` into `.grad` that is there; `autograd.grad` before it leaves that alone."""
    wanted = {name: t for name, t in wanted_gradients(inputs, case).items() if t.is_leaf}
    if not wanted:
        return reverse(call, inputs, case, contract)
    for tensor in wanted.values():
        tensor.grad = torch.zeros_like(tensor)
    held = {name: tensor.grad for name, tensor in wanted.items()}
    loss = call(*inputs)
    answer = Answer(loss, pull(loss, inputs, case, contract, retain_graph=True))
    for name, tensor in wanted.items():
        if tensor.grad is None or tensor.grad is not held[name] or bool(tensor.grad.any()):
            contract.fail("C14", f"the call wrote into {name}.grad", tensor.grad, "as before")
        tensor.grad = None
    loss.backward(upstream(loss, case.upstream))
    answer.gradients = {name: tensor.grad for name, tensor in wanted.items()}
    for tensor in wanted.values():
        tensor.grad = None
    return answer


def dropped(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Views that live for the call only, memory allocated and collected before backward."""
    views = [inputs.x_recon, inputs.x]
    if case.shared != "same":
        views = [tensor.view(tensor.shape) for tensor in views]
    loss = call(*views, inputs.mask[:])
    del views
    gc.collect(0)
    reused = [torch.ones_like(inputs.mask) for _ in range(3)]
    answer = Answer(loss, pull(loss, inputs, case, contract))
    del reused
    return answer


def noise(call: Call, case: Case, calls: int = 1) -> None:
    """Calls of the case's shape and dtypes on other numbers, backward and all."""
    for number in range(calls):
        salt = case.salt + 7919 + number % 3
        other = case.but(
            salt=salt,
            mask=Mask("full", salt),
            x_recon__values=Lattice(salt),
            x__values=Lattice(salt + 1),
            x_recon__edits=(),
            x__edits=(),
            x_recon__outside=None,
            x__outside=None,
        )
        loss = call(*other.build())
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()


def interleaved(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Other calls of the same shape, and of another shape and dtype, before backward."""
    loss = call(*inputs)
    noise(call, case, 3)
    dtypes = contract.probe.claims.dtypes
    other = dtypes[(dtypes.index(case.x.dtype) + 1) % len(dtypes)]
    noise(call, case.but(shape=(2, 7)), 1)
    noise(call, case.but(shape=(2, 7), x_recon__dtype=other, x__dtype=other), 1)
    return Answer(loss, pull(loss, inputs, case, contract))


def in_another_thread(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The call in a new thread, its backward here."""
    with ThreadPoolExecutor(1) as other:
        loss = other.submit(call, *inputs).result()
    return Answer(loss, pull(loss, inputs, case, contract))


def backward_elsewhere(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The call here, its backward in a new thread, where another call was made before."""
    loss = call(*inputs)
    with ThreadPoolExecutor(1) as other:
        other.submit(noise, call, case).result()
        return Answer(loss, other.submit(pull, loss, inputs, case, contract).result())


def second_branch(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The inputs feed a second loss, whose share of their gradient stays whole."""
    wanted = wanted_gradients(inputs, case)
    if not wanted or case.shared or not math.isfinite(case.upstream):
        return reverse(call, inputs, case, contract)
    x_recon, x = (t.view_as(t) if t.requires_grad else t for t in (inputs.x_recon, inputs.x))
    inner = Inputs(x_recon, x, inputs.mask)
    loss = call(*inner)
    answer = Answer(loss, pull(loss, inner, case, contract, retain_graph=True))
    extra = sum(getattr(inner, name).sum(dtype=torch.float64) for name in wanted)
    assert isinstance(extra, Tensor)
    both = torch.autograd.grad(
        [loss, extra],
        list(wanted.values()),
        [upstream(loss, case.upstream), torch.ones_like(extra)],
    )
    for name, gradient in zip(wanted, both, strict=True):
        outside = gradient[~inputs.mask]
        if bool((outside != 1).any()):
            what = f"another loss's share of the gradient of {name} is lost"
            contract.fail("C12", what, outside[outside != 1][0], "1")
    return answer


def batched_upstream(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Several upstream gradients at once, by `is_grads_batched`."""
    loss = call(*inputs)
    wanted = wanted_gradients(inputs, case)
    if not wanted or not loss.requires_grad:
        return Answer(loss, pull(loss, inputs, case, contract))
    batch = torch.stack([upstream(loss, case.upstream), torch.ones_like(loss.detach())])
    found = torch.autograd.grad(loss, list(wanted.values()), batch, is_grads_batched=True)
    return Answer(loss, {name: g[0] for name, g in zip(wanted, found, strict=True)}, free=True)
