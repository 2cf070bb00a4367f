"""Programs about what a call may not do to its process: C16."""

from __future__ import annotations

from typing import Any

from ..inputs import text
from ..inputs.cases import Case
from ..inputs.source import Source
from ..inputs.text import tensors
from . import acts, ambient
from .bits import same_bits
from .listening import listening
from .probe import Probe
from .program import shown


def five_times(probe: Probe, case: Case) -> str:
    """The program: five times the same call on tensors made anew."""
    source = Source()
    source.define(same_bits)
    loss, *pulled = _called(case, source)
    given = pulled[0].removeprefix("torch.autograd.grad") if pulled else ""
    found = f"[loss, *torch.autograd.grad{given}]" if pulled else "[loss]"
    made = [*tensors(case, source, probe.device), loss, f"return {found}"]
    lines = ["def call():", *(f"    {line}" for line in made), ""]
    lines += ["first = call()", "for time in range(2, 6):", "    if time == 4:"]
    lines += ["        torch.rand(3)  # a random state that has moved on must not matter"]
    lines += ["    same = [same_bits(a, b) for a, b in zip(first, call(), strict=True)]"]
    lines += ['    assert all(same), f"call {time} differs from call 1"']
    return shown(None, probe.subject.imports, lines, source=source)


def watching(
    probe: Probe,
    case: Case,
    changed: tuple[str, Any],
    *,
    unusual: bool = False,
    refused: bool = False,
) -> str:
    """The program: what of the state of the process changed, before the call and after it.

    Or, with `refused`, after a backward that raises, since the inputs were changed.
    """
    source = Source()
    name, entry = changed
    read = ambient.reading(name, source, entry)
    called = _called(case, source, backward=not (unusual or refused))
    if refused:
        act = source.write(acts.backward_of_changed)
        called += [f"{act}(loss, (x_recon, x, mask), {case.grads!r})"]
    lines = [f"before = {read}", *called, f"got = {read}"]
    if unusual:
        source.define(ambient.make_unusual)
        with_autocast = 'with torch.autocast("cpu", dtype=torch.float16):'
        lines = ["make_unusual()", with_autocast, *(f"    {line}" for line in lines)]
    lines += [f'assert got == before, f"{ambient.place(name, entry)}: {{before}} → {{got}}"']
    return shown(case, probe.subject.imports, lines, source=source, device=probe.device)


def hearing(probe: Probe, case: Case) -> str:
    """The program: what is printed, warned and logged meanwhile."""
    source = Source()
    lines = ["with listening() as heard:"]
    lines += [f"    {line}" for line in _called(case, source)]
    lines += ["assert not any(heard.values()), heard"]
    uses, device = (listening,), probe.device
    return shown(case, probe.subject.imports, lines, uses=uses, source=source, device=device)


def _called(case: Case, source: Source, *, backward: bool = True) -> list[str]:
    lines = [f"loss = {case.function}(x_recon, x, mask{text.given(case)})"]
    if case.grads and backward:
        upstream = f"torch.full_like(loss, {source.write(case.upstream)})"
        lines += [f"torch.autograd.grad(loss, [{', '.join(case.grads)}], {upstream})"]
    return lines
