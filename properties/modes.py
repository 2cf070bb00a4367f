"""C16 under the modes of the process: autocast, grad modes, defaults, threads, hooks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .cases import Case, Constant, Inputs, Operand
from .effort import Effort
from .probe import Probe, same_bits
from .registry import prop
from .strategies import CALLS, GRADS, cases, sized_grid, small_grid
from .value import SAME_PAIRS
from .violation import Violation

Context = Callable[[], AbstractContextManager[Any]]


def _under(
    probe: Probe, case: Case, context: Context, backward: Sequence[str] = ("inside", "outside")
) -> None:
    """The call inside a context gives what it gives outside; so does backward, where it may run.

    What differs in its bits may still be right: a context may choose another order of summation.
    Whether the call outside is right is for other properties to say.
    """
    case = probe.without_gradients(case)
    outside, inputs = probe.loss(case)
    found = probe.pull(case, outside, inputs) if case.grads else {}
    for where in backward if case.grads else ("inside",):
        again = probe.build(case)
        with context():
            inside = probe.call(case, again)
            gradients = probe.pull(case, inside, again) if case.grads and where == "inside" else {}
        _same_value(probe, inside, outside, case, again)
        if case.grads and where == "outside":
            gradients = probe.pull(case, inside, again)
        changed = {n: g for n, g in gradients.items() if not same_bits(g, found[n])}
        probe.right_gradients(changed, case, again)


def _same_value(probe: Probe, inside: Tensor, outside: Tensor, case: Case, inputs: Inputs) -> None:
    """Raise unless the value inside has the dtype of that outside, and its bits or a right one."""
    if inside.dtype != outside.dtype:
        raise Violation(
            "the result has another dtype there",
            got=str(inside.dtype),
            wanted=str(outside.dtype),
        )
    if not same_bits(inside, outside):
        probe.right_value(inside, case, inputs)


def _autocast(dtype: torch.dtype, device: str) -> Context:
    return lambda: torch.autocast(device.split(":")[0], dtype=dtype)


def _mode_grid(effort: Effort, pairs: Sequence[tuple[str, str]], share: int = 2) -> Iterator[Case]:
    """Small grids with and without gradients, and differences that half precision would round."""
    yield from small_grid(
        effort,
        share=share,
        shapes=((1, 1), (2, 3), (33, 40)),
        patterns=("full", "bernoulli", "empty"),
        pairs=pairs,
        grads=((), ("x_recon", "x")),
    )
    for dtype, (function, reduction), grads in itertools.product(
        ("float16", "bfloat16"), CALLS, ((), ("x_recon",))
    ):
        operands = Operand(dtype, Constant(2048.0)), Operand(dtype, Constant(0.5))
        yield Case(function, reduction, (2, 3), *operands, grads=grads)


@prop(
    "C16-autocast",
    statement="Under autocast, value, dtype and gradient are the same.",
    rationale="AMP wraps the whole step: a loss that turns half there overflows.",
    catches="operators that autocast moves to half (matrix products), or to float32",
    cases=cases(grads=((), *GRADS), empty=False),
    grid=lambda effort: _mode_grid(effort, (*SAME_PAIRS, ("float16", "float32"))),
    weight=0.5,
)
def autocast(probe: Probe, case: Case) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        # torch advises against a backward under autocast, and C16 leaves it out.
        _under(probe, case, _autocast(dtype, probe.device), backward=("outside",))


@prop(
    "C16-grad-modes",
    statement="Under no_grad and inference_mode the value is the same, and nothing requires grad.",
    rationale="Validation runs the same loss.",
    catches="in-place tricks that inference mode forbids; grad mode switched on inside",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: _mode_grid(effort, SAME_PAIRS),
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
                _same_value(probe, inside, outside, case, inputs)


@contextmanager
def set_to(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """Another value of one of torch's settings, for a while."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


@prop(
    "C16-default-dtype",
    statement="Another default dtype changes nothing.",
    rationale="Scientific code sets float64, some training code sets bfloat16.",
    catches="constants, counts and zeros made in the default dtype",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: _mode_grid(effort, SAME_PAIRS),
    weight=0.5,
)
def default_dtype(probe: Probe, case: Case) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        _under(
            probe, case, partial(set_to, torch.get_default_dtype, torch.set_default_dtype, dtype)
        )


@prop(
    "C16-default-device",
    statement="Another default device changes nothing.",
    rationale="Scripts set the default device once; the loss works where its inputs are.",
    catches="zeros, counts and scratch made without `device=`",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: _mode_grid(effort, SAME_PAIRS, share=4),
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
    _same_value(probe, inside, loss, case, again)
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
        _under(probe, case, context)


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
    grid=lambda effort: _mode_grid(effort, SAME_PAIRS, share=12),
)
def torch_modes(probe: Probe, case: Case) -> None:
    for context in _MODES:
        _under(probe, case, context)
