"""Is a bad call refused in other situations as it is in a plain one?"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from ..inputs.bad import DEVICES, FEW, LAYOUTS, NON_TENSORS, REDUCTION, SHAPES, Bad
from ..inputs.cases import Case
from . import ambient
from .answers import Call
from .probe import Probe
from .refusals import good_call, spoilt
from .situation import Situation
from .violation import SuiteError, Violation

_TIME = 120.0  # seconds for another Python


def refused_there(probe: Probe, found: Situation) -> None:
    """Raise unless the bad calls that a plain call refuses are refused in a situation too."""
    for number, bad in enumerate(FEW):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        function = probe.function(case.function)
        if not _refuses(bad, function, given, keyword):
            continue  # for the properties of plain calls
        entered = False

        def watched(*arguments: Any, function: Call = function, **named: Any) -> Any:
            nonlocal entered
            entered = True
            return function(*arguments, **named)

        call = found.wrap(watched)
        probe.calls += 1
        with found.around():
            before = ambient.quick_snapshot()
            try:
                got: Any = call(*given, **keyword)
            except Exception as error:
                if isinstance(error, bad.error) or not entered:
                    got = None  # refused, by the function or by what stands around it
                else:
                    got = f"{type(error).__name__}: {error}"
            else:
                got = got if entered else None
            changed = ambient.differences(before, ambient.quick_snapshot())
        where = f"in the situation of {found.id}, {bad.argument} = {bad.make}"
        if got is not None:
            raise Violation(
                f"{where} is not refused as in a plain call",
                got=got,
                wanted=_names(bad),
                case=case,
                part="C3",
            )
        if changed:
            raise Violation(
                f"{where} is refused, and leaves globals changed",
                got="; ".join(changed),
                wanted="as before",
                case=case,
                part="C3",
            )


def _names(bad: Bad) -> str:
    errors = bad.error if isinstance(bad.error, tuple) else (bad.error,)
    return " or ".join(error.__name__ for error in errors)


def _refuses(bad: Bad, function: Call, given: list[Any], keyword: dict[str, Any]) -> bool:
    try:
        function(*given, **keyword)
    except bad.error:
        return True
    except Exception:
        return False
    return False


def refused_after_good_calls(probe: Probe) -> None:
    """Raise if what was refused at first is taken once a good call of the same kind was made."""
    bads = (*SHAPES, *FEW, *REDUCTION, *DEVICES)
    for number, bad in enumerate(bads):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        function = probe.function(case.function)
        if not _refuses(bad, function, given, keyword):
            continue
        for _ in range(2):
            probe.call(case, inputs)
        if not _refuses(bad, function, given, keyword):
            raise Violation(
                f"{bad.argument} = {bad.make} is refused, but no longer after a good call",
                got="no such error",
                wanted=_names(bad),
                case=case,
                part="C3",
            )


_PROGRAM = """
import sys
sys.path[:] = {path!r}
from wavemae.properties.judge.everywhere import accepted
print(*accepted({target!r}), sep="\\n")
"""


def refused_when_optimised(probe: Probe) -> None:
    """Raise if another Python, told to drop asserts, takes what this one refuses."""
    plain = [_told(bad) for bad, _ in _taken(probe)]
    program = _PROGRAM.format(path=sys.path, target=probe.subject.target)
    done = subprocess.run(
        [sys.executable, "-O", "-c", program],
        capture_output=True,
        text=True,
        timeout=_TIME,
        check=False,
    )
    if done.returncode:
        raise SuiteError(f"python -O could not try {probe.subject.target}: {done.stderr[-300:]}")
    more = [line for line in done.stdout.splitlines() if line and line not in plain]
    if more:
        raise Violation(
            f"under `python -O` {len(more)} bad calls are taken, {more[0]} among them",
            got="no error",
            wanted="the errors of a plain call",
            part="C3",
        )


def accepted(target: str) -> list[str]:
    """The bad calls that a target takes in this Python."""
    from ..subject import load_subject

    probe = Probe(load_subject(target))
    return [_told(bad) for bad, _ in _taken(probe)]


def _told(bad: Bad) -> str:
    return f"{bad.argument} = {bad.make}"


def _taken(probe: Probe) -> list[tuple[Bad, Case]]:
    """Bad calls that are not refused as they should be."""
    found = []
    hard = (*LAYOUTS, *NON_TENSORS)
    for number, bad in enumerate((*FEW, *SHAPES, *REDUCTION, *hard[::4])):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        probe.calls += 1
        if not _refuses(bad, probe.function(case.function), given, keyword):
            found.append((bad, case))
    return found
