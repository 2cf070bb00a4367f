"""Was a bad call refused as C3 says?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs.bad import ALIKE, BASE, DEVICES, FEW, Bad, bases
from ..inputs.cases import NAMES, Case, Inputs
from ..inputs.effort import Effort
from ..inputs.grids import CALLS
from ..inputs.internals import version
from . import ambient
from .bad_calls import all_taken, leaves, modifies, names, says, spelled_out, taken
from .bits import same_bits
from .probe import Probe
from .violation import Violation


def refused(probe: Probe, bad: Bad, case: Case, *, words: bool = False) -> None:
    """Raise unless the bad call is refused with the right error and nothing is modified.

    With `words`, judge the message instead: it must name the argument and state the facts.
    """
    inputs = probe.build(case)
    probe.note(inputs.mask)
    given: dict[str, Any] = dict(zip(NAMES, inputs, strict=True))
    if bad.argument in given:
        given[bad.argument] = bad.value(given[bad.argument])
    before = {name: (t.clone(), version(t)) for name, t in given.items() if _plain_tensor(t)}
    wanted = names(bad)
    what = f"{bad.argument} = {bad.make}"
    message = ""
    try:
        probe.calls += 1
        keyword = case.keyword
        if bad.argument == "reduction":
            keyword = {"reduction": bad.value(inputs.x)}
        got = probe.function(case.function)(*given.values(), **keyword)
    except bad.error as error:
        message = str(error)
    except Exception as error:
        if words:
            return  # another property judges the type
        raise Violation(
            f"{what} is refused with the wrong kind of error",
            got=f"{type(error).__name__}: {error}",
            wanted=wanted,
            script=partial(taken, probe, bad, case),
        ) from None
    else:
        if words:
            return
        script = partial(taken, probe, bad, case)
        raise Violation(f"{what} is accepted", got=got, wanted=wanted, script=script)
    if words:
        _informs(bad, message, probe, case)
        return
    for name, (copy, writes) in before.items():
        tensor = given[name]
        if version(tensor) != writes or not same_bits(tensor, copy):
            raise Violation(
                f"{name} was modified by a call that was refused",
                got=tensor,
                wanted=copy,
                script=partial(modifies, probe, bad, case, name),
            )


def _plain_tensor(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and value.device.type != "meta"
        and value.element_size() <= 8
        and value.dtype != torch.complex32  # which torch cannot compare
        and not value.is_quantized
        and not str(value.dtype).startswith("torch.float8")
    )


def _informs(bad: Bad, message: str, probe: Probe, case: Case) -> None:
    named = NAMES if bad.unlike else (bad.argument,)
    word = rf"(?<![A-Za-z_0-9])({'|'.join(named)})(?![A-Za-z_0-9])"
    first = re.search(word, message)
    if first is None:
        what = f"the message does not name the argument {' or '.join(named)}"
        raise Violation(
            what,
            got=message,
            wanted=f"the word {' or '.join(named)}",
            script=partial(says, probe, bad, case, f"re.search({word!r}, got)", what),
        )
    lower = spelled_out(message)
    other = first[1] != bad.argument in re.findall(word, message)
    for fact in (f"{fact}|{bad.unlike}" if other else fact for fact in bad.facts):
        if not re.search(fact, lower):
            what = "the message does not say what came"
            holds = f"re.search({fact!r}, spelled_out(got))"
            raise Violation(
                what,
                got=message,
                wanted=f"something that matches {fact!r}",
                script=partial(says, probe, bad, case, holds, what),
            )


def all_refused(
    probe: Probe, effort: Effort, table: tuple[Bad, ...], shapes: tuple[tuple[int, int], ...]
) -> None:
    for bad in table:
        for case in bases(bad.argument, effort):
            if "numpy" in bad.make or "tolist" in bad.make:
                case = case.but(grads=())
            for shape in shapes:
                refused(probe, bad, probe.fit(case.but(shape=shape)))


Call = Callable[..., Any]


def spoilt(
    bad: Bad, case: Case, inputs: Inputs, place: Callable[[Tensor], Tensor] = lambda t: t
) -> tuple[list[Any], dict[str, Any]]:
    """What the call is given: the three tensors and the reduction, one of them bad."""
    given = {name: place(tensor) for name, tensor in inputs._asdict().items()}
    keyword = case.keyword
    if bad.argument == "reduction":
        keyword = {"reduction": bad.value(given["x"])}
    else:
        given[bad.argument] = bad.value(given[bad.argument])
    return [*given.values()], keyword


def must_refuse(
    bad: Bad, where: str, call: Call, probe: Probe, case: Case, script: Callable[[], str]
) -> None:
    """Raise unless `call()` raises the error that C3 wants of this bad argument."""
    probe.calls += 1
    try:
        got = call()
    except bad.error:
        return
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    raise Violation(
        f"{where}, {bad.argument} = {bad.make} is not refused as it should be",
        got=got,
        wanted=names(bad),
        case=case,
        script=script,
    )


def good_call(probe: Probe, number: int) -> tuple[Case, Inputs]:
    """A good call to spoil; function and reduction rotate."""
    function, reduction = CALLS[number % len(CALLS)]
    case = probe.fit(BASE.but(function=function, reduction=reduction))
    inputs = probe.build(case)
    probe.note(inputs.mask)
    return case, inputs


def alike_refused(probe: Probe) -> None:
    """Raise unless x_recon and x, and then all three, wrong in the same way, are refused."""
    for make, (function, reduction) in itertools.product(ALIKE, CALLS):
        case = probe.fit(BASE.but(function=function, reduction=reduction))
        inputs = probe.build(case)
        probe.note(inputs.mask)
        bad = Bad("x_recon", make, TypeError, ())
        for everything in (False, True):
            given = [bad.value(t) for t in inputs[:2]]
            given.append(bad.value(inputs.mask) if everything else inputs.mask)
            try:
                got = probe.raw(case, *given)
            except TypeError:
                continue
            except Exception as error:
                got = f"{type(error).__name__}: {error}"
            raise Violation(
                f"x_recon and x{' and mask' if everything else ''}, each {make}, are not refused",
                got=got,
                wanted="TypeError",
                script=partial(all_taken, probe, case, make, everything),
            )


def nothing_changed(probe: Probe) -> None:
    """Raise if a refused call left inputs or globals changed."""
    before: dict[str, Any] = {}
    for number, bad in enumerate((*FEW, *DEVICES)):
        case, inputs = good_call(probe, number)
        given, keyword = spoilt(bad, case, inputs)
        copies = [t.clone() for t in inputs]
        versions = [version(t) for t in inputs]
        before = before or ambient.snapshot()
        probe.calls += 1
        with suppress(Exception):
            probe.function(case.function)(*given, **keyword)
        after = ambient.snapshot()
        changed = ambient.differences(before, after)
        moved = [name for name in before if before[name] != after[name]]
        for name, tensor, copy, writes in zip(NAMES, inputs, copies, versions, strict=True):
            if version(tensor) != writes or not torch.equal(tensor, copy):
                changed.append(name)
        if changed:
            raise Violation(
                f"the call refused for {bad.argument} = {bad.make} left something changed",
                got="; ".join(changed),
                wanted="as before",
                case=case,
                script=partial(leaves, probe, bad, case, moved[0])
                if moved
                else partial(modifies, probe, bad, case, changed[0]),
            )
