"""C3 beyond the plain call: bad input is refused in every situation, and leaves nothing behind."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import ambient
from .arguments import (
    DEVICES,
    LAYOUTS,
    MASK_DTYPES,
    NAMES,
    NON_TENSORS,
    REDUCTION,
    SHAPES,
    STRICT,
    VALUE_DTYPES,
    Bad,
)
from .cases import Case, Inputs, Mask
from .modes import set_to
from .probe import Probe
from .registry import prop
from .strategies import CALLS
from .violation import Violation

Call = Callable[..., Any]
Context = Callable[[], AbstractContextManager[Any]]

_BASE = Case(shape=(3, 4), mask=Mask("bernoulli", 3))
_TENSORS = (VALUE_DTYPES[0], VALUE_DTYPES[10], MASK_DTYPES[0], MASK_DTYPES[6])
_SHAPES = tuple(
    b for b in SHAPES if b.make in ("good[:, :1]", "good[:1]", "good[None]", "good.t()")
)
_BAD = (*_TENSORS, *_SHAPES, *NON_TENSORS[::5], *LAYOUTS[::6], *REDUCTION[:1], *REDUCTION[9:12])


def _spoilt(
    bad: Bad, case: Case, inputs: Inputs, place: Callable[[Tensor], Tensor] = lambda t: t
) -> tuple[list[Any], dict[str, Any]]:
    """What the call is given: the three tensors and the reduction, one of them bad."""
    given = {name: place(tensor) for name, tensor in inputs._asdict().items()}
    keyword = {} if case.reduction is None else {"reduction": case.reduction}
    if bad.argument == "reduction":
        keyword = {"reduction": bad.value(given["x"])}
    else:
        given[bad.argument] = bad.value(given[bad.argument])
    return [*given.values()], keyword


def _must_refuse(bad: Bad, where: str, call: Call, probe: Probe, case: Case) -> None:
    """Raise unless `call()` raises the error that C3 wants of this bad argument."""
    probe.calls += 1
    try:
        got = call()
    except bad.error:
        return
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    wanted = bad.error if isinstance(bad.error, tuple) else (bad.error,)
    raise Violation(
        f"{where}, {bad.argument} = {bad.make} is not refused as it should be",
        got=got,
        wanted=" or ".join(e.__name__ for e in wanted),
        case=case,
    )


def _good(probe: Probe, number: int) -> tuple[Case, Inputs]:
    """A good call to spoil; function and reduction rotate."""
    function, reduction = CALLS[number % len(CALLS)]
    case = probe.fit(_BASE.but(function=function, reduction=reduction))
    inputs = probe.build(case)
    probe.note(inputs.mask)
    return case, inputs


def _in_thread(call: Call) -> Any:
    with ThreadPoolExecutor(1) as other:
        return other.submit(call).result()


_MODES: dict[str, Context | None] = {
    "under no_grad": torch.no_grad,
    "under inference_mode": torch.inference_mode,
    "under autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "with another default dtype": partial(
        set_to, torch.get_default_dtype, torch.set_default_dtype, torch.float64
    ),
    "with another default device": partial(torch.device, "meta"),
    "in another thread": None,
}


@prop(
    "C3-modes",
    fixed=True,
    statement="Bad input is refused under every mode, and in another thread, as in a plain call.",
    rationale="A check that is skipped where a path is fast, or gradients are off, is no check.",
    catches="checks only where something requires grad; a fast path in front of the checks",
    needs=STRICT,
)
def modes(probe: Probe) -> None:
    for number, ((where, context), bad) in enumerate(itertools.product(_MODES.items(), _BAD)):
        case, inputs = _good(probe, number)
        given, keyword = _spoilt(bad, case, inputs)
        call = partial(probe.function(case.function), *given, **keyword)
        with context() if context else nullcontext():
            as_made = call if context else partial(_in_thread, call)
            _must_refuse(bad, where, as_made, probe, case)


@prop(
    "C3-transforms",
    cost=9,
    fixed=True,
    statement="Bad input is refused under torch.func's vmap, grad and jvp as in a plain call.",
    rationale="Under vmap each sample is a call; a shape that broadcasts there is wrong for all.",
    catches="a transform's own path, with the checks left behind",
    needs=(*STRICT, "transforms", "gradients"),
)
def transforms(probe: Probe) -> None:
    bads = [b for b in _BAD if not (b in NON_TENSORS or b in LAYOUTS or "complex" in b.make)]
    for number, (how, bad) in enumerate(itertools.product(("vmap", "grad", "jvp"), bads)):
        if how == "jvp" and not probe.claims.forward_mode:
            continue
        case, inputs = _good(probe, number)
        spoils_x_recon = bad.argument == "x_recon" and bad in VALUE_DTYPES
        if how != "vmap" and spoils_x_recon:
            continue  # torch itself refuses to differentiate with respect to integers
        given, keyword = _spoilt(bad, case, inputs)
        loss = partial(probe.function(case.function), **keyword)
        call = {
            "vmap": lambda g=given, f=loss: torch.func.vmap(f)(*(torch.stack([t, t]) for t in g)),
            "grad": lambda g=given, f=loss: torch.func.grad(f)(*g),
            "jvp": lambda g=given, f=loss: torch.func.jvp(
                lambda a: f(a, *g[1:]), (g[0],), (torch.ones_like(g[0]),)
            ),
        }[how]
        _must_refuse(bad, f"under {how}", call, probe, case)


@prop(
    "C3-without-data",
    fixed=True,
    cost=9,
    statement="Bad meta and fake tensors are refused as others are, and another device is too.",
    rationale="Planning on meta tensors should meet the errors that training would.",
    catches="checks that are skipped, or replaced by torch's own, where there is no data",
    needs=(*STRICT, "data_independent"),
)
def without_data(probe: Probe) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    bads = [*_TENSORS, *_SHAPES, *REDUCTION[:1], *REDUCTION[9:12]]
    bads += [Bad(n, "torch.empty(good.shape, dtype=good.dtype)", ValueError, ()) for n in NAMES[1:]]
    for number, (kind, bad) in enumerate(itertools.product(("meta", "fake"), bads)):
        if bad.make.startswith("torch.empty") and kind == "fake":
            continue
        case, inputs = _good(probe, number)
        mode = FakeTensorMode(allow_non_fake_inputs=True) if kind == "fake" else nullcontext()
        with mode as fake:

            def placed(tensor: Tensor, fake: Any = fake) -> Tensor:
                placed: Tensor = tensor.to("meta") if fake is None else fake.from_tensor(tensor)
                return placed

            given, keyword = _spoilt(bad, case, inputs, placed)
            call = partial(probe.function(case.function), *given, **keyword)
            _must_refuse(bad, f"with {kind} tensors", call, probe, case)


@prop(
    "C3-nothing-left",
    fixed=True,
    statement="A refused call leaves inputs and globals as they were.",
    rationale="Whoever catches the error goes on with the same tensors, in the same process.",
    catches="a mode or a default that is switched before the checks and not put back",
    needs=STRICT,
)
def nothing_left(probe: Probe) -> None:
    before: dict[str, Any] = {}
    for number, bad in enumerate((*_BAD, *DEVICES)):
        case, inputs = _good(probe, number)
        given, keyword = _spoilt(bad, case, inputs)
        copies = [t.clone() for t in inputs]
        versions = [t._version for t in inputs]
        before = before or ambient.snapshot()
        probe.calls += 1
        with suppress(Exception):
            probe.function(case.function)(*given, **keyword)
        changed = ambient.differences(before, ambient.snapshot())
        for name, tensor, copy, version in zip(NAMES, inputs, copies, versions, strict=True):
            if tensor._version != version or not torch.equal(tensor, copy):
                changed.append(name)
        if changed:
            raise Violation(
                f"the call refused for {bad.argument} = {bad.make} left something changed",
                got="; ".join(changed),
                wanted="as before",
                case=case,
            )
