"""C5: the kind of the result, and what half precision must not do to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..inputs.cases import DTYPES, Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, some
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import Constant
from ..judge import answers, handed
from ..judge.probe import Probe
from .registry import prop
from .situations import TWO_TRAITS, situation


@prop(
    "C5-half-range",
    statement="Half inputs whose squares or sum leave the half range give the right, finite value.",
    rationale="65504 is the end of float16: 256² overflows, and so does a sum of ordinary spectra.",
    catches="squaring or summing in half; autocast-like downcasts",
    cases=cases(tier="wide", dtypes=("float16", "bfloat16"), empty=False),
    grid=lambda effort: some(_half_range(), effort),
)
def half_range(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


def _half_range() -> Iterator[Case]:
    pairs = (
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("float16", "float32"),
        ("float32", "float16"),
        ("float16", "bfloat16"),
    )
    values = ((65504.0, -65504.0), (300.0, 0.0), (0.0, 300.0), (16.0, 0.0), (2048.0, 0.5))
    for pair, (a, b), (function, reduction) in itertools.product(pairs, values, CALLS):
        for shape in ((1, 1), (4, 100)):
            yield Case(
                function,
                reduction,
                shape,
                Operand(pair[0], Constant(a)),
                Operand(pair[1], Constant(b)),
            )


@prop(
    "C5-upcast-first",
    statement="The difference is taken after the upcast, so it is not rounded to half.",
    rationale="In float16, 2048 − 0.5 is 2048: subtracting first loses the target.",
    catches="subtraction in half, followed by a cast that comes too late",
    cases=cases(tier="lattice", empty=False, patterns=False),
    grid=lambda effort: some(
        (
            Case(f, r, (1, 3), Operand(p[0], Constant(a)), Operand(p[1], Constant(b)))
            for p in itertools.product(DTYPES, DTYPES)
            for (a, b) in ((2048.0, 0.5), (0.5, 2048.0), (1.0, 2.0**-14), (-(2.0**-12), 256.0))
            for f, r in CALLS
        ),
        effort,
    ),
    weight=0.5,
)
def upcast_first(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C5-count",
    cost=4,
    statement="With every masked difference 1, mean is 1 and sum is the count, however many.",
    rationale="A count kept in half sticks at 256 (bfloat16) or 2048 (float16).",
    catches="counts and sums in half; counts in uint8 or int16; rounding of n",
    scaled=True,
)
def counts(probe: Probe, effort: Effort) -> None:
    number = effort.seed % 89
    sizes_ = [1, 255, 257, 2047, 2049, 4100, 65537]
    sizes_ += [256, 2048, 32769, 70000] if not effort.quick else []
    sizes_ += [2**18 + 3] if not effort.quick else []
    sizes_ += [2**24 - 1, 2**24] if effort.profile == "deep" else []
    for count in sizes_:
        for dtype in DTYPES:
            for pattern in ("full", "bernoulli", "all_but_one"):
                number += 1
                if effort.quick and number % 5:
                    continue
                for function, reduction in CALLS if count < 5000 else CALLS[number % 2 :: 3]:
                    shape = ((1, count), (count, 1))[number % 2]
                    ones = Operand(dtype, Constant(1.0)), Operand(dtype, Constant(0.0))
                    case = probe.fit(Case(function, reduction, shape, *ones, Mask(pattern, number)))
                    loss, inputs = probe.loss(case)
                    probe.right_value(loss, case, inputs)


situation(
    "C5-result",
    "The result is 0-d, of the dtype of C5, and an ordinary tensor, whichever two traits meet.",
    catches=TWO_TRAITS,
    array="full",
    large=False,
    parts=frozenset(["C5"]),
)
situation(
    "C5-inference-inputs",
    "On inference tensors, outside their mode, a call keeps its whole contract.",
    catches="a view or an in-place step, after which the result is an inference tensor too",
    wrap=handed.inference_inputs,
    array="small",
    derive=answers.value_only,
    only=lambda case: not case.grads,
    because="whether an inference tensor may meet an input that requires grad is left open",
)
situation(
    "C5-changed-in-place",
    "Changed in place before its backward, a result keeps its whole contract.",
    rationale="`loss /= accumulation_steps` stands in many training loops.",
    catches="a result that is one of several views of a tensor, which autograd lets nobody change",
    derive=answers.written_over,
    array="small",
    large=False,
    refuses=False,
)
