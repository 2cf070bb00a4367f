"""What the ways of making a call give, asked: reverse mode. Each gives an `Answer`.

`call(x_recon, x, mask)` is the loss under test with its reduction filled in. What is done with it
stands in `acts.py`; here is which of it a case needs, and what must hold of what else came.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from . import acts, claims, midway
from .acts import Call, Found
from .bits import same_bits
from .contract import Answer, Contract

Derive = Callable[[Call, Inputs, Case, Contract], Answer]


def names_in(case: Case) -> tuple[str, ...]:
    """The inputs whose gradients a case asks for; one of them where they are one tensor."""
    if case.shared == "same":
        return ("x_recon",) if case.grads else ()
    return case.grads


def _pulled(
    act: Callable[..., Found],
    call: Call,
    inputs: Inputs,
    case: Case,
    contract: Contract,
    *more: Any,
) -> tuple[Answer, Found]:
    """What an act gives, whose gradients come from `acts.pull`."""
    names = names_in(case)
    found = contract.act(act, call, inputs, names, case.upstream, *more)
    part, loss = "C12" if contract.truth.selected == 0 else "C11", found["loss"]
    if not isinstance(loss, Tensor):
        return Answer(loss), found
    if loss.requires_grad != bool(names):
        what = "whether the loss requires grad is not what its inputs say"
        holds = claims.is_true if names else claims.is_false
        contract.fail(
            part, what, loss.requires_grad, bool(names), claim=holds("loss.requires_grad")
        )
        return Answer(loss), found
    gradients = {name: found[name] for name in names if name in found}
    if "upstream" in found:
        _upstream_untouched(found, contract)
    return Answer(loss, gradients), found


def _upstream_untouched(found: Found, contract: Contract) -> None:
    u, before = found["upstream"], found["upstream before"]
    if found["upstream written to"] or not same_bits(u, before):
        what = "backward modified the upstream gradient"
        claim = claims.same('found["upstream"]', 'found["upstream before"]')
        if found["upstream written to"]:
            claim = claims.is_false('found["upstream written to"]')
        contract.fail("C14", what, u, before, claim=claim)


def reverse(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The loss, and its gradients by backward."""
    return _pulled(acts.reverse, call, inputs, case, contract)[0]


def value_only(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The loss alone, where no gradient is recorded or none can be."""
    loss = contract.act(acts.value, call, inputs)["loss"]
    if not torch.is_grad_enabled() and isinstance(loss, Tensor) and loss.requires_grad:
        what = "the loss requires grad where grad mode is off"
        contract.fail("C16", what, True, False, claim=claims.is_false("loss.requires_grad"))
    return Answer(loss, inference=torch.is_inference_mode_enabled())


def retained(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Backward several times through one graph, another call and another upstream in between."""
    answer, found = _pulled(acts.retained, call, inputs, case, contract)
    if "upstream" not in found:
        return answer
    of_three = {name: found["of three"][name] for name in answer.gradients}
    contract.judge_gradients(of_three, inputs, 3.0, 'found["of three"]')
    for name, gradient in found["first"].items():
        for again in ("first, later", "second"):
            other = found[again][name]
            if not same_bits(other, gradient):
                what = f"a second backward gives {name} another gradient, or changes the first"
                claim = claims.same(f'found["{again}"]["{name}"]', f'found["first"]["{name}"]')
                contract.fail("C13", what, other, gradient, claim=claim)
    return answer


def in_anomaly_mode(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Under the search for NaN, but where a NaN may be on the way to what is right."""
    finite = math.isfinite(case.upstream) and not isinstance(contract.truth.total, str)
    return _pulled(acts.in_anomaly_mode, call, inputs, case, contract, finite)[0]


def into_grad(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """`backward()` into `.grad` that is there; `autograd.grad` before it leaves that alone."""
    if not names_in(case) or not all(getattr(inputs, name).is_leaf for name in names_in(case)):
        return reverse(call, inputs, case, contract)
    answer, found = _pulled(acts.into_grad, call, inputs, case, contract)
    for name in found["wrote into .grad"]:
        claim = claims.Claim('found["wrote into .grad"]', "not got")
        contract.fail("C14", f"the call wrote into {name}.grad", name, "as before", claim=claim)
    return answer


def written_over(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """A result that is changed in place, as training loops divide it; its backward may raise."""
    answer, found = _pulled(acts.written_over, call, inputs, case, contract)
    if found["refused"]:
        what, claim = (
            "the result cannot be changed in place",
            claims.Claim("found['refused']", "not got"),
        )
        contract.fail("C5", what, found["refused"], "an ordinary tensor", claim=claim)
    return answer


def dropped(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Views that live for the call only, memory allocated and collected before backward."""
    return _pulled(acts.dropped, call, inputs, case, contract)[0]


def interleaved(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Other calls of the same shape, and of another shape and dtype, before backward."""
    dtypes = contract.probe.claims.dtypes
    other = getattr(torch, dtypes[(dtypes.index(case.x.dtype) + 1) % len(dtypes)])
    return _pulled(acts.interleaved, call, inputs, case, contract, other)[0]


def in_another_thread(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The call in a new thread, its backward here."""
    return _pulled(acts.in_another_thread, call, inputs, case, contract)[0]


def backward_elsewhere(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The call here, its backward in a new thread, where another call was made before."""
    return _pulled(acts.backward_elsewhere, call, inputs, case, contract)[0]


def beside_another(
    call: Call,
    inputs: Inputs,
    case: Case,
    contract: Contract,
    numbers: tuple[int, ...] | None = None,
) -> Answer:
    """While a call in another thread stands before one of its lines after another."""
    offered = contract.probe.claims.reductions
    other = offered[(offered.index(case.effective_reduction) + 1) % len(offered)]
    more = other, numbers, case.salt
    answer, found = _pulled(midway.midway, call, inputs, case, contract, *more)
    if found["disturbed"]:
        what, claim = "it disturbs another call", claims.Claim('found["disturbed"]', "not got")
        contract.fail("C16", what, found["disturbed"][0], "what it gives alone", claim=claim)
    return answer


def second_branch(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """The inputs feed a second loss, whose share of their gradient stays whole."""
    if not names_in(case) or case.shared or not math.isfinite(case.upstream):
        return reverse(call, inputs, case, contract)
    answer, found = _pulled(acts.second_branch, call, inputs, case, contract)
    for name, gradient in found.get("both", {}).items():
        outside = gradient[~inputs.mask]
        if bool((outside != 1).any()):
            what = f"another loss's share of the gradient of {name} is lost"
            claim = claims.Claim(f'found["both"]["{name}"][~mask]', "bool((got == 1).all())")
            contract.fail("C12", what, outside[outside != 1][0], "1", claim=claim)
    return answer


def batched_upstream(call: Call, inputs: Inputs, case: Case, contract: Contract) -> Answer:
    """Several upstream gradients at once, by `is_grads_batched`."""
    if not names_in(case):
        return reverse(call, inputs, case, contract)
    names = names_in(case)
    found = contract.act(acts.batched_upstream, call, inputs, names, case.upstream)
    loss = found["loss"]
    if not loss.requires_grad:
        part = "C12" if contract.truth.selected == 0 else "C11"
        what = "whether the loss requires grad is not what its inputs say"
        contract.fail(part, what, False, True, claim=claims.is_true("loss.requires_grad"))
        return Answer(loss)
    return Answer(loss, {name: found[name] for name in names}, free=True)
