"""The subject in a Python of its own: without a test runner, from its first call on, under -O.

One process answers what two properties ask of a subject, where one worker runs both: each takes
seconds to import torch.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

import torch

from .. import ending
from ..inputs.bad import FEW, LAYOUTS, NON_TENSORS, REDUCTION, SHAPES
from ..inputs.cases import Case
from ..inputs.effort import PROFILES, Effort
from ..subject import load_subject
from ..targets import COMMAND, digest
from . import ambient
from .bad_calls import bad_call, errors
from .everywhere import refuses
from .first_call import BEGINNINGS, begins_right
from .outside import acts_outside
from .probe import Probe
from .program import refusing, shown
from .refusals import good_call, spoilt
from .situation import PLAIN, Situation
from .sweep import sweep
from .violation import SuiteError, Violation

_TIME = 240.0  # seconds for another Python
_TOLD = re.compile("(case|bad|violation|taken): ")
# What is imported stays: searching it for garbage is a quarter of this process's time.
_PROGRAM = """
import gc
import sys
gc.disable()
sys.path[:] = {path!r}
from wavemae.properties.judge import apart
gc.freeze()
gc.enable()
apart.serve({target!r}, {ready}, {thorough})
"""
_TAKEN = (*FEW, *SHAPES, *REDUCTION, *LAYOUTS[::4], *NON_TENSORS[::4])


def _pull_once() -> None:
    """The first backward of a process has torch import what sets warning filters."""
    given = torch.ones(1, requires_grad=True)
    torch.autograd.grad(given * 2, given, torch.ones(1))


_SMALL = Situation("apart", array="small", large=False, simplify=False, fresh=True)


def right_apart(probe: Probe, effort: Effort) -> None:
    """Raise what a Python finds in which nothing but torch and the subject was there before."""
    found: dict[str, Any] | None = _answer(probe, "violation", effort)
    if found is not None and found["part"] == "C16":  # or was it torch, which a call had imported?
        found = _answer(probe, "violation", effort, ready=True)
    probe.calls += 1
    probe.selected = True
    if found is None:
        return
    begun = BEGINNINGS[found["beginning"]] if "beginning" in found else None
    how = "" if begun is None else f" that begins as {begun.found.id} has it"
    imports = probe.subject.imports if begun is None else begun.imports(probe.subject.imports)
    violation = Violation(
        f"in a process of its own{how}, {found['what']}",
        got=found["got"],
        wanted=found["wanted"],
        bound=found["bound"],
        part=found["part"],
        script=(found["program"] or "").replace(found["imports"], imports) or None,
    )
    again = [] if begun is None else [(begun.found, begun.found.id)]
    for each, where in [(_SMALL, PLAIN.id), *again]:
        try:
            sweep(replace(each, fresh=False), probe, PROFILES["default"])
        except Violation:
            violation.elsewhere = where
            break
    raise violation


def refused_when_optimised(probe: Probe, effort: Effort) -> None:
    """Raise if another Python, told to drop asserts, takes what this one refuses."""
    plain = taken(probe)
    more = [number for number in _answer(probe, "taken", effort) if number not in plain]
    if more:
        words = _words(more[0])
        raise Violation(
            f"under `python -O` {len(more)} bad calls are taken, {words} among them",
            got="no error",
            wanted="the errors of a plain call",
            part="C3",
            script=_bad(probe, more[0]),
        )


def _bad(probe: Probe, number: int) -> str:
    """The program that makes a bad call, by its number, in another Python."""
    bad = _TAKEN[number]
    case, _ = good_call(probe, number)
    lines, call = bad_call(bad, case)
    refusal = refusing(call, errors(bad), f"under `python -O` {_words(number)}")
    return _optimised(shown(case, probe.subject.imports, [*lines, *refusal]))


def _optimised(program: str) -> str:
    """The program that runs this one in another Python, which drops asserts there alone."""
    return "\n".join(
        [
            "import subprocess",
            "import sys",
            "",
            f"PROGRAM = {program!r}",
            'command = [sys.executable, "-O", "-c", PROGRAM]',
            f"done = subprocess.run(command, capture_output=True, text=True, timeout={_TIME:g})",
            "if done.returncode:",
            '    raise AssertionError(f"it ended with {done.returncode}: {done.stderr}")',
        ]
    )


def _answer(probe: Probe, name: str, effort: Effort, *, ready: bool = False) -> Any:
    """What `first_violation` or `taken` finds in another Python, which drops the target's asserts.

    With `ready`, what torch imports at first use is imported before. The quick profile tries no
    process that begins in another way than with plain calls. A call in which that Python
    ends, or hangs, is a violation.
    """
    subject = probe.subject
    digests = tuple(digest(file) for file in subject.sources())
    told, end = _asked(subject.target, digests, ready, not effort.quick)
    if name in told:
        return told[name]
    if "violation" in told:
        number = told.get("bad")
        what, part = "a bad call", "C3"
        script = None if number is None else _bad(probe, number)
    else:
        case = told.get("case")
        what, part = "a call", "C16"
        script = case and _optimised(Case.from_dict(case).script(subject.imports))
    raise Violation(
        f"in a process of its own, {what} did not return",
        got=end,
        wanted="an answer, or an exception",
        part=part,
        script=script,
    )


@functools.cache
def _asked(
    target: str, digests: tuple[str, ...], ready: bool, thorough: bool
) -> tuple[dict[str, Any], str]:
    """The answer for a target whose files have these digests, and how the process ended."""
    program = _PROGRAM.format(path=sys.path, target=target, ready=ready, thorough=thorough)
    command = [sys.executable, "-c", program]
    # As many threads as here, since other workers are busy: threads that wait for a core spin.
    environ = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    try:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=_TIME, check=False
        )
    except subprocess.TimeoutExpired as error:
        said, end = error.stdout or b"", f"no answer within {_TIME:g} s"
        printed = said.decode(errors="replace") if isinstance(said, bytes) else said
    else:
        printed, end = done.stdout, f"its process ended: {ending.told(done.returncode)}"
        if done.returncode == 1 and "Traceback (most recent call last)" in done.stderr:
            raise SuiteError(
                f"{target} could not be tried in a process of its own: {done.stderr.strip()[-300:]}"
            )
    told = dict(line.split(": ", 1) for line in printed.splitlines() if _TOLD.match(line))
    return {name: json.loads(words) for name, words in told.items()}, end


def serve(target: str, ready: bool, thorough: bool) -> None:
    """The other Python's part: a line with the violation, and one with the bad calls taken.

    Lines before them say what is called next, for the case that it does not return.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the subject prints is no answer

    def tell(name: str, value: Any) -> None:
        print(f"{name}:", json.dumps(value), file=answers, flush=True)

    def at_hand(case: Case | None) -> None:
        if case is not None:
            tell("case", case.to_dict())

    def loaded() -> Probe:
        SourceFileLoader.get_code = _without_cache  # type: ignore[assignment, method-assign]
        return Probe(load_subject(target), told=at_hand)

    def told(probe: Probe, found: Situation, number: int) -> bool:
        violation = first_violation(probe, found)
        if violation is not None:
            tell("violation", {**violation, "beginning": number})
        return violation is not None

    asked = thorough and not target.startswith(COMMAND)
    right = not asked or begins_right(loaded, told)
    (ambient.import_torch if ready else _pull_once)()  # before caches are passed by
    probe = loaded()
    if right:
        tell("violation", first_violation(probe))
    if probe.claims.strict_inputs:  # others may die of them
        tell("taken", taken(probe, functools.partial(tell, "bad")))


_get_code = SourceFileLoader.get_code


def _without_cache(loader: SourceFileLoader, name: str) -> CodeType | None:
    """A module's code as under `python -O`, but torch's, whose compiler needs its asserts."""
    if name.partition(".")[0] == "torch":
        return _get_code(loader, name)
    path = loader.get_filename(name)
    code: CodeType = compile(loader.get_data(path), path, "exec", dont_inherit=True, optimize=1)
    return code


def first_violation(probe: Probe, found: Situation | None = None) -> dict[str, Any] | None:
    """The first violation in this Python, and None where there is none; a few cases if `found`."""
    try:
        if found is not None:
            sweep(found, probe, PROFILES["quick"])
        else:
            sweep(_SMALL, probe, PROFILES["default"])
            acts_outside(probe)
    except Violation as error:
        return {
            "what": error.what,
            "got": error.got,
            "wanted": error.wanted,
            "bound": error.bound,
            "part": error.part,
            "program": error.program(probe.subject.imports),
            "imports": probe.subject.imports,
        }
    return None


def taken(probe: Probe, tell: Callable[[int], None] = lambda number: None) -> list[int]:
    """The numbers of the bad calls that are not refused as they should be; each is told before."""
    found = []
    for number, bad in enumerate(_TAKEN):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        probe.calls += 1
        tell(number)
        if not refuses(bad, probe.function(case.function), given, keyword):
            found.append(number)
    return found


def _words(number: int) -> str:
    return f"{_TAKEN[number].argument} = {_TAKEN[number].make}"
