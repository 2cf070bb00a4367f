"""C14: inputs left alone, no memory shared, nothing kept."""

from __future__ import annotations

import contextlib
import gc
import weakref
from functools import partial

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from ..inputs import text
from ..inputs.cases import NAMES, Case
from ..inputs.grids import GRADS
from ..inputs.source import Source
from ..inputs.strategies import cases
from ..inputs.text import tensors
from ..judge.probe import Probe
from ..judge.program import shown
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation

Seen = tuple[weakref.ref[Tensor], StorageWeakRef]


def seen_of(*tensors: Tensor) -> list[Seen]:
    """What tells later whether a tensor lives on, or its memory in another tensor."""
    return [(weakref.ref(t), StorageWeakRef(t.untyped_storage())) for t in tensors]


def lives(seen: Seen) -> bool:
    """Whether the tensor or its memory is still there."""
    tensor, memory = seen
    return tensor() is not None or not memory.expired()


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

    def call() -> list[Seen]:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
        return seen_of(*inputs, loss)

    names = (*NAMES, "the result")
    kept = [name for name, seen in zip(names, call(), strict=True) if lives(seen)]
    if kept:  # a cycle of references is no leak: collecting it takes a while, and is done seldom
        names_and_seen = zip(names, call(), strict=True)
        gc.collect()
        kept = [name for name, seen in names_and_seen if lives(seen)]
    kept += [f"{name}, of a refused call" for name in _kept_by_refusals(probe, case)]
    if kept:
        raise Violation(
            "something of a call is still referred to after its result was dropped",
            got=", ".join(kept),
            wanted="nothing",
            script=partial(_program, probe, case, refused=kept[0].endswith("refused call")),
        )


def _program(probe: Probe, case: Case, *, refused: bool) -> str:
    source = Source()
    for line in ("import contextlib", "import gc"):
        source.imports[line] = None
    made, names = tensors(case, source, probe.device), "x_recon, x, mask"
    if refused:
        made += ["with contextlib.suppress(Exception):"]
        made += [f'    {case.function}(x_recon, x, mask, reduction="none")']
    else:
        made += [f"loss = {case.function}(x_recon, x, mask{text.given(case)})"]
        names += ", loss"
        if case.grads:
            upstream = f"torch.full_like(loss, {source.write(case.upstream)})"
            made += [f"torch.autograd.grad(loss, [{', '.join(case.grads)}], {upstream})"]
    made += [f"return seen_of({names})"]
    lines = ["def call():", *(f"    {line}" for line in made), "", "seen = call()", "gc.collect()"]
    lines += [f"kept = [name for name, each in zip({names.split(', ')}, seen) if lives(each)]"]
    lines += ['assert not kept, f"still referred to after the result was dropped: {kept}"']
    return shown(None, probe.subject.imports, lines, uses=(seen_of, lives), source=source)


def _kept_by_refusals(probe: Probe, case: Case) -> list[str]:
    """The inputs that are still alive after a call with them was refused."""

    def refused() -> list[Seen]:
        inputs = case.build(probe.device)
        probe.calls += 1
        with contextlib.suppress(Exception):
            probe.function(case.function)(inputs.x_recon, inputs.x, inputs.mask, reduction="none")
        return seen_of(*inputs)

    seen = refused()
    if any(map(lives, seen)):
        gc.collect()
    return [name for name, found in zip(NAMES, seen, strict=True) if lives(found)]


situation(
    "C14-inputs-untouched",
    "Inputs are left alone, and nothing shares memory, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C14"]),
)
situation(
    "C14-any-size",
    "Inputs are left alone, and nothing shares memory; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C14"]),
    draws=0,
)
