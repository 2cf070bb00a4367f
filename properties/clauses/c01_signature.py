"""C1: the signature."""

from __future__ import annotations

import itertools

from ..inputs.bad import BASE
from ..inputs.cases import DEFAULT_REDUCTION, FUNCTIONS, REDUCTIONS, Case
from ..inputs.grids import small_grid
from ..inputs.strategies import cases
from ..judge import handed
from ..judge.probe import Probe
from ..judge.program import refusing, shown
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
    lines = refusing(f"{case.function}({call})", (TypeError,), what)
    script = shown(case, probe.subject.imports, lines, device=probe.device)
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
    "C1-equal-strings",
    "With a reduction that was made at run time, a call keeps its whole contract.",
    catches="`is` where `==` was meant",
    wrap=handed.made_strings,
    array="small",
)
situation(
    "C1-keywords",
    "With its arguments given by name, a call keeps its whole contract.",
    catches="a wrapper that reads `args`",
    wrap=handed.by_name,
    array="small",
)
situation(
    "C1-some-keywords",
    "With some of its arguments given by name, a call keeps its whole contract.",
    catches="swapped parameters, which a loss symmetric in both hides when all are named",
    wrap=handed.some_by_name,
    array="small",
)
