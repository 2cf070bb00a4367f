"""C10: sign, zero, symmetry, permutation, additivity, scaling."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from functools import partial

import numpy as np
import torch

from ..inputs import text
from ..inputs.cases import Case, Inputs
from ..inputs.grids import CALLS, SAME_PAIRS, small_grid
from ..inputs.masks import Mask, mask_bits
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import Reals
from ..judge import claims, oracle
from ..judge.bits import same_bits
from ..judge.probe import Probe
from ..judge.program import shown
from ..judge.violation import Violation
from .registry import prop


@prop(
    "C10-non-negative",
    statement="The loss is never negative, and never −0.0.",
    rationale="It is a sum of squares.",
    catches="expanded squares that cancel below zero; signs lost",
    cases=cases(tier="extreme"),
    weight=0.5,
)
def non_negative(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    if not math.isnan(loss.item()) and math.copysign(1, loss.item()) < 0:
        claim = claims.positive("loss")
        raise Violation("the loss is negative", got=loss, wanted="≥ +0.0", claim=claim)


@prop(
    "C10-zero",
    statement="The loss is 0 where every masked difference is 0, and only there, underflow aside.",
    rationale="A perfect reconstruction costs nothing, and nothing else does.",
    catches="epsilons; differences below a threshold dropped; additive terms outside the mask",
    cases=cases(tier="wide"),
    grid=lambda effort: small_grid(effort, share=3, pairs=SAME_PAIRS),
    weight=0.5,
)
def zero(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    bits = mask_bits(case.mask, case.shape)
    values = oracle.as_array(inputs.x).reshape(-1)
    perfect = case.but(x_recon=Operand(case.x.dtype, tuple(values.tolist()), outside=1.5))
    loss, _ = probe.loss(perfect)
    if loss.item() != 0:
        what, claim = "x_recon equals x on the whole mask", claims.near("loss.item()", 0.0, 0.0)
        raise Violation(what, got=loss, wanted="0.0", claim=claim)
    spots = np.flatnonzero(bits)
    if len(spots) == 0:
        return
    spot = int(spots[case.salt % len(spots)])
    small = 2.0**-10
    one_off = perfect.but(
        x_recon__edits=((spot, small),), x__values=tuple(values.tolist()), x__edits=((spot, 0.0),)
    )
    loss, inputs = probe.loss(one_off)
    probe.right_value(loss, one_off, inputs)


@prop(
    "C10-symmetric",
    statement="Exchanging x_recon and x changes nothing.",
    rationale="(a − b)² = (b − a)²; also for dtypes, which are exchanged with the values.",
    catches="result dtype, target or mask taken from one side; a signed error",
    cases=cases(),
    grid=lambda effort: small_grid(
        effort, shapes=((1, 2), (2, 3), (4, 4)), patterns=("bernoulli",)
    ),
)
def symmetric(probe: Probe, case: Case) -> None:
    first, inputs = probe.loss(case)
    swapped = case.but(x_recon=case.x, x=case.x_recon)
    second, _ = probe.loss(swapped)
    _alike(probe, first, second, (case, swapped), inputs, "exchanging x_recon and x")


def _alike(
    probe: Probe,
    first: torch.Tensor,
    second: torch.Tensor,
    cases: tuple[Case, Case],
    inputs: Inputs,
    how: str,
) -> None:
    """Both within C6 of the exact value, and of one dtype."""
    case, other = cases
    right = probe.wanted_dtype(inputs)
    if first.dtype != second.dtype:
        raise Violation(
            f"{how} changes the dtype",
            got=second,
            wanted=first,
            case=case if second.dtype == right else other,
            claim=claims.Claim("loss.dtype", f"got == {right}"),
        )
    probe.case = other
    answer, coarser = oracle.exact(inputs), probe.coarser(second, inputs)
    fault = oracle.value_fault(
        second,
        answer,
        case.effective_reduction,
        roundoffs=probe.roundoffs(answer, coarser),
        dtype=coarser,
    )
    if fault and not same_bits(first, second):
        roundoffs = probe.roundoffs(answer, coarser)
        claim = claims.value(answer, case.effective_reduction, coarser, roundoffs)
        what = f"{how} changes the value"
        raise Violation(what, got=second, wanted=first, bound=fault[1], claim=claim)
    probe.case = case
    probe.right_value(first, case, inputs)


@prop(
    "C10-permutation",
    statement="Permuting rows and columns of all three inputs together changes nothing.",
    rationale="The loss is a sum over positions; none of them is special.",
    catches="weights by position; the first row or column treated apart; per-row normalisation",
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort, share=2, shapes=((2, 2), (1, 5), (5, 1), (3, 2), (3, 7)), pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def permutation(probe: Probe, case: Case) -> None:
    first, inputs = probe.loss(case)
    shuffle = random.Random(case.salt)
    rows, columns = (shuffle.sample(range(n), n) for n in case.shape)
    moved = Inputs(*(t[rows][:, columns] for t in inputs))
    explicit = _explicit(case, moved)
    second = probe.call(explicit, explicit.build(probe.device))
    cases = case, explicit
    _alike(probe, first, second, cases, inputs, "a permutation of rows and columns")


def _explicit(case: Case, inputs: Inputs) -> Case:
    """A case with these tensors' values."""
    rows, columns = inputs.mask.shape
    recon, target, mask = (oracle.as_array(t).reshape(-1) for t in inputs)
    return case.but(
        shape=(rows, columns),
        x_recon=Operand(case.x_recon.dtype, tuple(recon.tolist())),
        x=Operand(case.x.dtype, tuple(target.tolist())),
        mask=Mask(tuple(bool(b) for b in mask)),
    )


@prop(
    "C10-additive",
    statement="`sum` is additive over any partition of batch, length or mask.",
    rationale="What lets micro-batches and ranks add up: the sum knows no whole.",
    catches="terms per call or per row; normalisation inside the sum; state between calls",
    needs=("sum",),
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 2), (1, 5), (5, 1), (3, 7)),
        pairs=SAME_PAIRS,
        calls=(("masked_sse", "sum"), ("masked_mse", "sum")),
    ),
    weight=0.5,
)
def additive(probe: Probe, case: Case) -> None:
    case = case.but(reduction="sum")
    whole, inputs = probe.loss(case)
    probe.right_value(whole, case, inputs)
    if not math.isfinite(whole.item()):
        return
    choose = random.Random(case.salt)
    row, column = choose.randint(0, case.shape[0]), choose.randint(0, case.shape[1])
    some = torch.tensor([choose.random() < 0.5 for _ in range(case.count)]).reshape(case.shape)
    some = some.to(inputs.mask.device).bool()
    partitions = {
        f"rows at {row}": [[t[:row] for t in inputs], [t[row:] for t in inputs]],
        f"columns at {column}": [[t[:, :column] for t in inputs], [t[:, column:] for t in inputs]],
        "the mask": [[*inputs[:2], inputs.mask & some], [*inputs[:2], inputs.mask & ~some]],
    }
    dtype, answer = probe.coarser(whole, inputs), oracle.exact(inputs)
    bound = 2 * oracle.value_bound(answer, "sum", dtype, probe.roundoffs(answer, dtype))
    for name, parts in partitions.items():
        values = [probe.call(case, Inputs(*part)).item() for part in parts]
        together = sum(Fraction(v) for v in values)
        if abs(together - Fraction(whole.item())) > bound:
            raise Violation(
                f"the parts do not add up to the whole, split by {name}",
                got=" + ".join(repr(v) for v in values),
                wanted=whole,
                bound=f"± {oracle.shown(bound)}",
                script=partial(_adds_up, probe, case, name, (row, column), some, float(bound)),
            )


def _adds_up(
    probe: Probe, case: Case, name: str, at: tuple[int, int], some: torch.Tensor, bound: float
) -> str:
    """The program: the whole and its parts, with the bound of both."""
    first, second = {
        f"rows at {at[0]}": (f"t[:{at[0]}]", f"t[{at[0]}:]"),
        f"columns at {at[1]}": (f"t[:, :{at[1]}]", f"t[:, {at[1]}:]"),
    }.get(name, ("t", "t"))
    parts = [f"[{part} for t in (x_recon, x, mask)]" for part in (first, second)]
    lines = []
    if name == "the mask":
        lines = [f"some = torch.tensor({some.tolist()})"]
        parts = [f"[x_recon, x, mask & {chosen}]" for chosen in ("some", "~some")]
    call = f'{case.function}({{}}, reduction="sum").item()'
    lines += [f"whole = {call.format('x_recon, x, mask')}"]
    lines += [f"parts = [{', '.join(call.format('*' + part) for part in parts)}]"]
    lines += ["got = abs(sum(parts) - whole)", f"assert got <= {bound!r}, (whole, parts)"]
    return shown(case, probe.subject.imports, lines, device=probe.device)


_SCALED = (("float32", "float32"), ("float64", "float64"), ("bfloat16", "bfloat16"))


@prop(
    "C10-scaling",
    statement="Scaling both inputs by 2ᵏ scales the loss by exactly 4ᵏ.",
    rationale="Powers of two are exact; another answer has a constant in it: an epsilon, a clamp.",
    catches="epsilons in the denominator; additive constants; thresholds, also of the order",
    cases=cases(tier="lattice", empty=False, dtypes=("float32", "float64", "bfloat16")),
    grid=lambda effort: (
        case.but(
            x_recon__values=Reals(case.salt + effort.seed, 2.0),
            x__values=Reals(case.salt + effort.seed + 7, 2.0),
        )
        for case in itertools.chain(
            small_grid(effort, share=2, shapes=((1, 1), (2, 3), (9, 40)), pairs=_SCALED),
            (
                Case(*CALLS[k], (40, 41), Operand(a), Operand(b), Mask("bernoulli"), salt=k)
                for k, (a, b) in enumerate(_SCALED)
            ),
        )
    ),
    weight=0.5,
)
def scaling(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    for power in (-40, -13, 1, 20):
        x_recon, x = (t * 2.0**power for t in inputs[:2])
        explicit = _explicit(case, Inputs(x_recon, x, inputs.mask))
        scaled = probe.call(explicit, explicit.build(probe.device))
        if "float16" in (case.x_recon.dtype, case.x.dtype):
            return  # float16 cannot hold these powers
        if scaled.item() != loss.item() * 4.0**power:
            raise Violation(
                f"inputs scaled by 2^{power} do not scale the loss by 4^{power}",
                got=scaled,
                wanted=repr(loss.item() * 4.0**power),
                script=partial(_scaled, probe, case, power),
            )


def _scaled(probe: Probe, case: Case, power: int) -> str:
    """The program: the call, and the same with both inputs scaled."""
    given = text.given(case)
    scaled = ", ".join(
        f"({name}.detach() * 2.0**{power}).contiguous()" for name in ("x_recon", "x")
    )
    lines = [f"loss = {case.function}(x_recon, x, mask{given}).item()"]
    lines += [f"got = {case.function}({scaled}, mask.contiguous(){given}).item()"]
    lines += [f'assert got == loss * 4.0**{power}, f"got {{got}}, wanted {{loss * 4.0**{power}}}"']
    return shown(case, probe.subject.imports, lines, device=probe.device)
