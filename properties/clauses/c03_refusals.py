"""C3: what is refused, before any arithmetic, in every situation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from ..inputs import internals
from ..inputs.bad import (
    BASE,
    DEVICES,
    FEW_SHAPES,
    FEW_TENSORS,
    LAYOUTS,
    MASK_DTYPES,
    NON_TENSORS,
    REDUCTION,
    SHAPES,
    VALUE_DTYPES,
    Bad,
)
from ..inputs.cases import DTYPES, NAMES
from ..inputs.effort import Effort
from ..inputs.grids import CALLS
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from ..judge import ways
from ..judge.apart import refused_when_optimised
from ..judge.bad_calls import placed, placed_call
from ..judge.everywhere import refused_after_good_calls, refused_there
from ..judge.mismatches import mismatches_refused
from ..judge.operators import nothing_computed
from ..judge.probe import Probe
from ..judge.refusals import (
    alike_refused,
    all_refused,
    good_call,
    must_refuse,
    nothing_changed,
    refused,
    spoilt,
)
from ..judge.situation import Situation
from .registry import PROPERTIES, STRICT, prop, without_target
from .situations import SITUATIONS

_REFUSED_FIRST = (
    "A bad argument that gets through is computed with: broadcast, taken as indices, or as weights."
)


@prop(
    "C3-non-tensors",
    fixed=True,
    statement="Anything but a tensor, for any argument, raises TypeError.",
    rationale=_REFUSED_FIRST,
    catches="lists and arrays converted in silence; None or True taken as a mask",
    needs=STRICT,
    scaled=True,
)
def non_tensors(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, NON_TENSORS, ((3, 4),))


@prop(
    "C3-value-dtypes",
    fixed=True,
    statement="Integer, bool, complex, quantized or float8 values raise TypeError.",
    rationale="uint8 spectra wrap around when they are subtracted; complex squares are no errors.",
    catches="integer wrap-around; complex values; silent promotion of float8",
    needs=STRICT,
    scaled=True,
)
def value_dtypes(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, VALUE_DTYPES, ((3, 4), (1, 1), (0, 4)))


@prop(
    "C3-unclaimed-dtypes",
    fixed=True,
    statement="A dtype that the subject does not claim is refused, or answered rightly.",
    rationale="Not to support a dtype is no fault; to answer wrongly in it is.",
    catches="kernels that read the memory of another dtype as their own",
    needs=STRICT,
)
def unclaimed_dtypes(probe: Probe) -> None:
    claimed = probe.claims.dtypes[0]
    others = [dtype for dtype in DTYPES if dtype not in probe.claims.dtypes]
    base = probe.fit(BASE)
    loss, inputs = probe.loss(base)
    probe.right_value(loss, base, inputs)
    for dtype, (function, reduction) in itertools.product(others, CALLS):
        for pair in ((dtype, dtype), (claimed, dtype), (dtype, claimed)):
            case = BASE.but(function=function, reduction=reduction)
            if getattr(probe.subject, function) is None:
                continue
            case = case.but(x_recon=Operand(pair[0], Lattice(1)), x=Operand(pair[1], Lattice(2)))
            try:
                loss, inputs = probe.loss(case)
            except (TypeError, ValueError):
                continue
            probe.right_value(loss, case, inputs)


@prop(
    "C3-mask-dtypes",
    fixed=True,
    statement="A mask that is not bool raises TypeError.",
    rationale="An integer mask indexes rows, a {0, 255} mask weighs, a float mask may be anything.",
    catches="integer mask taken as indices; non-binary mask taken as weights",
    needs=STRICT,
    scaled=True,
)
def mask_dtypes(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, MASK_DTYPES, ((3, 4), (1, 1), (0, 4)))


@prop(
    "C3-both-alike",
    fixed=True,
    statement="Two inputs that are wrong in the same way are refused like one.",
    rationale="uint8 spectra against uint8 reconstructions agree with each other, and wrap around.",
    catches="checks that only compare x_recon and x with one another",
    needs=STRICT,
)
def both_alike(probe: Probe) -> None:
    alike_refused(probe)


@prop(
    "C3-layouts",
    fixed=True,
    statement="Sparse inputs, and other layouts that are not strided, raise TypeError.",
    rationale="A sparse tensor's unstored values are zeros to some operations, absent to others.",
    catches="sparse tensors half accepted",
    needs=STRICT,
    scaled=True,
)
def layouts(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, LAYOUTS, ((3, 4),))


@prop(
    "C3-shapes",
    fixed=True,
    statement="A tensor not 2-D, or of another shape, raises ValueError; none is broadcast.",
    rationale="A (B,) target against (B, 1) silently makes B² differences, and still trains.",
    catches="broadcasting; a (B,) mask that selects rows; lengths truncated to the shorter",
    needs=STRICT,
    scaled=True,
)
def shapes(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, SHAPES, ((3, 4),))


@prop(
    "C3-any-mismatch",
    statement="Whenever the three shapes are not one and the same (B, L), ValueError is raised.",
    rationale="A check of pairs, or of sizes alone, lets some triples through.",
    catches="checks of numel or of one dimension; only x_recon compared",
    needs=STRICT,
    scaled=True,
)
def any_mismatch(probe: Probe, effort: Effort) -> None:
    mismatches_refused(probe, effort)


@prop(
    "C3-devices",
    fixed=True,
    statement="Inputs on different devices raise ValueError.",
    rationale="Moving a tensor in silence costs a synchronisation and hides a mistake.",
    catches="silent `.to(device)`; torch's own RuntimeError from the middle of the arithmetic",
    needs=STRICT,
    scaled=True,
)
def devices(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, DEVICES, ((3, 4), (1, 1), (0, 4)))


@prop(
    "C3-reductions",
    fixed=True,
    statement='Any reduction but "sum", "mean" and "batch_mean" is refused.',
    rationale='A misspelt reduction must not fall into another branch; "none" is not offered.',
    catches='an else branch that takes everything; "none" returning a tensor per element',
    needs=STRICT,
    scaled=True,
)
def reductions(probe: Probe, effort: Effort) -> None:
    all_refused(probe, effort, REDUCTION, ((3, 4), (0, 4)))


@prop(
    "C3-messages",
    fixed=True,
    statement="The error's message names the argument and says what came.",
    rationale="Three tensors go in; a message that does not say which one is wrong costs an hour.",
    catches="bare assertions; messages of torch's internals",
    needs=STRICT,
    scaled=True,
)
def messages(probe: Probe, effort: Effort) -> None:
    tables = (NON_TENSORS, VALUE_DTYPES, MASK_DTYPES, LAYOUTS, SHAPES, DEVICES, REDUCTION)
    for bad in itertools.chain(*tables):
        for function, reduction in CALLS[::3] if effort.quick else CALLS:
            case = probe.fit(BASE.but(function=function, reduction=reduction))
            refused(probe, bad, case, words=True)


@prop(
    "C3-before-arithmetic",
    fixed=True,
    statement="Bad input is refused before any arithmetic.",
    rationale="An error from the middle comes late, speaks of internals, may leave work behind.",
    catches="checks after the subtraction; an unknown reduction noticed at the end",
    needs=STRICT,
)
def before_arithmetic(probe: Probe) -> None:
    nothing_computed(probe)


@prop(
    "C3-situations",
    cost=9,
    fixed=True,
    scaled=True,
    statement="In every situation, and after a good call, bad input is refused as in a plain call.",
    rationale="A check that is skipped where a path is fast, or gradients are off, is no check.",
    catches="checks only where something requires grad; a transform's own path; checks remembered",
    needs=STRICT,
)
def in_situations(probe: Probe, effort: Effort) -> None:
    refused_after_good_calls(probe)
    for identifier, found in SITUATIONS.items():
        if found.refuses and probe.subject.missing(PROPERTIES[identifier].needs) is None:
            refused_there(probe, found, effort.quick)
    if probe.claims.compile:
        wrap = ways.compiled(fullgraph=False)
        compiled = Situation("compiled", wrap, internals.often_compiled, simplify=False)
        refused_there(probe, compiled, effort.quick)


@prop(
    "C3-optimised",
    cost=11,
    fixed=True,
    scaled=True,
    statement="Under `python -O`, which drops asserts, bad input is refused as without it.",
    rationale="An assert is no check: whoever saves its time meets the broadcast.",
    catches="checks written as asserts, or under `if __debug__`",
    needs=STRICT,
    unavailable=without_target,
)
def optimised(probe: Probe, effort: Effort) -> None:
    refused_when_optimised(probe, effort)


@prop(
    "C3-without-data",
    fixed=True,
    cost=9,
    statement="Bad meta and fake tensors are refused as others are; another device is too, and so "
    "is another number of it.",
    rationale="Planning on meta tensors should meet the errors that training would.",
    catches="checks that are skipped, or replaced by torch's own, where there is no data; devices "
    "compared by type",
    needs=(*STRICT, "data_independent"),
)
def without_data(probe: Probe) -> None:
    bads = [*FEW_TENSORS, *FEW_SHAPES, *REDUCTION[:1], *REDUCTION[9:12]]
    asked = [*itertools.product(("meta", "fake"), bads)]
    elsewhere = "torch.empty(good.shape, dtype=good.dtype)"
    asked += [("meta", Bad(name, elsewhere, ValueError, ())) for name in NAMES[1:]]
    if "cuda" in probe.claims.devices:
        another = 'torch.empty_like(good, device="cuda:1")'
        asked += [("fake CUDA", Bad(name, another, ValueError, ())) for name in NAMES]
    for number, (kind, bad) in enumerate(asked):
        case, inputs = good_call(probe, number)
        mode = nullcontext() if kind == "meta" else internals.fake_mode()
        with mode as fake:
            given, keyword = spoilt(bad, case, inputs, partial(placed, kind, fake))
        call = partial(_inside, mode, partial(probe.function(case.function), *given, **keyword))
        script = partial(placed_call, probe, bad, case, kind)
        must_refuse(bad, f"with {kind} tensors", call, probe, case, script)


def _inside(mode: AbstractContextManager[Any], call: Callable[[], Any]) -> Any:
    """The call in a mode that has ended before its finding is written: that takes numbers."""
    with mode:
        return call()


@prop(
    "C3-nothing-left",
    fixed=True,
    statement="A refused call leaves inputs and globals as they were.",
    rationale="Whoever catches the error goes on with the same tensors, in the same process.",
    catches="a mode or a default that is switched before the checks and not put back",
    needs=STRICT,
)
def nothing_left(probe: Probe) -> None:
    nothing_changed(probe)
