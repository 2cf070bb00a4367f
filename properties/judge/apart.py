"""The subject in a Python of its own: without a test runner, from its first call on, under -O.

One process answers what two properties ask of a subject, where one worker runs both: each takes
seconds to import torch.
"""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

import torch

from ..inputs.bad import FEW, LAYOUTS, NON_TENSORS, REDUCTION, SHAPES
from ..inputs.effort import PROFILES
from ..subject import load_subject
from ..targets import digest
from .bad_calls import bad_call, errors
from .everywhere import refuses
from .probe import Probe
from .program import refusing, shown
from .refusals import good_call, spoilt
from .silence import import_torch
from .situation import Situation
from .sweep import sweep
from .violation import SuiteError, Violation

_TIME = 120.0  # seconds for another Python
_TOLD = re.compile("(violation|taken): ")
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from wavemae.properties.judge import apart
apart.serve({target!r}, {ready})
"""
_TAKEN = (*FEW, *SHAPES, *REDUCTION, *LAYOUTS[::4], *NON_TENSORS[::4])


def _pull_once() -> None:
    """The first backward of a process has torch import what sets warning filters."""
    given = torch.ones(1, requires_grad=True)
    torch.autograd.grad(given * 2, given, torch.ones(1))


_SMALL = Situation("apart", array="small", large=False, simplify=False, fresh=True)


def right_apart(probe: Probe) -> None:
    """Raise what a Python finds in which nothing but torch and the subject was there before."""
    found: dict[str, Any] | None = _answer(probe, "violation")
    if found is not None and found["part"] == "C16":  # or was it torch, which a call had imported?
        found = _answer(probe, "violation", ready=True)
    probe.calls += 1
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
        sweep(replace(_SMALL, fresh=False), probe, PROFILES["default"])
    except Violation:
        violation.elsewhere = True
    raise violation


def refused_when_optimised(probe: Probe) -> None:
    """Raise if another Python, told to drop asserts, takes what this one refuses."""
    plain = taken(probe)
    more = [told for told in _answer(probe, "taken") if told not in plain]
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


def _answer(probe: Probe, name: str, *, ready: bool = False) -> Any:
    """What `first_violation` or `taken` finds in another Python, which drops the target's asserts.

    With `ready`, what torch imports at first use is imported before. A call in which that Python
    ends, or hangs, is a violation.
    """
    subject = probe.subject
    digests = tuple(digest(file) for file in subject.sources())
    told, end = _asked(subject.target, digests, ready)
    if name not in told:
        kind = "a bad call" if "violation" in told else "a call"
        raise Violation(
            f"in a process of its own, {kind} did not return",
            got=end,
            wanted="an answer, or an exception",
            part="C3" if "violation" in told else "C16",
        )
    return told[name]


@functools.cache
def _asked(target: str, digests: tuple[str, ...], ready: bool) -> tuple[dict[str, Any], str]:
    """The answer for a target whose files have these digests, and how the process ended."""
    program = _PROGRAM.format(path=sys.path, target=target, ready=ready)
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME, check=False)
    except subprocess.TimeoutExpired as error:
        said, end = error.stdout or b"", f"no answer within {_TIME:g} s"
        printed = said.decode(errors="replace") if isinstance(said, bytes) else said
    else:
        printed, end = done.stdout, f"its process ended with {done.returncode}"
        if done.returncode < 0:
            end = f"its process was killed by {signal.Signals(-done.returncode).name}"
        elif done.returncode == 1 and "Traceback (most recent call last)" in done.stderr:
            raise SuiteError(
                f"{target} could not be tried in a process of its own: {done.stderr.strip()[-300:]}"
            )
    told = dict(line.split(": ", 1) for line in printed.splitlines() if _TOLD.match(line))
    return {name: json.loads(words) for name, words in told.items()}, end


def serve(target: str, ready: bool) -> None:
    """The other Python's part: a line with the violation, and one with the bad calls taken."""
    (import_torch if ready else _pull_once)()  # before caches are passed by
    SourceFileLoader.get_code = _without_cache  # type: ignore[assignment, method-assign]
    probe = Probe(load_subject(target))
    print("violation:", json.dumps(first_violation(probe)), flush=True)
    if probe.claims.strict_inputs:  # others may die of them
        print("taken:", json.dumps(taken(probe)), flush=True)


def _without_cache(loader: SourceFileLoader, name: str) -> CodeType:
    """A module's code as under `python -O`, which would compile all of torch once more."""
    path = loader.get_filename(name)
    code: CodeType = compile(loader.get_data(path), path, "exec", dont_inherit=True, optimize=1)
    return code


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
