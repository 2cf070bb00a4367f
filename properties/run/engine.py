"""Runs one property on one subject: the grid first, simplest case first, then drawn cases.

Hypothesis draws and shrinks. The seed depends on the property and the run's seed alone, so every
subject sees the same inputs. Nothing is registered or loaded globally.
"""

from __future__ import annotations

import dataclasses
import zlib
from typing import Literal

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity

# Importing a clause registers its properties.
from ..clauses import (  # noqa: F401
    c01_signature,
    c02_inputs,
    c03_refusals,
    c04_value,
    c05_result,
    c06_accuracy,
    c07_empty,
    c08_excluded,
    c09_non_finite,
    c10_algebra,
    c11_gradient,
    c12_excluded_gradient,
    c13_derivatives,
    c14_memory,
    c15_layouts,
    c16_purity,
    c16_situations,
    c17_no_data,
    c18_compiled,
    c19_transforms,
    c20_dtensor,
)
from ..clauses.registry import PROPERTIES, Property
from ..clauses.renamed import RENAMED
from ..inputs.cases import Case
from ..inputs.drawing import BACKEND
from ..inputs.effort import PROFILES, Effort
from ..judge import ambient
from ..judge.caller import RAISED, Caller
from ..judge.probe import Probe
from ..judge.silence import stumbled
from ..judge.violation import SuiteError, Violation
from ..subject import Subject
from . import blame, ledger, stopping
from .reproducers import program_of

__all__ = [
    "PROPERTIES",
    "Outcome",
    "State",
    "SuiteError",
    "conduct",
    "effort",
    "explain",
    "validate",
]

# torch's words for what C18 leaves open.
_NO_SECOND_ORDER = "does not currently support double backward"

State = Literal["pass", "FAIL", "xfail", "XPASS", "error", "not claimed", "skipped"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One cell of the table: its state, the reason in words, and what was found."""

    state: State
    reason: str = ""
    violation: Violation | None = None
    calls: int = 0
    examples: int = 0


def effort(profile: str, seed: int = 0) -> Effort:
    """The named profile with a seed."""
    if profile not in PROFILES:
        raise SuiteError(f"profile must be one of {sorted(PROFILES)}, got {profile!r}")
    return dataclasses.replace(PROFILES[profile], seed=seed)


def validate(subject: Subject) -> None:
    """Raise SuiteError where an expected failure names no property."""
    for identifier in subject.expected_failures:
        if identifier in RENAMED:
            raise SuiteError(
                f"{subject.name} expects {identifier!r} to fail, which is now "
                f"{' and '.join(RENAMED[identifier])}; name what applies of these"
            )
        if identifier not in PROPERTIES:
            raise SuiteError(
                f"{subject.name} expects {identifier!r} to fail, and there is no such property; "
                "`python -m wavemae.properties --list` lists the ids"
            )


def conduct(
    subject: Subject,
    identifier: str,
    profile: str = "default",
    seed: int = 0,
    device: str = "cpu",
    tried: bool = False,
) -> Outcome:
    """Run one property and say how it went, expected failures and missing claims considered.

    A violation has its program, which with `tried` was run in a process of its own.
    """
    validate(subject)
    prop = PROPERTIES[identifier]
    missing = subject.missing(prop.needs)
    unasked = f"{missing} is not claimed" if missing else subject.unasked(identifier)
    expected = subject.expected_failures.get(identifier)
    if unasked is not None:
        if expected is not None:
            return Outcome("error", f"expected to fail ({expected}), and {unasked}")
        return Outcome("not claimed", unasked)
    absent = prop.unavailable(subject, device) if prop.unavailable else None
    if absent is not None:
        return Outcome("skipped", absent)
    probe, examples = Probe(subject, device, prop.clause, ledger.note, _subjects), [0]
    found: Violation | None = None
    subject.restart()
    try:
        _restoring(prop, probe, effort(profile, seed), examples)
    except Violation as violation:
        found = violation
    except SuiteError:
        if subject.ended() is None:
            raise
    ended = subject.ended()
    if ended is not None:  # which is the verdict, whatever the property made of it
        ended.case = ended.case or probe.case
        found = ended
    if found is not None:
        state: State = "FAIL" if expected is None else "xfail"
        found.script = program_of(subject, found, identifier, profile, seed, device, tried)
        reason = expected or found.what
        if found.part and found.part != prop.clause and expected is None:
            reason = f"{reason} ({_part(found)})"
        return Outcome(state, reason, found, probe.calls, examples[0])
    if expected is not None:
        reason = f"passes, though expected to fail: {expected}"
        return Outcome("XPASS", reason, None, probe.calls, examples[0])
    return Outcome("pass", "", None, probe.calls, examples[0])


def _restoring(prop: Property, probe: Probe, spend: Effort, examples: list[int]) -> None:
    """Run the property, and put the state of the process back."""
    if prop.sweep is not None:
        ambient.import_torch()
    with ambient.restored() as before:
        try:
            _run(prop, probe, spend, examples)
        except (Violation, SuiteError):
            raise
        except Exception as error:
            # The suite stumbled. Where the subject moved the ground, that is the finding.
            if found := stumbled(error, before, probe.case):
                raise found from None
            raise SuiteError(
                f"error in the suite, at {blame.place(error, in_suite=True)}: "
                f"{type(error).__name__}: {_short(str(error))}. The subject is not to "
                "blame; please report this line"
            ) from error


def _run(prop: Property, probe: Probe, spend: Effort, examples: list[int]) -> None:
    number = zlib.crc32(f"{prop.id}/{spend.seed}".encode())
    if prop.sweep is not None:
        examples[0] += prop.sweep(probe, spend)
    elif prop.grid is None and prop.cases is None:
        examples[0] += 1
        _judge(prop, probe, None, spend)
    if prop.grid is not None:
        for case in spend.some_of(prop.grid(dataclasses.replace(spend, seed=number))):
            examples[0] += 1
            _judge(prop, probe, probe.fit(case), spend)
    if prop.cases is not None:
        _draw(prop, probe, spend, number, examples)
    if probe.calls == 0:
        raise SuiteError(f"{prop.id} never called its subject, so its pass would mean nothing")
    if not (probe.selected or prop.empty):
        raise SuiteError(f"{prop.id} saw only masks that select nothing")


def _draw(prop: Property, probe: Probe, spend: Effort, number: int, examples: list[int]) -> None:
    found: list[Violation] = []

    def body(case: Case) -> None:
        examples[0] += 1
        try:
            _judge(prop, probe, probe.fit(case), spend)
        except Violation as violation:
            found.append(violation)
            raise

    assert prop.cases is not None
    count = spend.drawn(prop.weight, alone=prop.grid is None and prop.sweep is None)
    if count == 0:
        return
    settings = hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        backend=BACKEND,
        verbosity=Verbosity.quiet,
    )
    test = hypothesis.seed(number)(settings(hypothesis.given(prop.cases)(body)))
    try:
        test()
    except BaseException:
        stopping.heed()
        # The last violation is that of the smallest case. A subject whose answers change from call
        # to call makes Hypothesis complain instead; the violation that was seen still stands.
        if found:
            raise found[-1] from None
        raise


def _judge(prop: Property, probe: Probe, case: Case | None, spend: Effort) -> None:
    stopping.heed()
    probe.case, probe.scene = case, None
    arguments = [probe] if case is None else [probe, case]
    if prop.scaled:
        arguments.append(spend)  # type: ignore[arg-type]  # checks that scale take the effort too
    try:
        prop.check(*arguments)
    except Violation as violation:
        violation.case = violation.case or probe.case
        violation.scene = violation.scene or probe.scene
        # A property that was given no case makes its own, and has not come to their end.
        if case is None or not _left_to_c7(prop, probe, violation.case):
            raise
    except SuiteError:
        raise
    except RAISED as error:
        stopping.heed()
        if "second_order" in prop.needs and _NO_SECOND_ORDER in str(error):
            return
        if not _subjects(probe, error):
            raise
        raise Violation(
            f"{type(error).__name__} came out: {_short(str(error))}",
            got=_origin(error),
            wanted="no exception",
            case=probe.case,
            scene=probe.scene,
            raises=True,
        ) from error


def _subjects(probe: Caller, error: BaseException) -> bool:
    """Whether an exception is the subject's and not a mistake of the suite."""
    if probe.raised in (id(error), id(error.__cause__), id(error.__context__)):
        return True
    functions = tuple(getattr(probe.subject, name) for name in probe.subject.functions)
    return blame.subjects(error, functions, probe.odd)


def _part(violation: Violation) -> str:
    """Which part of the contract broke, and where it does so too."""
    part = "an exception" if violation.part == "raises" else violation.part
    place = violation.elsewhere
    return f"{part}, in {place} too" if place else f"{part}, there alone"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."


def _origin(error: BaseException) -> str:
    return f"{type(error).__name__} raised at {blame.place(error)}"


def _left_to_c7(prop: Property, probe: Probe, case: Case | None) -> bool:
    """Whether a violation says no more than that an empty mask gives NaN, which C7 asks.

    Otherwise one 0/0 would show in every property that meets an empty mask.
    """
    if case is None or prop.empty or prop.clause in ("C7", "C12"):
        return False
    return not case.build(probe.device).mask.any() and probe.divides_by_zero(case)


def explain(subject: Subject, outcome: Outcome, identifier: str, again: str) -> str:
    """The failure as people read it: statement, got, wanted, bound, minimal case, how to rerun."""
    prop = PROPERTIES[identifier]
    lines = [f"{identifier}: {prop.statement}", ""]
    violation = outcome.violation
    if violation is None:
        return "\n".join([*lines, f"{subject.name}: {outcome.reason}"])
    lines += [
        f"  {subject.name}: {violation.what}",
        f"  got     {violation.got}",
        f"  wanted  {violation.wanted}",
        f"  bound   {violation.bound}",
        f"  why     {prop.rationale}",
        f"  class   {prop.catches}",
    ]
    program = violation.program(subject.imports) or ""
    lines += ["", "minimal case, pastes and runs:", ""]
    lines += [f"    {line}".rstrip() for line in program.splitlines()]
    return "\n".join([*lines, "", f"again:  {again}"])
