"""C14: inputs left alone, no memory shared, nothing kept."""

from __future__ import annotations

import contextlib
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from ..inputs import text
from ..inputs.cases import NAMES, Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS, PAIRS, SAME_PAIRS, small_grid
from ..inputs.layouts import LAYOUTS
from ..inputs.operands import Operand
from ..inputs.source import Source
from ..inputs.strategies import cases
from ..inputs.text import tensors
from ..judge import handed
from ..judge.acts import Call
from ..judge.broken import broken_calls
from ..judge.probe import Probe
from ..judge.program import shown
from ..judge.violation import Violation
from .registry import prop
from .situations import TWO_TRAITS, situation

Seen = tuple[weakref.ref[Tensor], StorageWeakRef]
Mode = Callable[[], AbstractContextManager[Any]]


def seen_of(*tensors: Tensor) -> list[Seen]:
    """What tells later whether a tensor lives on, or its memory in another tensor."""
    return [(weakref.ref(t), StorageWeakRef(t.untyped_storage())) for t in tensors]


def lives(seen: Seen) -> bool:
    """Whether the tensor or its memory is still there."""
    tensor, memory = seen
    return tensor() is not None or not memory.expired()


def _large_cases(effort: Effort) -> Iterator[Case]:
    """Two, and in other profiles than quick four, of which the last are the largest."""
    shapes = [(300, 301), (301, 300)] + [(1024, 1025), (1, 2**20)] * (not effort.quick)
    for k, shape in enumerate(shapes):
        a, b = PAIRS[(effort.seed + 5 * k) % len(PAIRS)]
        yield Case(
            *CALLS[(effort.seed + 3 * k) % len(CALLS)],
            shape,
            Operand(a, layout=LAYOUTS[k % 2]),
            Operand(b),
            grads=((), GRADS[1])[k % 2],
        )


@prop(
    "C14-nothing-kept",
    statement="Once the result is dropped, nothing refers to the inputs of a call any more, "
    "however it ended.",
    rationale="A batch that something still refers to is memory that fills up, step by step.",
    catches="inputs, results or graphs collected in a list or a cache of the module, or kept with "
    "another input; what is taken off it at the end, and not in a finally",
    cases=cases(tier="lattice", grads=((), *GRADS)),
    grid=lambda effort: itertools.chain(
        small_grid(effort, shapes=((2, 3), (4, 5)), pairs=SAME_PAIRS, grads=((), *GRADS), share=8),
        _large_cases(effort),
    ),
    weight=0.2,
)
def nothing_kept(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(probe.fit(case))

    modes: tuple[Mode, ...] = (nullcontext, torch.no_grad, torch.inference_mode)
    looks = [("", mode) for mode in modes[: 1 if case.grads else 3]]
    looks += [(name, nullcontext) for name in NAMES if not case.shared]
    for held, mode in looks:
        kept = _kept(probe, case, held, mode)
        end = "" if kept or (held, mode) != looks[0] else _ending(probe, case)
        kept += [f"the inputs, of {end}"] if end else []
        if kept:
            got = ", ".join(kept) + (f", as long as {held} is there" if held else "")
            raise Violation(
                "something of a call is still referred to after its result was dropped",
                got=got if mode is nullcontext else f"{got}, under torch.{mode.__name__}",
                wanted="nothing",
                script=partial(_program, probe, case, end, held, mode),
            )


def _kept(probe: Probe, case: Case, held: str, mode: Mode) -> list[str]:
    """What lives on of a call whose gradients do, as an optimiser has them, and one input."""

    def call() -> tuple[dict[str, Seen], Any]:
        with mode():
            loss, inputs = probe.loss(case)
        gradients = probe.pull(case, loss, inputs) if case.grads else None
        dropped = {**inputs._asdict(), "the result": loss}
        there = gradients, dropped.pop(held, None)
        return dict(zip(dropped, seen_of(*dropped.values()), strict=True)), there

    seen, there = call()
    if any(map(lives, seen.values())):
        # A cycle of references is no leak: collecting it takes a while, and is done seldom.
        seen, there = call()
        gc.collect()
    kept = [name for name, each in seen.items() if lives(each)]
    del there
    return kept


def _refused(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    with contextlib.suppress(Exception):
        loss(x_recon, x, mask, reduction="none")


def _broken_off(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """In forward: torch keeps what is left of a graph that branches and breaks off in backward."""
    broken_calls(loss, x_recon, x, mask, backward=False, **named)


_ENDINGS = {"a refused call": _refused, "a call that was broken off": _broken_off}


def _ending(probe: Probe, case: Case) -> str:
    """How calls end after which an input of theirs lives on, or none."""
    for end, called in _ENDINGS.items():
        inputs = case.build(probe.device)
        probe.calls += 1
        called(probe.function(case.function), *inputs, **case.keyword)
        seen = seen_of(*inputs)
        del inputs
        if any(map(lives, seen)):
            gc.collect()
        if any(map(lives, seen)):
            return end
    return ""


def _program(probe: Probe, case: Case, end: str, held: str, mode: Mode) -> str:
    source = Source()
    source.imports["import gc"] = None
    made, names = tensors(case, source, probe.device), "x_recon, x, mask"
    if end:
        called = source.write(_ENDINGS[end])
        made += [f"{called}({case.function}, x_recon, x, mask{text.given(case)})"]
    else:
        made += [f"loss = {case.function}(x_recon, x, mask{text.given(case)})"]
        names += ", loss"
        if case.grads:
            upstream = f"torch.full_like(loss, {source.write(case.upstream)})"
            made += [
                f"gradients = torch.autograd.grad(loss, [{', '.join(case.grads)}], {upstream})"
            ]
    there = ", ".join((["gradients"] if case.grads and not end else []) + ([held] if held else []))
    names = ", ".join(name for name in names.split(", ") if name != held)
    made += [f"return seen_of({names}), [{there}]"]
    if mode is not nullcontext:
        made = [f"with torch.{mode.__name__}():", *(f"    {line}" for line in made)]
    lines = ["def call():", *(f"    {line}" for line in made), ""]
    lines += ["seen, there = call()", "gc.collect()"]
    lines += [f"kept = [name for name, each in zip({names.split(', ')}, seen) if lives(each)]"]
    lines += ['assert not kept, f"still referred to after the result was dropped: {kept}"']
    return shown(None, probe.subject.imports, lines, uses=(seen_of, lives), source=source)


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
situation(
    "C14-unnamed-inputs",
    "With inputs that nothing but the call refers to, it keeps its whole contract.",
    rationale="`loss(decoder(z), x, mask)`: what made an input may still need its memory.",
    catches="memory taken for free where reference counts say that nobody looks at it",
    wrap=handed.unnamed,
    array="small",
    watched=False,  # what looks at globals around a call refers to the inputs
    large=False,
    refuses=False,
)
