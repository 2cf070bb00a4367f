"""The subject in a Python of its own: without a test runner, from its first call on; under -O."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ..inputs.bad import FEW, LAYOUTS, NON_TENSORS, REDUCTION, SHAPES
from ..inputs.effort import PROFILES
from .bad_calls import bad_call, errors
from .everywhere import refuses
from .probe import Probe
from .program import refusing, shown
from .refusals import good_call, spoilt
from .situation import Situation, sweep
from .violation import SuiteError, Violation

_TIME = 120.0  # seconds for another Python
_PROGRAM = """
import json, sys
sys.path[:] = {path!r}
from wavemae.properties.judge.apart import {question}
from wavemae.properties.judge.probe import Probe
from wavemae.properties.subject import load_subject
print("answer:", json.dumps({question}(Probe(load_subject({target!r})))))
"""
_TAKEN = (*FEW, *SHAPES, *REDUCTION, *LAYOUTS[::4], *NON_TENSORS[::4])
_SMALL = Situation("apart", array="small", large=False, simplify=False)


def right_apart(probe: Probe) -> None:
    """Raise what a Python finds in which nothing but torch and the subject was there before."""
    found: dict[str, Any] | None = _answer(probe, "first_violation")
    probe.selected = True
    if found is None:
        return
    violation = Violation(
        f"in a process of its own, {found['what']}",
        got=found["got"],
        wanted=found["wanted"],
        bound=found["bound"],
        part=found["part"],
        script=found["program"],
    )
    try:
        sweep(_SMALL, probe, PROFILES["default"])
    except Violation:
        violation.elsewhere = True
    raise violation


def refused_when_optimised(probe: Probe) -> None:
    """Raise if another Python, told to drop asserts, takes what this one refuses."""
    plain = taken(probe)
    more = [told for told in _answer(probe, "taken", "-O") if told not in plain]
    if more:
        raise Violation(
            f"under `python -O` {len(more)} bad calls are taken, {more[0]} among them",
            got="no error",
            wanted="the errors of a plain call",
            part="C3",
            script=_without_asserts(probe, more[0]),
        )


def _without_asserts(probe: Probe, told: str) -> str:
    """The program: it starts another Python for the call, which drops asserts there alone."""
    told_of = {f"{bad.argument} = {bad.make}": n for n, bad in enumerate(_TAKEN)}
    bad = _TAKEN[told_of[told]]
    case, _ = good_call(probe, told_of[told])
    lines, call = bad_call(bad, case)
    refusal = refusing(call, errors(bad), f"under `python -O` {told}")
    inner = shown(case, probe.subject.imports, [*lines, *refusal])
    return "\n".join(
        [
            "import subprocess",
            "import sys",
            "",
            f"PROGRAM = {inner!r}",
            'done = subprocess.run([sys.executable, "-O", "-c", PROGRAM], stderr=subprocess.PIPE)',
            "if done.returncode:",
            "    raise AssertionError(done.stderr.decode())",
        ]
    )


def _answer(probe: Probe, question: str, *options: str) -> Any:
    """What a function of this module finds of the subject in another Python."""
    program = _PROGRAM.format(path=sys.path, target=probe.subject.target, question=question)
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        capture_output=True,
        text=True,
        timeout=_TIME,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("answer: ")]
    if done.returncode or not lines:
        raise SuiteError(
            f"{probe.subject.target} could not be tried in a process of its own: "
            f"{done.stderr.strip()[-300:]}"
        )
    probe.calls += 1
    return json.loads(lines[-1].removeprefix("answer: "))


def first_violation(probe: Probe) -> dict[str, Any] | None:
    """The first violation in this Python, and None where there is none."""
    try:
        sweep(_SMALL, probe, PROFILES["default"])
    except Violation as error:
        return {
            "what": error.what,
            "got": error.got,
            "wanted": error.wanted,
            "bound": error.bound,
            "part": error.part,
            "program": error.program(probe.subject.imports),
        }
    return None


def taken(probe: Probe) -> list[str]:
    """The bad calls that are not refused as they should be, in words."""
    found = []
    for number, bad in enumerate(_TAKEN):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        probe.calls += 1
        if not refuses(bad, probe.function(case.function), given, keyword):
            found.append(f"{bad.argument} = {bad.make}")
    return found
