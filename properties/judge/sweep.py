"""Asks the contract in a situation: case by case, and what breaks is blamed where it belongs.

What breaks in a plain call with the same arguments too is not the situation's finding: it is the
business of the clause that owns it.
"""

from __future__ import annotations

import contextlib

from torch import Tensor

from ..inputs import dimensions
from ..inputs.cases import Case
from ..inputs.dimensions import Offered, Row
from ..inputs.effort import Effort
from ..inputs.rows import case_of
from . import ambient, claims, silence
from .bits import same_bits
from .caller import RAISED
from .contract import (
    GRADIENT_PARTS,
    HIDING_PARTS,
    PARTS,
    VALUE_PARTS,
    Answer,
    Contract,
    state_kept,
    truth,
    unpoisoned,
)
from .listening import listening
from .probe import Probe
from .situation import PLAIN, Situation
from .untouched import Untouched
from .violation import SuiteError, Violation


def offered(probe: Probe) -> Offered:
    """What the subject offers, as far as levels depend on it."""
    claims = probe.claims
    return Offered(probe.subject.functions, claims.reductions, claims.dtypes, claims.gradients)


def sweep(found: Situation, probe: Probe, spend: Effort) -> int:
    """Ask the contract of every case of a situation; the number of cases."""
    cases = found.cases(offered(probe), spend)
    kept: list[tuple[Tensor, Tensor]] = []
    elsewhere: Violation | None = None
    with silence.kept(found, probe, cases, _holds):
        for row, case in cases:
            try:
                ask(found, probe, case, kept)
            except Violation as violation:
                if not violation.elsewhere:
                    raise _simplest(found, probe, row, case, violation) from None
                elsewhere = elsewhere or violation
        for value, copy in kept:
            if not same_bits(value, copy):
                raise Violation(
                    "a result changed after later calls", got=value, wanted=copy, part="C14"
                )
    if elsewhere is not None:
        raise elsewhere
    return len(cases)


def ask(found: Situation, probe: Probe, case: Case, kept: list[tuple[Tensor, Tensor]]) -> None:
    """Ask the contract of a case; a violation is marked where it is another property's finding.

    What breaks in a plain call too is not a situation's, nor is what breaks in one of those that it
    is made of; what breaks in any layout is not C15's, and what breaks in some layouts alone is.
    """
    try:
        _holds(found, probe, case, kept)
    except Violation as violation:
        if not found.is_plain:
            parts = _under(violation.part)
            for other in (PLAIN, *found.made_of):
                if _breaks(probe, case, parts, other):
                    violation.seen_in(other.id)
                    break
        elif (laid_out(case) and violation.part != "C14") or found.layouts:
            any_layout = _breaks(probe, straight(case), _under(violation.part))
            violation.elsewhere = PLAIN.id if any_layout is found.layouts else ""
        raise


def laid_out(case: Case) -> bool:
    """Whether an input is not contiguous, or shares its memory."""
    layouts = {case.x_recon.layout, case.x.layout, case.mask.layout}
    return layouts != {"contiguous"} or bool(case.shared)


def straight(case: Case) -> Case:
    """The case with contiguous inputs."""
    plain = dict.fromkeys(("x_recon__layout", "x__layout", "mask__layout"), "contiguous")
    return case.but(**plain, shared="")


def _under(part: str) -> frozenset[str]:
    """The parts of which one, where a plain call breaks it, accounts for this one.

    A derivative of what is wrong is wrong, and nobody knows what an exception comes from.
    """
    if part == "C13":
        return frozenset([part]) | VALUE_PARTS | GRADIENT_PARTS
    return frozenset([part]) if part in PARTS else PARTS


def _breaks(probe: Probe, case: Case, parts: frozenset[str], there: Situation = PLAIN) -> bool:
    """Whether a plain call, or one made there, breaks one of these parts, or raises.

    What it changes, or what is heard of it, is not noticed in the situation that is asked.
    """
    if there.only is not None and not there.only(case):
        return False
    try:
        with ambient.restored(), listening(always=False):
            _holds(there, probe, case, [], parts & there.parts)
    except Violation:
        return True
    return False


def _holds(
    found: Situation,
    probe: Probe,
    case: Case,
    kept: list[tuple[Tensor, Tensor]],
    parts: frozenset[str] | None = None,
) -> None:
    """The whole contract of one call, made twice so that what is hidden may differ."""
    probe.case = case = probe.reached(case)
    probe.selected = probe.selected or truth(case).selected > 0
    contract = Contract(
        probe,
        case,
        parts=found.parts if parts is None else parts,
        ordered=found.ordered,
        siblings=found.siblings,
        wrap=found.wrap,
        around=found.around,
    )
    call = found.calls(probe, case, contract)
    hides = contract.parts & HIDING_PARTS
    for built in dict.fromkeys((unpoisoned(case), case) if hides else (unpoisoned(case),)):
        probe.calls += 1
        contract.begin(built)
        inputs = built.build(probe.device)
        untouched = Untouched(inputs._asdict() if "C14" in contract.parts else {})
        try:
            with found.around(), state_kept(contract):
                answer = found.derive(call, inputs, built, contract)
        except (Violation, SuiteError):
            raise
        except RAISED as error:
            if not probe.blames(probe, error):
                raise
            raise Violation(
                f"{type(error).__name__} came out: {_short(error)}",
                got=type(error).__name__,
                wanted="no exception",
                case=case,
                part="raises",
                scene=contract.scene,
            ) from error
        probe.scene = contract.scene
        contract.judge(answer, inputs)
        if changed := untouched.changed():
            what, claim = "an input was modified", claims.untouched()
            contract.fail("C14", what, "; ".join(changed), "as before", claim=claim)
        _keep_or_spoil(answer, case, kept)


def _keep_or_spoil(answer: Answer, case: Case, kept: list[tuple[Tensor, Tensor]]) -> None:
    """Results are the caller's: some are kept to be looked at later, others are written over."""
    found = [answer.value, *answer.gradients.values()]
    for tensor in found:
        if not isinstance(tensor, Tensor):
            continue
        if case.salt % 2:
            if len(kept) < 200 and tensor.numel() < 1000:
                kept.append((tensor.detach(), tensor.detach().clone()))
        else:
            with contextlib.suppress(RuntimeError):  # inference tensors and views may refuse it
                tensor.detach().fill_(17)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _simplest(
    found: Situation, probe: Probe, row: Row, case: Case, violation: Violation
) -> Violation:
    """The same finding on the simplest levels on which it is still there."""
    if not found.simplify or not violation.part:
        return violation
    tries = 0
    progress = True
    while progress and tries < 150:
        progress = False
        for simpler in dimensions.simpler(row, offered(probe)):
            tries += 1
            candidate = case_of(simpler, case.salt)
            if found.only is not None and not found.only(candidate):
                continue
            try:
                ask(found, probe, candidate, [])
            except Violation as other:
                if other.elsewhere or other.part != violation.part:
                    continue
                row, violation, progress = simpler, other, True
                break
            except Exception:
                continue
    return violation
