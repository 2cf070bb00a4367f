"""How a call is made and differentiated: what a situation does, and what its program prints.

Each takes `call(x_recon, x, mask)`, the loss under test with its reduction filled in, and the
tensors, and returns what came: "loss", the gradients by the name of their input, and what else has
to be looked at. None knows what is right. `names` are the inputs whose gradients are asked for.
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
from ..inputs.written import lattice

Call = Callable[..., Any]
Names = tuple[str, ...]
Found = dict[str, Any]


def value(call: Call, inputs: Any) -> Found:
    """The loss alone."""
    return {"loss": call(*inputs)}


def wanted(inputs: Any, names: Names) -> dict[str, Tensor]:
    """Those of x_recon and x that are named."""
    pairs = zip(("x_recon", "x"), inputs, strict=False)
    return {name: tensor for name, tensor in pairs if name in names}


def pull(
    loss: Any, inputs: Any, names: Names, upstream: float, retain_graph: bool = False
) -> Found:
    """The gradients of a loss, and the upstream gradient beside what it was."""
    if not isinstance(loss, Tensor) or not loss.requires_grad or not names:
        return {}
    u = torch.full_like(loss.detach(), upstream)
    writes, before = internals.version(u), u.clone()
    tensors = wanted(inputs, names)
    found = torch.autograd.grad(
        loss, list(tensors.values()), u, allow_unused=True, retain_graph=retain_graph
    )
    written = internals.version(u) != writes
    looked_at = {"upstream": u, "upstream before": before, "upstream written to": written}
    return {**dict(zip(tensors, found, strict=True)), **looked_at}


def reverse(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """The loss, and its gradients by backward."""
    loss = call(*inputs)
    return {"loss": loss, **pull(loss, inputs, names, upstream)}


def retained(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """Backward several times through one graph, another call and another upstream in between."""
    loss = call(*inputs)
    first = pull(loss, inputs, names, upstream, True)
    kept = {name: first[name].clone() for name in names if isinstance(first.get(name), Tensor)}
    other_calls(call, inputs, 2)
    other = pull(loss, inputs, names, 3.0, True)
    second = pull(loss, inputs, names, upstream, True)
    later = {name: first[name].clone() for name in kept}
    for name in kept:
        with contextlib.suppress(RuntimeError):  # one number expanded cannot be written to
            first[name].zero_()
    last = pull(loss, inputs, names, upstream)
    several = {"first": kept, "first, later": later, "of three": other, "second": second}
    return {"loss": loss, **last, **several}


def in_anomaly_mode(
    call: Call, inputs: Any, names: Names, upstream: float, check_nan: bool
) -> Found:
    """Under the search for NaN, but where a NaN may be on the way to what is right."""
    with torch.autograd.set_detect_anomaly(True, check_nan=check_nan):
        return reverse(call, inputs, names, upstream)


def into_grad(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """`backward()` into `.grad` that is there; `autograd.grad` before it leaves that alone."""
    tensors = wanted(inputs, names)
    for tensor in tensors.values():
        tensor.grad = torch.zeros_like(tensor)
    held = {name: tensor.grad for name, tensor in tensors.items()}
    loss = call(*inputs)
    pulled = pull(loss, inputs, names, upstream, True)
    wrote = [
        name
        for name, tensor in tensors.items()
        if tensor.grad is None or tensor.grad is not held[name] or bool(tensor.grad.any())
    ]
    for tensor in tensors.values():
        tensor.grad = None
    if pulled:
        loss.backward(torch.full_like(loss.detach(), upstream))
        pulled |= {name: tensor.grad for name, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.grad = None
    return {"loss": loss, **pulled, "wrote into .grad": wrote}


def written_over(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """A result that is changed in place, as training loops divide it; its backward may raise."""
    loss, refused = call(*inputs), ""
    if isinstance(loss, Tensor):
        try:
            loss.mul_(1)
        except RuntimeError as error:
            refused = str(error)
    try:
        return {"loss": loss, "refused": refused, **pull(loss, inputs, names, upstream)}
    except RuntimeError:
        return {"loss": loss, "refused": refused}


def dropped(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """Views that live for the call only, memory allocated and collected before backward."""
    x_recon, x, mask = inputs
    views = [x_recon, x]
    if x_recon is not x:
        views = [tensor.view(tensor.shape) for tensor in views]
    loss = call(*views, mask[:])
    del views
    gc.collect(0)
    reused = [torch.ones_like(mask) for _ in range(3)]
    found = {"loss": loss, **pull(loss, inputs, names, upstream)}
    del reused
    return found


def other_calls(
    call: Call, inputs: Any, count: int = 1, shape: Any = None, dtype: torch.dtype | None = None
) -> None:
    """Calls on other numbers, with backward; the shape and the dtypes are the same if not given."""
    for number in range(count):
        others: list[Tensor] = []
        for tensor in inputs[:2]:
            other = torch.empty_like(tensor.detach(), dtype=dtype)
            other = other if shape is None else other.new_empty(shape)
            other.copy_(lattice(other.numel(), number + 7919 + len(others)).reshape(other.shape))
            others.append(other.requires_grad_(tensor.requires_grad))
        loss = call(*others, torch.ones_like(others[0], dtype=torch.bool))
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()


def interleaved(
    call: Call, inputs: Any, names: Names, upstream: float, other: torch.dtype
) -> Found:
    """Other calls of the same shape, and of another shape and dtype, before backward."""
    loss = call(*inputs)
    other_calls(call, inputs, 3)
    other_calls(call, inputs, 1, (2, 7))
    other_calls(call, inputs, 1, (2, 7), other)
    return {"loss": loss, **pull(loss, inputs, names, upstream)}


def in_another_thread(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """The call in a new thread, its backward here."""
    with ThreadPoolExecutor(1) as other:
        loss = other.submit(call, *inputs).result()
    return {"loss": loss, **pull(loss, inputs, names, upstream)}


def backward_elsewhere(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """The call here, its backward in a new thread, where another call was made before."""
    loss = call(*inputs)
    with ThreadPoolExecutor(1) as other:
        other.submit(other_calls, call, inputs).result()
        found = other.submit(pull, loss, inputs, names, upstream).result()
    return {"loss": loss, **found}


def second_branch(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """The inputs feed a second loss too, their sum, whose share of the gradient is 1."""
    x_recon, x = (t.view_as(t) if t.requires_grad else t for t in inputs[:2])
    inner = (x_recon, x, inputs[2])
    loss = call(*inner)
    found = {"loss": loss, **pull(loss, inner, names, upstream, True)}
    if "upstream" in found:
        extra: Any = sum(tensor.double().sum() for tensor in wanted(inner, names).values())
        tensors = list(wanted(inputs, names).values())
        given = [torch.full_like(loss.detach(), upstream), torch.ones_like(extra)]
        both = torch.autograd.grad([loss, extra], tensors, given)
        found["both"] = dict(zip(wanted(inputs, names), both, strict=True))
    return found


def batched_upstream(call: Call, inputs: Any, names: Names, upstream: float) -> Found:
    """Several upstream gradients at once, by `is_grads_batched`."""
    loss = call(*inputs)
    if not loss.requires_grad:
        return {"loss": loss}
    one = torch.ones_like(loss.detach())
    batch = torch.stack([one * upstream, one])
    tensors = wanted(inputs, names)
    found = torch.autograd.grad(loss, list(tensors.values()), batch, is_grads_batched=True)
    return {"loss": loss, **{name: g[0] for name, g in zip(tensors, found, strict=True)}}


def three_times(call: Call, inputs: Any, names: Names) -> Found:
    """An upstream gradient of 3, made in several ways, as training code makes it.

    Through the graph: 3·loss, and half of what two losses differ by. As an element of a larger
    tensor, or negated lazily: memory begins with another number there.
    """
    loss, again = call(*inputs), call(*inputs)
    tensors = wanted(inputs, names)
    row = torch.tensor([math.nan, 3.0, math.nan], dtype=loss.dtype, device=loss.device)
    views = [row[1], row[1:2].expand(4)[3], internals.neg_view(-row)[1]]
    scaled = 3 * loss + (again - loss) / 2
    pulled = [torch.autograd.grad(scaled, list(tensors.values()), retain_graph=True)]
    for view in views:
        pulled.append(torch.autograd.grad(loss, list(tensors.values()), view, retain_graph=True))
    return {"loss": loss, "ways": [dict(zip(tensors, found, strict=True)) for found in pulled]}


def accumulated(call: Call, inputs: Any) -> Found:
    """backward() twice into `.grad`, through 2·x_recon and x + 1; and one tensor for both."""
    x_recon, x, mask = inputs
    times = []
    for time in (1, 2):
        call(x_recon * 2, x + 1, mask).backward()
        times.append({"x_recon": x_recon.grad / (2 * time), "x": x.grad / time})
    one = x_recon.detach().requires_grad_()
    loss = call(one, one, mask)
    return {"loss": loss, "times": times, "same": torch.autograd.grad(loss, one)[0]}


def written_to(call: Call, inputs: Any, names: Names) -> Found:
    """Gradients after another gradient, or `.grad`, was written to; each with what was done."""
    loss, after = call(*inputs), []
    tensors: Any = wanted(inputs, names)
    one = torch.ones_like(loss.detach())  # made once: a backward may tell it by its identity

    def pulled() -> Found:
        found = torch.autograd.grad(loss, list(tensors.values()), one, retain_graph=True)
        return dict(zip(tensors, found, strict=True))

    for name in names:
        found = pulled()
        with contextlib.suppress(RuntimeError):  # an expanded gradient cannot be written to
            found.pop(name).zero_()
        after.append(("the other gradient was zeroed in place", found))
        after.append(("a gradient was zeroed in place", pulled()))
    loss.backward(retain_graph=True)
    for tensor in tensors.values():
        tensor.grad.zero_()
        others = {n: t.grad.clone() for n, t in tensors.items() if t is not tensor}
        after.append(("one .grad was zeroed in place", others))
        loss.backward(retain_graph=True)
        for other in tensors.values():
            if other is not tensor:
                other.grad.div_(2)
        both = {n: t.grad.clone() for n, t in tensors.items()}
        after.append(("one .grad was zeroed in place and backward ran again", both))
    return {"loss": loss, "after": after}


def change(tensors: Any, which: int) -> None:
    """Change one of x_recon, x and mask in place; of an expanded one, the memory that it shows."""
    own = unexpanded(tensors[which])
    with torch.no_grad():
        if which == 2:
            own.logical_not_()
        else:
            own.mul_(-2).add_(1)


def unexpanded(tensor: Tensor) -> Tensor:
    """The view of a tensor without what strides of zero repeat."""
    for dimension, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[dimension] > 1:
            tensor = tensor.narrow(dimension, 0, 1)
    return tensor


def changed_before_backward(
    call: Call, inputs: Any, names: Names, upstream: float, which: int
) -> Found:
    """One of the inputs is changed in place between forward and backward, which may then raise."""
    loss = call(*inputs)
    change(inputs, which)
    try:
        return {"loss": loss, "refused": False, **pull(loss, inputs, names, upstream)}
    except Exception:  # of any type
        return {"loss": loss, "refused": True}


def backward_of_changed(loss: Any, inputs: Any, names: Names) -> None:
    """Backward, which may raise, after all inputs were changed in place."""
    for which in range(3):
        with contextlib.suppress(RuntimeError):  # overlapping rows cannot be written to
            change(inputs, which)
    with contextlib.suppress(Exception):
        pull(loss, inputs, names, 1.0)


def changed_between_backwards(call: Call, inputs: Any, names: Names, which: int) -> Found:
    """A second backward with and without a change in place after the first, which may then raise.

    Second order, by the input and by the upstream gradient, and the first order of the loss once
    more; None where backward raised.
    """
    found: Found = {}
    for turn in ("as called", "changed"):
        given = [unexpanded(t.detach()).clone().expand(t.shape) for t in inputs]
        for own, tensor in zip(given, inputs, strict=True):
            own.requires_grad_(tensor.requires_grad)
        found["loss"] = call(*given)
        leaf = next(iter(wanted(given, names).values()))
        upstream = torch.ones_like(found["loss"].detach(), requires_grad=True)
        (first,) = torch.autograd.grad(found["loss"], leaf, upstream, create_graph=True)
        if turn == "changed":
            change(given, which)
        second = first.sum()
        for by, of, tensor in (
            ("by input", second, leaf),
            ("by upstream", second, upstream),
            ("of the loss", found["loss"], leaf),
        ):
            found[f"{turn}, {by}"] = None
            with contextlib.suppress(Exception):
                (found[f"{turn}, {by}"],) = torch.autograd.grad(
                    of, tensor, retain_graph=True, allow_unused=True
                )
    return found
