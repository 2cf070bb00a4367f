"""What a subject looks like from a few simple calls: which claims it would not keep by design.

Asked before the run, so that the failures can be followed by the line that would say so. Only what
raises counts, not what is wrong: a loss that refuses float64 says what it is, one that is off in
float64 does not. Nothing here judges. Calls that have torch import much (in forward mode, on meta
tensors, compiled) are not made: what fails in the run tells as much.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import DEFAULT_REDUCTION
from ..judge.caller import RAISED
from ..subject import Claims, Subject

Loss = Callable[..., Any]


@dataclass
class Traits:
    """What is seen of a subject.

    Attributes:
        claims: the fields in which its claims differ from the contract's.
        refused: the fields of Claims that it would not keep, with the values that it would.
        notes: what its functions look like otherwise, in words that say what to do.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def stated(claims: Claims) -> dict[str, Any]:
    """The fields of claims that differ from the contract's."""
    default = Claims()
    each = ((f.name, getattr(claims, f.name)) for f in fields(claims))
    return {name: value for name, value in each if value != getattr(default, name)}


def traits(subject: Subject, device: str = "cpu") -> Traits:
    """Look at a subject; whatever it raises on the way is an answer."""
    seen = Traits(stated(subject.claims))
    seen.notes = signatures(subject)
    losses: dict[str, Loss] = {name: getattr(subject, name) for name in subject.functions}
    with torch.random.fork_rng(devices=[]):
        seen.refused = _refused(subject.claims, losses, device)
        answering = seen.refused.get("dtypes", subject.claims.dtypes)[0]
        dtype = getattr(torch, answering)
        seen.notes += [
            note for name in losses for note in _visible(name, losses[name], dtype, device)
        ]
    return seen


def signatures(subject: Subject) -> list[str]:
    """What is unusual about how its functions take a reduction, in words that say what to do."""
    return [note for name in subject.functions for note in _signature(subject, name)]


def _inputs(dtype: torch.dtype, device: str, grad: bool = False) -> list[Tensor]:
    x_recon = torch.tensor([[1.0, 3.0, 0.0, 2.0], [2.0, 0.5, 4.0, 1.0]])
    x = torch.tensor([[0.0, 1.0, 3.0, 2.5], [1.0, 0.0, 0.0, 3.0]])
    mask = torch.tensor([[True, False, True, False], [False, False, True, False]])
    pair = [t.to(device=device, dtype=dtype).requires_grad_(grad) for t in (x_recon, x)]
    return [*pair, mask.to(device)]


def _answers(call: Callable[[], Any]) -> bool:
    try:
        call()
    except RAISED:
        return False
    return True


def _refused(claims: Claims, losses: dict[str, Loss], device: str) -> dict[str, Any]:
    """The claims that no function keeps, where it keeps others of the kind."""
    found: dict[str, Any] = {}

    def some(call: Callable[[Loss], Any]) -> bool:
        return any(_answers(lambda loss=loss: call(loss)) for loss in losses.values())  # type: ignore[misc]

    dtypes = [
        name
        for name in claims.dtypes
        if some(lambda loss, name=name: loss(*_inputs(getattr(torch, name), device)))  # type: ignore[misc]
    ]
    if not dtypes:
        return found
    if len(dtypes) < len(claims.dtypes):
        found["dtypes"] = dtypes
    dtype = getattr(torch, dtypes[0] if "float32" not in dtypes else "float32")
    reductions = [
        name
        for name in claims.reductions
        if some(lambda loss, name=name: loss(*_inputs(dtype, device), reduction=name))  # type: ignore[misc]
    ]
    if 0 < len(reductions) < len(claims.reductions):
        found["reductions"] = reductions
    halves = [torch.float16, torch.bfloat16]
    if claims.half_result == "float32" and all(
        _dtype_of(loss, half, device) == half for loss in losses.values() for half in halves
    ):
        found["half_result"] = "half"
    if claims.gradients and not some(lambda loss: _gradient(loss, dtype, device)):
        return {**found, "gradients": False}
    asked: dict[str, Callable[[Loss], Any]] = {
        "second_order": lambda loss: _second(loss, dtype, device),
        "transforms": lambda loss: _mapped(loss, dtype, device),
    }
    for name, call in asked.items():
        if getattr(claims, name) and not some(call):
            found[name] = False
    return found


def _dtype_of(loss: Loss, dtype: torch.dtype, device: str) -> Any:
    try:
        return getattr(loss(*_inputs(dtype, device)), "dtype", None)
    except RAISED:
        return None


def _gradient(loss: Loss, dtype: torch.dtype, device: str) -> None:
    x_recon, x, mask = _inputs(dtype, device, grad=True)
    torch.autograd.grad(loss(x_recon, x, mask), x_recon)


def _second(loss: Loss, dtype: torch.dtype, device: str) -> None:
    x_recon, x, mask = _inputs(dtype, device, grad=True)
    (first,) = torch.autograd.grad(loss(x_recon, x, mask), x_recon, create_graph=True)
    torch.autograd.grad(first.sum(), x_recon)


def _mapped(loss: Loss, dtype: torch.dtype, device: str) -> None:
    torch.func.vmap(loss)(*(torch.stack([t, t]) for t in _inputs(dtype, device)))


def _signature(subject: Subject, name: str) -> list[str]:
    """What is unusual about how a function takes its reduction, in words."""
    try:
        parameters = inspect.signature(getattr(subject, name)).parameters
    except (TypeError, ValueError):
        return []
    kinds = inspect.Parameter
    if any(p.kind is kinds.VAR_KEYWORD for p in parameters.values()):
        return []
    taken = parameters.get("reduction")
    if taken is None or taken.kind is kinds.POSITIONAL_ONLY:
        others = [p.name for p in parameters.values() if p.kind is not kinds.VAR_POSITIONAL][3:]
        call = f"yours(x_recon, x, mask{', reduction' if others else ''})"
        also = f" (but {others[0]})" if others and taken is None else ""
        default = DEFAULT_REDUCTION[name]
        claims = (
            "" if others else f', with WAVEMAE_CLAIMS = {{"reductions": ["{default}"]}} beside it'
        )
        return [
            f"{name} takes no keyword `reduction`{also}: wrap it, def {name}(x_recon, x, mask, *, "
            f'reduction="{default}"): return {call}{claims}; docs/guide.md, "Another reduction"'
        ]
    if taken.kind is kinds.POSITIONAL_OR_KEYWORD and subject.claims.strict_inputs:
        return [
            f"{name} takes `reduction` by position too, which C1 refuses: put *, before it, or "
            'wrap it; docs/guide.md, "Another reduction"'
        ]
    return []


def _visible(name: str, loss: Loss, dtype: torch.dtype, device: str) -> list[str]:
    """That the function is right for the mask turned round, and not for the mask."""
    x_recon, x, mask = _inputs(dtype, device)
    try:
        got = [float(loss(x_recon, x, each)) for each in (mask, ~mask)]
    except RAISED:
        return []
    squares = (x_recon.double() - x.double()) ** 2

    def right(value: float, where: Tensor) -> bool:
        total = squares[where].sum()
        wanted = (total, total / where.sum(), total / len(where))
        return any(abs(value - float(each)) <= 0.02 * abs(float(each)) for each in wanted)

    if right(got[0], ~mask) and right(got[1], mask) and not right(got[0], mask):
        return [
            f"{name} is right for ~mask: what it takes for True is what is visible. Wrap it, "
            f"def {name}(x_recon, x, mask, **given): return yours(x_recon, x, ~mask, **given); "
            'docs/guide.md, "Another mask"'
        ]
    return []
