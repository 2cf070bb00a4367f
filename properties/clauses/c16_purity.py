"""C16: no randomness, no trace in the process, right under every mode of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import GRADS, SAME_PAIRS, mode_grid, sized_grid, small_grid
from ..inputs.strategies import cases
from ..judge import ambient
from ..judge.bits import same_bits
from ..judge.history import right_whatever_happened
from ..judge.modes import Context, same_value, set_to, under
from ..judge.probe import Probe
from ..judge.threads import right_in_threads
from ..judge.violation import Violation
from .registry import prop


@prop(
    "C16-repeatable",
    statement="The same call gives the same bits, value and gradient, whenever it is made.",
    rationale="Runs must be comparable; a difference must have a cause.",
    catches="random order or subsampling; the first call differing from later ones; counters",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(grads=((), ("x_recon", "x"))[case.salt % 2])
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
                raise Violation(f"call {time + 1} differs from call 1", got=b, wanted=a)


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
        changed = ambient.differences(before, ambient.snapshot())
    if changed:
        words = "; ".join(changed)
        raise Violation(
            f"global state changed, where it was not the default: {words}",
            got=words,
            wanted="as before",
        )
    before = ambient.snapshot()
    loss = probe.call(case, inputs)
    changed = ambient.differences(before, ambient.snapshot())
    if not changed and case.grads:
        probe.pull(case, loss, inputs)
        changed = [f"{c} (in backward)" for c in ambient.differences(before, ambient.snapshot())]
    if changed:
        words = "; ".join(changed)
        raise Violation(f"global state changed: {words}", got=words, wanted="as before")


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
    with ambient.listening() as heard:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
    for where, text in heard.items():
        if text:
            raise Violation(
                f"something came out on {where}", got=repr(text[:200]), wanted="nothing"
            )


@prop(
    "C16-threads",
    statement="Calls from many threads at once give what each gives alone.",
    rationale="DataParallel, data loaders and servers call from threads.",
    catches="module-level scratch and caches without a lock",
    scaled=True,
)
def threads(probe: Probe, effort: Effort) -> None:
    right_in_threads(probe, effort)


@prop(
    "C16-other-thread",
    statement="Backward may run in another thread than the call.",
    rationale="Autograd runs the backward of a GPU in a thread of its own.",
    catches="what backward needs kept for the calling thread only",
    needs=("gradients",),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (33, 40)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        grads=GRADS,
        share=12,
    ),
)
def other_thread(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    with ThreadPoolExecutor(1) as other:
        found = other.submit(probe.pull, case, loss, inputs).result()
    probe.right_gradients(found, case, inputs)


def _autocast(dtype: torch.dtype, device: str) -> Context:
    return lambda: torch.autocast(device.split(":")[0], dtype=dtype)


@prop(
    "C16-autocast",
    statement="Under autocast, value, dtype and gradient are the same.",
    rationale="AMP wraps the whole step: a loss that turns half there overflows.",
    catches="operators that autocast moves to half (matrix products), or to float32",
    cases=cases(grads=((), *GRADS), empty=False),
    grid=lambda effort: mode_grid(effort, (*SAME_PAIRS, ("float16", "float32"))),
    weight=0.5,
)
def autocast(probe: Probe, case: Case) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        # torch advises against a backward under autocast, and C16 leaves it out.
        under(probe, case, _autocast(dtype, probe.device), backward=("outside",))


@prop(
    "C16-grad-modes",
    statement="Under no_grad and inference_mode the value is the same, and nothing requires grad.",
    rationale="Validation runs the same loss.",
    catches="in-place tricks that inference mode forbids; grad mode switched on inside",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: mode_grid(effort, SAME_PAIRS),
    weight=0.5,
)
def grad_modes(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    outside, _ = probe.loss(case)
    for context in (torch.no_grad, torch.inference_mode):
        for build_inside in (False, True):
            inputs = None if build_inside else probe.build(case)
            with context():
                inputs = inputs or probe.build(case)
                inside = probe.call(case, inputs)
                if inside.requires_grad:
                    raise Violation(
                        f"the loss requires grad under {context.__name__}",
                        got="requires_grad=True",
                        wanted="requires_grad=False",
                    )
                same_value(probe, inside, outside, case, inputs)


@prop(
    "C16-default-dtype",
    statement="Another default dtype changes nothing.",
    rationale="Scientific code sets float64, some training code sets bfloat16.",
    catches="constants, counts and zeros made in the default dtype",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: mode_grid(effort, SAME_PAIRS),
    weight=0.5,
)
def default_dtype(probe: Probe, case: Case) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        under(probe, case, partial(set_to, torch.get_default_dtype, torch.set_default_dtype, dtype))


@prop(
    "C16-default-device",
    statement="Another default device changes nothing.",
    rationale="Scripts set the default device once; the loss works where its inputs are.",
    catches="zeros, counts and scratch made without `device=`",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: mode_grid(effort, SAME_PAIRS, share=4),
    weight=0.5,
)
def default_device(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)
    again = probe.build(case)
    with torch.device("meta"):  # what is made there has no values, so that any use of it shows
        inside = probe.call(case, again)
        found = (
            torch.autograd.grad(inside, [getattr(again, n) for n in case.grads])
            if (case.grads and inside.requires_grad)
            else ()
        )
    same_value(probe, inside, loss, case, again)
    case = case.but(upstream=1.0)
    probe.right_gradients(dict(zip(case.grads, found, strict=False)), case, again)


@prop(
    "C16-thread-count",
    statement="Value and gradient are right however many threads torch may use.",
    rationale="A batch node, a laptop and a data-loader worker have different numbers.",
    catches="work split by the number of threads, its remainder dropped or counted twice",
    grid=lambda effort: (
        case.but(grads=((), ("x_recon", "x"))[case.salt % 2])
        for case in sized_grid(effort, patterns=("full",), largest=2**14)
    ),
)
def thread_count(probe: Probe, case: Case) -> None:
    for count in (1, 2, 3, 7):
        context = partial(set_to, torch.get_num_threads, torch.set_num_threads, count)
        under(probe, case, context)


def _elsewhere(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


_MODES: tuple[Context, ...] = (
    partial(
        set_to, torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    partial(
        set_to, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    partial(torch.autograd.set_detect_anomaly, True, check_nan=False),
    partial(torch.autograd.graph.saved_tensors_hooks, _elsewhere, _elsewhere),
)


@prop(
    "C16-torch-modes",
    statement="Value and gradient are right in deterministic mode, in anomaly mode, with a low "
    "matmul precision, and with hooks on saved tensors.",
    rationale="They are switched on for debugging, for speed or to save memory, far from the loss.",
    catches="memory that was never filled (deterministic mode fills it with NaN); a second path; "
    "saved tensors told by their address",
    grid=lambda effort: mode_grid(effort, SAME_PAIRS, share=12),
)
def torch_modes(probe: Probe, case: Case) -> None:
    for context in _MODES:
        under(probe, case, context)
