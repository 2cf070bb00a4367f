"""C16: no randomness, no trace in the process, right under every mode of it."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import GRADS, SAME_PAIRS, sized_grid, small_grid
from ..inputs.strategies import cases
from ..inputs.values import Reals
from ..judge import acts, ambient, answers, ways
from ..judge.answers import value_only
from ..judge.apart import right_apart
from ..judge.bits import same_bits
from ..judge.broken import broken_calls
from ..judge.contract import HIDING_PARTS, PARTS
from ..judge.history import right_whatever_happened
from ..judge.listening import listening
from ..judge.probe import Probe
from ..judge.quiet import five_times, hearing, watching
from ..judge.threads import right_in_threads
from ..judge.violation import Violation
from .c13_derivatives import FORWARD_MODE, SECOND_ORDER
from .registry import FORWARD, GRADIENTS, SECOND, STRICT, prop, without_target
from .situations import situation


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


situation(
    "C16-two-traits",
    "A plain call changes no global and is not heard, whichever two traits meet.",
    catches="warnings of half precision, of layouts, or of gradients that are not finite",
    array="full",
    large=False,
    parts=frozenset(["C16"]),
    draws=0,
)
situation(
    "C16-any-size",
    "A plain call changes no global and is not heard; large sizes, any two traits.",
    catches="warnings of large inputs; threads or a precision that are set for those alone",
    array="large",
    large=False,
    parts=frozenset(["C16"]),
    draws=0,
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


def under_a_debugger(*_: object) -> str | None:
    """Why no call can be stopped at a line: one tool at a time can trace lines."""
    return "a debugger traces this process" if "pydevd" in sys.modules else None


NO_GRAD = situation(
    "C16-no-grad",
    "Under torch.no_grad, a call keeps its whole contract.",
    catches="a fast path where nothing is recorded",
    around=torch.no_grad,
    derive=value_only,
    threaded=True,
)
situation(
    "C16-inference-mode",
    "Under inference_mode, on inputs made outside, a call keeps its whole contract.",
    catches="in-place tricks that inference mode forbids",
    around=torch.inference_mode,
    derive=value_only,
    threaded=True,
)
AUTOCAST = situation(
    "C16-autocast",
    "Under autocast to bfloat16, its backward outside, a call keeps its whole contract.",
    catches="operators that autocast moves to half",
    wrap=ways.autocast(torch.bfloat16),
)
AUTOCAST_FLOAT16 = situation(
    "C16-autocast-float16",
    "Under autocast to float16, its backward outside, a call keeps its whole contract.",
    catches="operators that autocast moves to half",
    wrap=ways.autocast(torch.float16),
)
DEFAULT_DTYPE = situation(
    "C16-default-dtype",
    "With float64 as default dtype, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    around=ways.default_dtype(torch.float64),
)
DEFAULT_FLOAT16 = situation(
    "C16-default-float16",
    "With float16 as default dtype, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    around=ways.default_dtype(torch.float16),
)
situation(
    "C16-default-bfloat16",
    "With bfloat16 as default dtype during the call, a call keeps its whole contract.",
    catches="constants, counts and zeros made in the default dtype",
    wrap=ways.under(ways.default_dtype(torch.bfloat16)),
)
situation(
    "C16-default-device",
    "With another default device during the call, a call keeps its whole contract.",
    catches="zeros, counts and scratch made without `device=`",
    wrap=ways.under(partial(torch.device, "meta")),
)
DETERMINISTIC = situation(
    "C16-deterministic",
    "In deterministic mode, a call keeps its whole contract.",
    catches="memory that was never filled (deterministic mode fills it with NaN); a second path",
    around=ways.deterministic,
)
MODES = (AUTOCAST, AUTOCAST_FLOAT16, DEFAULT_DTYPE, DEFAULT_FLOAT16, DETERMINISTIC)
IN_A_MODE = (
    ways.autocast(torch.bfloat16),
    ways.autocast(torch.float16),
    ways.under(ways.default_dtype(torch.float64)),
    ways.under(ways.default_dtype(torch.float16)),
    ways.under(ways.deterministic),
)
WITHOUT_GRADIENTS = ways.under(torch.no_grad)
situation(
    "C16-second-order-in-modes",
    "Through backward twice, of a call in one of its modes, a call keeps its whole contract.",
    catches="a function of its own for mixed precision, which is once differentiable",
    needs=SECOND,
    wrap=ways.in_turn(*IN_A_MODE),
    derive=SECOND_ORDER.derive,
    made_of=(*MODES, SECOND_ORDER),
)
situation(
    "C16-forward-mode-in-modes",
    "On dual numbers, in no_grad or another of its modes, a call keeps its whole contract.",
    catches="tangents dropped where nothing is recorded, but in torch.func; a function without a "
    "jvp for mixed precision",
    needs=FORWARD,
    wrap=ways.in_turn(WITHOUT_GRADIENTS, *IN_A_MODE),
    derive=FORWARD_MODE.derive,
    only=FORWARD_MODE.only,
    because=FORWARD_MODE.because,
    made_of=(NO_GRAD, *MODES, FORWARD_MODE),
)
situation(
    "C16-anomaly-mode",
    "In anomaly mode, a call keeps its whole contract.",
    catches="a second path",
    derive=answers.in_anomaly_mode,
)
situation(
    "C16-anomaly-empty",
    "In anomaly mode, with nothing masked, a call keeps its whole contract.",
    catches="0/0 or infinity × 0 on the way to a gradient that is right",
    derive=answers.in_anomaly_mode,
    array="empty",
    large=False,
    needs=GRADIENTS,
    empty=True,
)
situation(
    "C16-low-precision",
    "With a lower precision of matrix products, a call keeps its whole contract.",
    catches="sums made as matrix products",
    around=ways.low_precision,
)
situation(
    "C16-saved-hooks",
    "With hooks on saved tensors, which call the loss too, a call keeps its whole contract.",
    catches="saved tensors told by their address; strides remembered from forward; locks",
    wrap=ways.saved_elsewhere,
)
situation(
    "C16-checkpoint",
    "Inside torch.utils.checkpoint, a call keeps its whole contract.",
    catches="saved tensors that are unpacked twice; what is not the same when it is made again",
    wrap=ways.checkpointed,
)
situation(
    "C16-one-thread",
    "With one thread for torch, a call keeps its whole contract.",
    catches="work split by the number of threads",
    around=ways.threads(1),
)
situation(
    "C16-seven-threads",
    "With seven threads for torch, a call keeps its whole contract.",
    catches="work split by the number of threads",
    around=ways.threads(7),
)
situation(
    "C16-after-thirty-calls",
    "After thirty calls on other numbers, a call keeps its whole contract.",
    catches="what is right at first only",
    wrap=ways.after(ways.thirty_calls),
    array="small",
)
situation(
    "C16-after-refusals",
    "After calls that were refused, a call keeps its whole contract.",
    catches="what a refused call leaves behind",
    needs=STRICT,
    wrap=ways.after(ways.refused_calls),
    array="small",
)
situation(
    "C16-after-broken-calls",
    "After calls that were broken off midway, a call keeps its whole contract.",
    catches="settings put back at the end, and not in a finally; what is kept before it is right",
    wrap=ways.after(broken_calls),
    array="small",
    watched=False,
)
situation(
    "C16-broken-in-modes",
    "Under no_grad and autocast, after calls broken off in there, a call keeps its whole contract.",
    catches="modes put back at the end, and not in a finally, which the end of a block hides",
    wrap=ways.after(broken_calls),
    around=ways.no_grad_and_autocast,
    derive=answers.value_only,
    array="small",
    watched=False,
)
situation(
    "C16-after-inference",
    "After one under inference_mode, at sizes never used before, a call keeps its whole contract.",
    catches="what is kept by size, and was made as an inference tensor",
    wrap=ways.after(ways.inference_call),
    array="own sizes",
    large=False,
)
situation(
    "C16-other-contents",
    "After the same tensors had other contents, a call keeps its whole contract.",
    catches="results kept by the identity or the address of a tensor",
    wrap=ways.after(ways.other_contents),
    array="small",
)
situation(
    "C16-other-thread",
    "Made in another thread, its backward here, a call keeps its whole contract.",
    catches="state of one thread",
    derive=answers.in_another_thread,
)
situation(
    "C16-backward-elsewhere",
    "With its backward in another thread, a call keeps its whole contract.",
    catches="state of one thread",
    derive=answers.backward_elsewhere,
)
situation(
    "C16-midway",
    "While a call in another thread stands midway, a call keeps its whole contract.",
    rationale="Threads change hands between any two lines, and seldom there where it shows.",
    catches="what is set and put back, or filled, while others look at it",
    derive=answers.beside_another,
    unavailable=under_a_debugger,
    array="few",
    parts=PARTS - HIDING_PARTS,
    watched=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
situation(
    "C16-midway-in-modes",
    "Under no_grad and autocast, while one without stands midway, a call keeps its whole contract.",
    catches="one autocast or no_grad object for all calls, which keeps what it has to put back",
    around=ways.no_grad_and_autocast,
    derive=answers.beside_another,
    unavailable=under_a_debugger,
    only=lambda case: not case.grads,
    because="nothing is recorded there",
    array="few",
    parts=PARTS - HIDING_PARTS,
    watched=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
