"""C4: the value."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import torch

from ..inputs.cases import DTYPES, REDUCTIONS, Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, SAME_PAIRS, large_grid, sized_grid, small_grid, thinned
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases, special
from ..inputs.values import INF, NAN, Constant, Spike
from ..judge import ways
from ..judge.probe import Probe
from ..judge.program import shown
from ..judge.violation import Violation
from ..subject import Subject
from .registry import prop
from .situations import TWO_TRAITS, situation


@prop(
    "C4-sizes",
    cost=3,
    statement="The value is right at sizes around powers of two, for masks that single out few.",
    rationale="Vectors, blocks and threads begin and end there; one element left out must show.",
    catches="kernel tails dropped or counted twice; code paths that only large inputs take",
    grid=lambda effort: itertools.chain(sized_grid(effort, repeat=2), large_grid(effort)),
)
def sizes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C4-every-position",
    statement="A difference at one masked position alone is counted, wherever it stands.",
    rationale="With zeros everywhere else nothing can hide one position that is skipped.",
    catches="a skipped first, last or tail element; an off-by-one between mask and values",
    grid=lambda effort: _single_differences(effort),
)
def every_position(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _single_differences(effort: Effort) -> Iterator[Case]:
    def unthinned() -> Iterator[Case]:
        number = effort.seed % 97
        for shape in (
            (1, 1),
            (1, 9),
            (9, 1),
            (3, 5),
            (1, 37),
            (8, 16),
            (3, 67),
            (2, 1030),
            (70, 33),
        ):
            count = shape[0] * shape[1]
            inner = range(count) if count <= 150 else range(0, count, 37)
            for at in sorted({*inner, count - 1, count - 2, count // 2} & set(range(count))):
                number += 1
                function, reduction = CALLS[number % len(CALLS)]
                pattern = "full" if number % 3 else "bernoulli"
                operands = [
                    Operand(DTYPES[number % 4], Spike(0.5, 3.0, at)),
                    Operand(DTYPES[number % 4], Constant(0.5)),
                ]
                if number % 2:
                    operands.reverse()
                x_recon, x = operands
                yield Case(function, reduction, shape, x_recon, x, Mask(pattern, number))

    return thinned(unthinned(), effort)


@prop(
    "C4-functions-agree",
    statement="For equal reductions masked_sse and masked_mse are the same.",
    rationale="The two functions differ in their default and in nothing else.",
    catches="two copies of the arithmetic that have drifted apart",
    cases=cases(),
    grid=lambda effort: small_grid(
        effort, share=2, calls=tuple(("masked_sse", r) for r in REDUCTIONS), pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def functions_agree(probe: Probe, case: Case) -> None:
    case = case.but(reduction=case.effective_reduction)
    results = {}
    for function in probe.subject.functions:
        called = case.but(function=function)
        loss, inputs = probe.loss(called)
        probe.right_value(loss, called, inputs)
        results[function] = loss
    if len(results) < 2:
        return  # there is nothing to compare it with
    a, b = results.values()
    if a.dtype != b.dtype or a.requires_grad != b.requires_grad:
        script = partial(_both, probe, case)
        raise Violation(
            "masked_mse differs from masked_sse in kind", got=b, wanted=a, script=script
        )


def _both(probe: Probe, case: Case) -> str:
    given = f'(x_recon, x, mask, reduction="{case.reduction}")'
    lines = [f"a, b = masked_sse{given}, masked_mse{given}"]
    lines += ["got, wanted = (b.dtype, b.requires_grad), (a.dtype, a.requires_grad)"]
    lines += ['assert got == wanted, f"masked_mse gives {got}, masked_sse {wanted}"']
    return shown(case, probe.subject.imports, lines, device=probe.device)


_GRID_VALUES = {
    dtype: [0.0, -0.0, 1.0, -1.0, 0.25, 2.0**-12, *special(dtype)[2:9], NAN, INF, -INF]
    for dtype in DTYPES
}


@prop(
    "C4-exhaustive",
    cost=3,
    statement="Every mask of every shape with B·L ≤ 9 gives the exact value, on hard values.",
    rationale="Small worlds can be searched whole: no mask of these shapes is left out.",
    catches="whatever depends on a particular small mask, row or shape",
    scaled=True,
)
def exhaustive(probe: Probe, effort: Effort) -> None:
    """Call every (shape, mask) with finite lattice values and with hard ones.

    The hard values (±0, ±1, powers of two, subnormal, largest, NaN, Inf) wander over the positions
    from call to call; function and reduction rotate, so that each meets every mask size, two of
    them in the deep profile. Each call is a call of the subject: nothing is batched.
    """
    number = effort.seed % 101
    together = 2 if effort.profile == "deep" else 1
    for rows, columns in sorted(
        ((b, n) for b in range(1, 10) for n in range(1, 10) if b * n <= 9),
        key=lambda s: s[0] * s[1],
    ):
        count = rows * columns
        for code in range(2**count):
            number += 1
            if effort.quick and count > 4 and number % effort.thin:
                continue
            bits = tuple(bool(code >> i & 1) for i in range(count))
            for hard in (False, True):
                for function, reduction in itertools.islice(
                    itertools.cycle(CALLS), number % len(CALLS), number % len(CALLS) + together
                ):
                    dtype = DTYPES[number // 3 % 4]
                    if hard:
                        grid = _GRID_VALUES[dtype]
                        values = [
                            tuple(
                                grid[(number * k + i * i * j + i) % len(grid)] for i in range(count)
                            )
                            for j, k in ((3, 5), (1, 7))
                        ]
                    else:
                        values = [
                            tuple(((number * k + i * 5) % 17 - 8) / 4 for i in range(count))
                            for k in (3, 5)
                        ]
                    case = Case(
                        function,
                        reduction,
                        (rows, columns),
                        Operand(dtype, values[0]),
                        Operand(dtype, values[1]),
                        Mask(bits),
                    )
                    case = probe.fit(case)
                    loss, inputs = probe.loss(case)
                    probe.right_value(loss, case, inputs)


situation(
    "C4-oracle",
    "The value is right, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    again=True,
    large=False,
    parts=frozenset(["C4"]),
)
situation(
    "C4-any-size",
    "The value is right; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C4"]),
    draws=0,
)


def _no_fake_group(subject: Subject, device: str) -> str | None:
    """Why a process group cannot be made here."""
    if not torch.distributed.is_available():
        return "this torch was built without torch.distributed"
    if torch.distributed.is_initialized():
        return "this process belongs to a process group already"
    return None


situation(
    "C4-process-group",
    "On plain tensors in a process that belongs to a process group, n and B are those at hand.",
    catches="counts, or batch sizes, that are added up over ranks wherever there are any",
    around=ways.process_group,
    array="small",
    unavailable=_no_fake_group,
)
situation(
    "C4-scattered",
    "The value is right at any size, round ones among them, on cases drawn by chance.",
    catches="a path for certain sizes; a tail or a remainder that some numbers have alone",
    array="scattered",
    large=False,
    parts=frozenset(["C4", "C5", "C6", "C7", "C9"]),
    draws=0,
)
