"""C1: the signature."""

from __future__ import annotations

import itertools
from typing import Any

from torch import Tensor

from ..inputs.bad import BASE
from ..inputs.cases import DEFAULT_REDUCTION, FUNCTIONS, NAMES, REDUCTIONS, Case
from ..inputs.grids import CALLS, small_grid
from ..inputs.strategies import cases
from ..judge import ways
from ..judge.bits import same_bits
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import STRICT, prop
from .situations import situation


@prop(
    "C1-default-reduction",
    statement='Without `reduction`, masked_sse is "batch_mean" and masked_mse is "mean".',
    rationale="The two functions differ in their default and in nothing else.",
    catches="a default of the other function, or of F.mse_loss",
    needs=("default",),
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 2), (2, 1), (2, 3), (3, 2)),
        pairs=(("float32", "float32"), ("float64", "float64"), ("float16", "float16")),
        calls=tuple((f, None) for f in FUNCTIONS),
    ),
)
def default_reduction(probe: Probe, case: Case) -> None:
    if DEFAULT_REDUCTION[case.function] not in probe.claims.reductions:
        (other,) = {*probe.subject.functions} - {case.function}
        case = case.but(function=other)
    case = case.but(reduction=None)
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C1-keywords",
    statement="x_recon, x and mask may be given by name, in any order, with the same result.",
    rationale="Names are part of the signature: training code calls losses by keyword.",
    catches="renamed or swapped parameters",
    cases=cases(empty=False),
    weight=0.3,
)
def keywords(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    plain = probe.call(case, inputs)
    given: dict[str, Any] = {} if case.reduction is None else {"reduction": case.reduction}
    function = probe.function(case.function)
    keyword = ", ".join(
        [f"{n}={n}" for n in reversed(NAMES)] + [f"{k}={v!r}" for k, v in given.items()]
    )
    for named in (
        function(mask=inputs.mask, x=inputs.x, x_recon=inputs.x_recon, **given),
        function(inputs.x_recon, mask=inputs.mask, x=inputs.x, **given),
    ):
        if not isinstance(named, Tensor) or not same_bits(plain, named):
            raise Violation(
                "by name the result is another one",
                got=named,
                wanted=plain,
                script="\n".join(
                    [
                        case.script(probe.subject.imports),
                        f"print({case.function}({keyword}))",
                    ]
                ),
            )


@prop(
    "C1-equal-strings",
    fixed=True,
    statement="A reduction is known by its value: a string made at run time does as well.",
    rationale="Configuration files and command lines make strings that are equal, not identical.",
    catches="`is` between strings",
    grid=lambda effort: (
        BASE.but(function=function, reduction=reduction)
        for function, reduction in CALLS
        if reduction is not None
    ),
)
def equal_strings(probe: Probe, case: Case) -> None:
    assert case.reduction is not None
    inputs = probe.build(case)
    probe.note(inputs.mask)
    probe.calls += 1
    made = "".join(list(case.reduction))
    loss = probe.function(case.function)(*inputs, reduction=made)
    try:
        probe.right_value(loss, case, inputs)
    except Violation as violation:
        call = f"{case.function}(x_recon, x, mask, reduction=''.join({list(case.reduction)}))"
        violation.script = f"{case.script(probe.subject.imports, call=False)}\nprint({call})"
        raise


def _no_such_call(probe: Probe, case: Case, call: str, what: str) -> None:
    """Raise unless `call`, which stands for arguments after the function's name, is a TypeError."""
    loss = getattr(probe.subject, case.function)
    if loss is None:
        return
    inputs = probe.build(case)
    probe.note(inputs.mask)
    probe.calls += 1
    try:
        got = eval(f"loss({call})", {"loss": loss, **inputs._asdict()})
    except TypeError:
        return
    script = case.script(probe.subject.imports, call=False)
    script += f"\n{case.function}({call})  # must raise TypeError"
    raise Violation(what, got=got, wanted="TypeError", script=script)


@prop(
    "C1-keyword-only",
    fixed=True,
    statement="`reduction` given by position raises TypeError.",
    rationale="A fourth positional argument may mean anything; the keyword cannot be mistaken.",
    catches="a signature without the bare star",
    needs=STRICT,
)
def keyword_only(probe: Probe) -> None:
    for function, reduction in itertools.product(FUNCTIONS, REDUCTIONS):
        case = BASE.but(function=function, reduction=reduction)
        call = f"x_recon, x, mask, {reduction!r}"
        _no_such_call(probe, case, call, "reduction is taken by position")


@prop(
    "C1-required-arguments",
    fixed=True,
    statement="x_recon, x and mask are required: leaving one out raises TypeError.",
    rationale="A forgotten mask must not become a mask that counts everything.",
    catches="defaults for arguments that have none",
    needs=STRICT,
)
def required_arguments(probe: Probe) -> None:
    for function, reduction in itertools.product(FUNCTIONS, (None, *REDUCTIONS)):
        case = BASE.but(function=function, reduction=reduction)
        rest = "" if reduction is None else f", reduction={reduction!r}"
        for call in ("x_recon, x", "x_recon, mask=mask", "x=x, mask=mask", "x_recon"):
            _no_such_call(probe, case, call + rest, "an argument may be left out")


@prop(
    "C1-unknown-keyword",
    fixed=True,
    statement="A keyword that the signature does not have raises TypeError.",
    rationale='`reduciton="sum"` must not train silently with the default.',
    catches="**kwargs swallowed",
    needs=STRICT,
)
def unknown_keyword(probe: Probe) -> None:
    for function, keyword in itertools.product(FUNCTIONS, ("reduciton", "weight", "size_average")):
        case = BASE.but(function=function, reduction=None)
        _no_such_call(probe, case, f"x_recon, x, mask, {keyword}='sum'", f"{keyword}= is taken")


situation(
    "C1-made-strings",
    "With a reduction that was made at run time, a call keeps its whole contract.",
    catches="`is` where `==` was meant",
    wrap=ways.made_strings,
    array="small",
)
situation(
    "C1-by-name",
    "With its arguments given by name, a call keeps its whole contract.",
    catches="a wrapper that reads `args`",
    wrap=ways.by_name,
    array="small",
)
