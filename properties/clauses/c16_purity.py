"""C16: no randomness, no trace in the process; its situations are in c16_situations.py."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import GRADS, SAME_PAIRS, sized_grid, small_grid
from ..inputs.strategies import cases
from ..inputs.values import Reals
from ..judge import acts, ambient
from ..judge.apart import right_apart
from ..judge.bits import same_bits
from ..judge.history import right_whatever_happened
from ..judge.listening import listening
from ..judge.probe import Probe
from ..judge.quiet import five_times, hearing, watching
from ..judge.threads import right_in_threads
from ..judge.violation import Violation
from .registry import prop, without_target


def _at_a_size_of_its_own(case: Case) -> Case:
    """Where the first call is the first, on numbers whose sum shows in which order they came."""
    values = {"x_recon__values": Reals(case.salt), "x__values": Reals(case.salt + 7)}
    return case.but(shape=(case.shape[0], case.shape[1] + 3), **values)


@prop(
    "C16-repeatable",
    statement="The same call gives the same bits, value and gradient, whenever it is made.",
    rationale="Runs must be comparable; a difference must have a cause.",
    catches="random order or subsampling; the first call differing from later ones; counters",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: (
        _at_a_size_of_its_own(case).but(grads=((), ("x_recon", "x"))[case.salt % 2])
        for case in sized_grid(effort, patterns=("full", "bernoulli"), largest=2**18)
    ),
    weight=0.5,
)
def repeatable(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    kept: list[Tensor] | None = None
    for time in range(5):
        loss, inputs = probe.loss(case)
        found = [loss.detach()] + ([*probe.pull(case, loss, inputs).values()] if case.grads else [])
        if time == 2:
            torch.rand(3)  # a random state that has moved on must not matter
        if kept is None:
            kept = found
            continue
        for a, b in zip(kept, found, strict=True):
            if not same_bits(a, b):
                raise Violation(
                    f"call {time + 1} differs from call 1",
                    got=b,
                    wanted=a,
                    script=partial(five_times, probe, case),
                )


@prop(
    "C16-history",
    statement="A result depends on this call's arguments alone, and stays as it is afterwards.",
    rationale="Tensors are reused and changed in place; losses are collected and added up later.",
    catches="caches keyed by identity, address or shape; one output buffer for all calls",
    cases=cases(tier="lattice", grads=((), *GRADS), empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (2, 3), (33, 32)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        share=2,
    ),
)
def history(probe: Probe, case: Case) -> None:
    right_whatever_happened(probe, case)


@prop(
    "C16-globals",
    cost=9,
    statement="No global state changes: random state, default dtype, grad mode, threads, warnings.",
    rationale="A loss that draws a random number or sets a default changes everybody's run.",
    catches="manual_seed; set_default_dtype; set_grad_enabled; set_num_threads; filterwarnings",
    cases=cases(grads=((), *GRADS)),
    weight=0.5,
)
def globals_untouched(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    with ambient.unusual():
        before = ambient.snapshot()
        probe.call(case, inputs)
        after = ambient.snapshot()
    _as_before(before, after, ", where it was not the default", probe, case, unusual=True)
    before = ambient.snapshot()
    loss = probe.call(case, inputs)
    _as_before(before, ambient.snapshot(), "", probe, case)
    if case.grads:
        probe.pull(case, loss, inputs)
        _as_before(before, ambient.snapshot(), " in backward", probe, case)
        loss = probe.call(case, inputs)
        acts.backward_of_changed(loss, inputs, case.grads)
        _as_before(
            before, ambient.snapshot(), " in a backward that raises", probe, case, refused=True
        )


def _as_before(
    before: dict[str, Any], after: dict[str, Any], when: str, probe: Probe, case: Case, **how: bool
) -> None:
    changed = "; ".join(ambient.differences(before, after))
    if changed:
        raise Violation(
            f"global state changed{when}: {changed}",
            got=changed,
            wanted="as before",
            script=partial(watching, probe, case, ambient.moved(before, after), **how),
        )


@prop(
    "C16-silent",
    statement="Nothing is printed or warned, in forward or backward.",
    rationale="A line per step fills a log; warnings are errors in careful projects.",
    catches="debug prints; deprecation warnings; broadcast warnings of F.mse_loss",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(grads=((), *GRADS)[case.salt % 4])
        for case in small_grid(effort, shapes=((0, 3), (1, 1), (2, 3)), pairs=SAME_PAIRS, share=2)
    ),
    weight=0.2,
)
def silent(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    with listening() as heard:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
    for where, words in heard.items():
        if words:
            raise Violation(
                f"something came out on {where}",
                got=repr(words[:200]),
                wanted="nothing",
                script=partial(hearing, probe, case),
            )


@prop(
    "C16-threads",
    statement="Calls from many threads at once give what each gives alone, and change no global.",
    rationale="DataParallel, data loaders and servers call from threads.",
    catches="module-level scratch and caches without a lock; what overlapping calls set and put "
    "back in the wrong order",
    scaled=True,
)
def threads(probe: Probe, effort: Effort) -> None:
    right_in_threads(probe, effort)


@prop(
    "C16-own-process",
    cost=11,
    fixed=True,
    scaled=True,
    statement="In a process of its own, from its first call on and under `python -O`, a call keeps "
    "its whole contract.",
    rationale="It is used where no test runner is, and somewhere a call is always the first.",
    catches="a loss that knows when it is tested; what is right only once something was set up; "
    "threads and open files that pile up",
    unavailable=without_target,
)
def own_process(probe: Probe, effort: Effort) -> None:
    right_apart(probe, effort)
