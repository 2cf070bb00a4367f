"""C14: inputs left alone, no memory shared, nothing kept."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import NAMES, Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, EMPTY_SHAPES, GRADS, SAME_PAIRS, sized_grid, small_grid
from ..inputs.layouts import LAYOUTS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import NAN, Lattice
from ..judge.bits import same_bits
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation


def _whole(tensor: Tensor) -> Tensor:
    """All of the memory behind a tensor, as bytes."""
    return torch.tensor([], dtype=torch.uint8, device=tensor.device).set_(
        tensor.detach().untyped_storage()
    )


_ATTRIBUTES = (
    *("version counter", "requires_grad", "strides", "shape", "offset", "dtype", "address"),
    *("hooks", "retains_grad"),
)


def _attributes(tensor: Tensor) -> tuple[Any, ...]:
    return (
        tensor._version,
        tensor.requires_grad,
        tensor.stride(),
        tensor.shape,
        tensor.storage_offset(),
        tensor.dtype,
        tensor.untyped_storage().data_ptr(),
        [*(tensor._backward_hooks or ())],
        tensor.retains_grad,
    )


def _in_every_layout(effort: Effort) -> Iterator[Case]:
    """Few elements, down to one, all three inputs laid out alike."""
    for salt, (layout, shape, dtype) in enumerate(
        itertools.product(LAYOUTS, ((1, 1), (2, 3), (3, 3)), ("float32", "float16", "float64"))
    ):
        yield Case(
            *CALLS[salt % len(CALLS)],
            shape,
            Operand(dtype, Lattice(effort.seed + salt), layout),
            Operand(dtype, Lattice(effort.seed + salt + 1), layout),
            Mask(("full", "bernoulli")[salt % 2], salt, layout),
            salt=salt,
        )


@prop(
    "C14-inputs-untouched",
    statement="Inputs keep values, versions, requires_grad, strides, hooks and .grad, through "
    "backward.",
    rationale="The same batch is scored again, logged, and given to other losses.",
    catches="in-place masking; a label overwritten; requires_grad turned off; buffers scribbled on",
    cases=cases(tier="hard", layouts=LAYOUTS, grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(x_recon__outside=NAN, x__outside=NAN, grads=((), *GRADS)[case.salt % 4])
        for case in itertools.chain(
            _in_every_layout(effort),
            sized_grid(effort, patterns=("bernoulli", "empty", "full"), largest=2**13),
        )
    ),
)
def inputs_untouched(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    collected = {name: torch.ones_like(getattr(inputs, name)).detach() for name in case.grads}
    for name, gradient in collected.items():
        getattr(inputs, name).grad = gradient
    before = [(_whole(t).clone(), *_attributes(t)) for t in inputs]
    loss = probe.call(case, inputs)
    if case.grads:
        probe.pull(case, loss, inputs)
    for name, tensor, old in zip(NAMES, inputs, before, strict=True):
        new = (_whole(tensor), *_attributes(tensor))
        if old[0].shape != new[0].shape or not torch.equal(old[0], new[0]):
            raise Violation(f"the memory of {name} was modified", got=tensor, wanted="as before")
        for words, a, b in zip(_ATTRIBUTES, old[1:], new[1:], strict=True):
            if a != b:
                raise Violation(f"{words} of {name} changed", got=str(b), wanted=str(a))
        there = collected.get(name)
        if tensor.grad is not there or (there is not None and not bool((there == 1).all())):
            raise Violation(f"{name}.grad was touched", got=tensor.grad, wanted=there)


@prop(
    "C14-no-alias",
    statement="The result shares no memory with the inputs, nor with the result of another call.",
    rationale="Accumulating into the loss in place must not write into a batch.",
    catches="a view returned for one element; the reduction of a 1 × 1 input being the input",
    cases=cases(tier="lattice", layouts=LAYOUTS),
    grid=lambda effort: itertools.chain(
        small_grid(effort, shapes=((1, 1), (1, 2)), pairs=SAME_PAIRS),
        small_grid(effort, shapes=EMPTY_SHAPES, pairs=SAME_PAIRS, patterns=("full",)),
    ),
    weight=0.5,
)
def no_alias(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    copies = [_whole(t).clone() for t in inputs]
    loss.detach().fill_(17)
    for name, tensor, copy in zip(NAMES, inputs, copies, strict=True):
        if not torch.equal(_whole(tensor), copy):
            raise Violation(
                f"writing into the result changes {name}", got=tensor, wanted="as before"
            )
    again = probe.call(case, inputs)
    probe.right_value(again, case, inputs)


@prop(
    "C14-gradient-memory",
    statement="A gradient shares no memory with the inputs, the upstream gradient, or another one.",
    rationale="Gradients are clipped, scaled and zeroed in place.",
    catches="the upstream gradient passed on; one buffer, or views of one, for both inputs",
    needs=("gradients",),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (1, 2), (2, 3), (33, 40)),
        patterns=("full", "bernoulli", "empty"),
        pairs=SAME_PAIRS,
        grads=GRADS,
        share=4,
    ),
)
def gradient_memory(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(loss, wrt, inputs):
        return
    upstream = torch.full_like(loss, case.upstream)
    found = torch.autograd.grad(loss, wrt, upstream)
    others = {**inputs._asdict(), "the upstream gradient": upstream}
    others |= {f"the gradient of {n}": g for n, g in zip(case.grads, found, strict=True)}
    for name, gradient in zip(case.grads, found, strict=True):
        before = {n: t.detach().clone() for n, t in others.items() if t is not gradient}
        with suppress(RuntimeError):  # an expanded gradient cannot be written to
            gradient.fill_(17)
        for other, copy in before.items():
            if not same_bits(others[other], copy):
                raise Violation(
                    f"writing into the gradient of {name} changes {other}",
                    got=others[other],
                    wanted=copy,
                )


@prop(
    "C14-nothing-kept",
    statement="Once the result is dropped, nothing refers to the inputs of a call any more.",
    rationale="A batch that something still refers to is memory that fills up, step by step.",
    catches="inputs, results or graphs collected in a list or a cache of the module",
    cases=cases(tier="lattice", grads=((), *GRADS)),
    weight=0.2,
)
def nothing_kept(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)

    def call() -> list[weakref.ref[Tensor]]:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
        return [weakref.ref(tensor) for tensor in (*inputs, loss)]

    names = (*NAMES, "the result")
    kept = [name for name, seen in zip(names, call(), strict=True) if seen() is not None]
    if kept:  # a cycle of references is no leak: collecting it takes a while, and is done seldom
        names_and_refs = zip(names, call(), strict=True)
        gc.collect()
        kept = [name for name, seen in names_and_refs if seen() is not None]
    if kept:
        raise Violation(
            "something of a call is still referred to after its result was dropped",
            got=", ".join(kept),
            wanted="nothing",
        )


situation(
    "C14-pairs",
    "Inputs are left alone, and nothing shares memory, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C14"]),
)
situation(
    "C14-large-pairs",
    "Inputs are left alone, and nothing shares memory; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C14"]),
    draws=0,
)
