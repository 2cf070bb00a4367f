"""Is a bad call refused in other situations as it is in a plain one?"""

from __future__ import annotations

import zlib
from typing import Any

import torch

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
from . import ambient
from .answers import Call
from .probe import Probe
from .refusals import good_call, spoilt
from .situation import Situation
from .violation import Violation

_OTHERS = tuple(
    bad
    for bad in (*VALUE_DTYPES, *MASK_DTYPES, *SHAPES, *LAYOUTS, *REDUCTION, *NON_TENSORS)
    if bad not in FEW
)
_SHARES = 8


def refused_there(probe: Probe, found: Situation) -> None:
    """Raise unless the bad calls that a plain call refuses are refused in a situation too.

    A few bad calls are tried everywhere, and a share of all others that the situation decides.
    """
    share = zlib.crc32(found.id.encode()) % _SHARES
    for number, bad in enumerate((*FEW, *_OTHERS[share::_SHARES])):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        function = probe.function(case.function)
        if not refuses(bad, function, given, keyword):
            continue  # for the properties of plain calls
        entered = False
        changed: list[str] = []

        def watched(*arguments: Any, function: Call = function, **named: Any) -> Any:
            nonlocal entered, changed
            entered = True
            if torch.compiler.is_compiling():
                return function(*arguments, **named)
            before = ambient.quick_snapshot()
            try:
                return function(*arguments, **named)
            finally:
                changed = ambient.differences(before, ambient.quick_snapshot())

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
            )
        if changed:
            raise Violation(
                f"{where} is refused, and leaves globals changed",
                got="; ".join(changed),
                wanted="as before",
                case=case,
                part="C3",
            )


def names(bad: Bad) -> str:
    """The errors that C3 wants, in words."""
    errors = bad.error if isinstance(bad.error, tuple) else (bad.error,)
    return " or ".join(error.__name__ for error in errors)


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
            )
