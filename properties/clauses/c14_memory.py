"""C14: inputs left alone, no memory shared, nothing kept."""

from __future__ import annotations

import contextlib
import gc
import weakref
from functools import partial

from torch import Tensor

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
    for line in ("import contextlib", "import gc", "import weakref"):
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
    made += [f"return [weakref.ref(t) for t in ({names})]"]
    lines = ["def call():", *(f"    {line}" for line in made), "", "seen = call()", "gc.collect()"]
    lines += ["kept = [reference() for reference in seen if reference() is not None]"]
    lines += ['assert not kept, f"still referred to after the result was dropped: {kept}"']
    return shown(None, probe.subject.imports, lines, source=source)


def _kept_by_refusals(probe: Probe, case: Case) -> list[str]:
    """The inputs that are still alive after a call with them was refused."""

    def refused() -> list[weakref.ref[Tensor]]:
        inputs = case.build(probe.device)
        probe.calls += 1
        with contextlib.suppress(Exception):
            probe.function(case.function)(inputs.x_recon, inputs.x, inputs.mask, reduction="none")
        return [weakref.ref(tensor) for tensor in inputs]

    seen = refused()
    if any(reference() is not None for reference in seen):
        gc.collect()
    return [name for name, found in zip(NAMES, seen, strict=True) if found() is not None]


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
