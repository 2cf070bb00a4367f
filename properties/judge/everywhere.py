"""Is a bad call refused in other situations as it is in a plain one?"""

from __future__ import annotations

import contextlib
import zlib
from functools import partial
from typing import Any

import torch

from ..inputs import text
from ..inputs.bad import (
    DEVICES,
    FEW,
    LAYOUTS,
    MASK_DTYPES,
    NON_TENSORS,
    REDUCTION,
    SHAPES,
    VALUE_DTYPES,
    Bad,
)
from ..inputs.cases import Case
from ..inputs.source import Source
from . import ambient
from .acts import Call
from .bad_calls import bad_call, errors, names
from .probe import Probe
from .program import itself, refusing, shown
from .refusals import good_call, spoilt
from .situation import Situation
from .violation import Violation

_OTHERS = tuple(
    bad
    for bad in (*VALUE_DTYPES, *MASK_DTYPES, *SHAPES, *LAYOUTS, *NON_TENSORS, *REDUCTION)
    if bad not in FEW
)


def refused_there(probe: Probe, found: Situation, quick: bool = False) -> None:
    """Raise unless the bad calls that a plain call refuses are refused in a situation too.

    A few bad calls are tried everywhere, or if it is to be `quick` half of them, and a share of all
    others; which ones, the situation decides. A slow one is to be `quick` with half of all those.
    """
    own = zlib.crc32(found.id.encode())
    halves, shares = (2, 80) if quick else (1, 8)
    tried = [*enumerate((*FEW[own % halves :: halves], *_OTHERS[own % shares :: shares]))]
    for number, bad in tried[:: 2 if quick and found.slow else 1]:
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        function = probe.function(case.function)
        if not refuses(bad, function, given, keyword):
            continue  # for the properties of plain calls
        entered = False
        changed: list[str] = []
        moved: list[str] = []

        def watched(*arguments: Any, function: Call = function, **named: Any) -> Any:
            nonlocal entered, changed, moved
            entered = True
            if torch.compiler.is_compiling():
                return function(*arguments, **named)
            before = ambient.quick_snapshot()
            try:
                return function(*arguments, **named)
            finally:
                after = ambient.quick_snapshot()
                changed = ambient.differences(before, after)
                moved = [name for name in before if before[name] != after[name]]

        call = found.wrap(watched)
        probe.calls += 1
        with found.around():
            try:
                got: Any = call(*given, **keyword)
            except Exception as error:
                if isinstance(error, bad.error) or not entered:
                    got = None  # refused, by the function or by what stands around it
                else:
                    got = f"{type(error).__name__}: {error}"
            else:
                got = got if entered else None
        where = f"in the situation of {found.id}, {bad.argument} = {bad.make}"
        if got is not None:
            raise Violation(
                f"{where} is not refused as in a plain call",
                got=got,
                wanted=names(bad),
                case=case,
                part="C3",
                script=partial(_there, probe, bad, case, found, None),
            )
        if changed:
            raise Violation(
                f"{where} is refused, and leaves globals changed",
                got="; ".join(changed),
                wanted="as before",
                case=case,
                part="C3",
                script=partial(_there, probe, bad, case, found, moved[0]),
            )


def _there(probe: Probe, bad: Bad, case: Case, found: Situation, watched: str | None) -> str:
    """The program: the bad call in the situation, unless that refuses it before the function."""
    source = Source()
    lines, call = bad_call(bad, case)
    read = ambient.reading(watched, source) if watched else "None"
    lines += ["entered, before, after = False, None, None", "", "def watched(*arguments, **named):"]
    lines += ["    global entered, before, after", f"    entered, before = True, {read}"]
    lines += ["    try:", f"        return {case.function}(*arguments, **named)", "    finally:"]
    lines += [f"        after = {read}", ""]
    wrapped = "watched" if found.wrap is itself else f"{source.write(found.wrap)}(watched)"
    if found.id == "compiled":  # where nothing can be looked at
        wrapped, lines = (
            f"{source.write(found.wrap)}({case.function})",
            [*lines[:-9], "entered = True"],
        )
    wanted = "(" + ", ".join(error.__name__ for error in errors(bad)) + ",)"
    body = ["try:", f"    got = {call.replace(case.function, f'({wrapped})', 1)}"]
    body += [f"except {wanted}:", "    got = None", "except Exception as error:"]
    body += ["    got = error if entered else None"]
    if found.around is not contextlib.nullcontext:
        body = [f"with {source.enter(found.around)}:", *(f"    {line}" for line in body)]
    said = f"{bad.argument} = {bad.make} is not refused: wanted {names(bad)}, got "
    asserted = [f"assert got is None or not entered, {said!r} + repr(got)"]
    if watched:
        asserted = [f'assert before == after, f"{watched} changed: {{before}} → {{after}}"']
    return shown(case, probe.subject.imports, [*lines, *body, *asserted], source=source)


def refuses(bad: Bad, function: Call, given: list[Any], keyword: dict[str, Any]) -> bool:
    """Whether a plain call is refused with an error that C3 wants."""
    try:
        function(*given, **keyword)
    except bad.error:
        return True
    except Exception:
        return False
    return False


def refused_after_good_calls(probe: Probe) -> None:
    """Raise if what was refused at first is taken once a good call of the same kind was made."""
    tried = []
    for number, bad in enumerate((*SHAPES, *FEW, *REDUCTION, *DEVICES)):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        function = probe.function(case.function)
        if refuses(bad, function, given, keyword):
            tried.append((bad, case, inputs, function, given, keyword))
    for bad, case, inputs, function, given, keyword in tried:
        for _ in range(2):
            probe.call(case, inputs)
        if not refuses(bad, function, given, keyword):
            raise Violation(
                f"{bad.argument} = {bad.make} is refused, but no longer after a good call",
                got="no such error",
                wanted=names(bad),
                case=case,
                part="C3",
                script=partial(_after_good_calls, probe, bad, case),
            )


def _after_good_calls(probe: Probe, bad: Bad, case: Case) -> str:
    lines, call = bad_call(bad, case)
    good = f"{case.function}(x_recon, x, mask{text.given(case)})"
    with_first = f"with contextlib.suppress({', '.join(e.__name__ for e in errors(bad))}):"
    spoil = ["given = x_recon, x, mask", *lines]
    spoil += [with_first, f"    {call}", "x_recon, x, mask = given", good, good, *lines]
    refusal = refusing(call, errors(bad), f"{bad.argument} = {bad.make}, after a good call")
    source = Source()
    source.imports["import contextlib"] = None
    return shown(case, probe.subject.imports, [*spoil, *refusal], source=source)
