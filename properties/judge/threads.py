"""Do calls from many threads at once give what each gives alone, and leave every global so?"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import torch
from torch import Tensor

from ..inputs import text
from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, PAIRS, SAME_PAIRS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.source import Source
from ..inputs.values import Lattice
from . import ambient
from .bits import same_bits
from .midway import interleaved
from .probe import Probe
from .program import shown
from .violation import Violation


def right_in_threads(probe: Probe, effort: Effort) -> None:
    """Raise unless many threads, each with its own call, get what each call gives alone.

    Nor may what calls set and put back, each for itself, be left where they overlap.
    """
    with ambient.restored():
        torch.set_num_threads(max(2, torch.get_num_threads()))  # that one is left can then be seen
        _right_at_once(probe, effort)


def _right_at_once(probe: Probe, effort: Effort) -> None:
    number = effort.seed % 71
    work = []
    for k, shape in enumerate([(64, 65)] * len(CALLS) + [(3, 4), *[(257, 257)] * 5]):
        dtypes = PAIRS[(number + 5 * (k // 2)) % len(PAIRS)]  # two threads with a kind of call
        case = Case(
            *CALLS[(number + k) % len(CALLS)],
            shape,
            Operand(dtypes[0], Lattice(number + k)),
            Operand(dtypes[1], Lattice(number + k + 50)),
            Mask("bernoulli", k),
            grads=("x_recon", "x") if k // 2 % 2 else (),
        )
        case = probe.without_gradients(probe.fit(case))
        loss, inputs = probe.loss(case)
        probe.right_value(loss, case, inputs)
        alone = [*probe.pull(case, loss, inputs).values()] if case.grads else []
        work.append((case, loss.detach().clone(), [g.clone() for g in alone]))
    calls = [case for case, *_ in work]
    before = ambient.snapshot()
    overlapping = _overlapping(probe, calls)
    for case in overlapping:
        _one_in_the_other(probe, case, 4 if effort.quick else 80)
    _as_before(probe, before, overlapping)
    wrong = _at_once(probe, work, 10 if effort.quick else 40)
    for error in sorted(wrong, key=lambda e: not isinstance(e, Violation)):
        if isinstance(error, Violation):  # here, for Python 3.11 cannot parse in many threads
            error.script = _program(probe, calls)
        raise error
    _as_before(probe, before, calls)


def _as_before(probe: Probe, before: dict[str, Any], calls: list[Case]) -> None:
    after = ambient.snapshot()
    if changed := ambient.differences(before, after):
        what = "calls from many threads leave global state changed"
        raise Violation(
            f"{what}: {'; '.join(changed)}",
            got="; ".join(changed),
            wanted="as before",
            script=_program(probe, calls, ambient.moved(before, after)),
        )


def _overlapping(probe: Probe, calls: list[Case]) -> list[Case]:
    """A call of each dtype, and a large one."""
    small = [
        case.but(x_recon__dtype=a, x__dtype=b)
        for case, (a, b) in zip(calls[:4], SAME_PAIRS, strict=True)
    ]
    large = calls[-1].but(shape=(521, 521), grads=("x_recon", "x"))
    return [probe.without_gradients(probe.fit(case)) for case in (*small, large)]


def _one_in_the_other(probe: Probe, case: Case, most: int) -> None:
    """Two calls that overlap; what they give or raise is the business of C16-midway."""
    inputs = case.build(probe.device)

    def call() -> None:
        loss = probe.function(case.function)(*inputs, **case.keyword)
        if case.grads:
            torch.autograd.grad(loss, [getattr(inputs, name) for name in case.grads])

    with contextlib.suppress(Exception):
        interleaved(call, most)


def _at_once(
    probe: Probe, work: list[tuple[Case, Tensor, list[Tensor]]], times: int
) -> list[BaseException]:
    """What goes wrong where each call is made in a thread of its own, over and over."""
    wrong: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def repeat(case: Case, value: Tensor, gradients: list[Tensor]) -> None:
        try:
            inputs = case.build(probe.device)
            barrier.wait(timeout=60)
            for _ in range(times):
                loss = probe.function(case.function)(*inputs, **case.keyword)
                if not same_bits(loss, value):
                    raise Violation(
                        "a call disturbed by other threads has another value",
                        got=loss,
                        wanted=value,
                    )
                if case.grads:
                    wrt = [getattr(inputs, name) for name in case.grads]
                    for a, b in zip(torch.autograd.grad(loss, wrt), gradients, strict=True):
                        if not same_bits(a, b):
                            raise Violation(
                                "a gradient disturbed by other threads is another one",
                                got=a,
                                wanted=b,
                            )
        except BaseException as error:
            if isinstance(error, Violation):
                error.case = case
            elif probe.blames(probe, error):
                what = f"{type(error).__name__} came out in another thread: {error}"
                error = Violation(what, wanted="no exception", case=case)
            wrong.append(error)
            barrier.abort()

    runners = [threading.Thread(target=repeat, args=item, daemon=True) for item in work]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return wrong


def at_once(calls: Any, times: int) -> list[str]:
    """What goes wrong where each call is made in a thread of its own, over and over, all at once.

    A call is a function that gives a list of tensors; alone it gives what it must give there too.
    """
    alone = [[tensor.detach().clone() for tensor in call()] for call in calls]
    barrier, wrong = threading.Barrier(len(calls)), []

    def repeat(call: Any, wanted: Any) -> None:
        try:
            barrier.wait(timeout=60)
            for _ in range(times):
                same = [same_bits(a, b) for a, b in zip(call(), wanted, strict=True)]
                if not all(same):
                    wrong.append("another result than alone")
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")

    runners = [
        threading.Thread(target=repeat, args=item) for item in zip(calls, alone, strict=True)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return wrong


def _program(probe: Probe, cases: list[Case], left: tuple[str, Any] | None = None) -> str:
    """The same calls in as many threads; a race may need more than one try.

    Of a part of the state that they have left changed it says so, and else what a call then gives.
    """
    source = Source()
    source.define(at_once)
    if left is not None:
        source.define(interleaved)
    lines = ["torch.set_num_threads(max(2, torch.get_num_threads()))", "calls = []"]
    for number, case in enumerate(cases):
        loss = f"loss = {case.function}(x_recon, x, mask{text.given(case)})"
        pulled = f", *torch.autograd.grad(loss, [{', '.join(case.grads)}])" if case.grads else ""
        made = text.tensors(case, source, probe.device)
        made += ["def call():", f"    {loss}", f"    return [loss{pulled}]", "return call"]
        lines += ["", f"def made_{number}():", *(f"    {line}" for line in made), ""]
        lines += [f"calls.append(made_{number}())"]
    lines += [""]
    asserted = ['assert not wrong, f"calls from many threads disturb one another: {wrong[0]}"']
    if left is not None:
        source.imports["import contextlib"] = None
        name, entry = left
        read, where = ambient.reading(name, source, entry), ambient.place(name, entry)
        asserted = [f"got = {read}", f'assert got == before, f"{where}: {{before}} → {{got}}"']
        lines += [f"before = {read}", "for call in calls:"]
        lines += ["    with contextlib.suppress(Exception):", "        interleaved(call, 80)"]
        lines += asserted
    lines += ["for _ in range(5):", "    wrong = at_once(calls, 40)"]
    lines += [f"    {line}" for line in asserted]
    return shown(None, probe.subject.imports, lines, source=source)
