"""Bad calls as a program makes them, and what it asserts of their refusal."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from ..inputs import text
from ..inputs.bad import Bad
from ..inputs.cases import NAMES, Case
from ..inputs.internals import fake_mode, version
from ..inputs.source import Source
from . import ambient
from .bits import same_bits
from .probe import Probe
from .program import refusing, shown


def bad_call(bad: Bad, case: Case) -> tuple[list[str], str]:
    """The lines that put what is bad in its place, and the call."""
    if bad.argument in NAMES:
        lines = [f"good = {bad.argument}", f"{bad.argument} = {bad.make}"]
        return lines, f"{case.function}(x_recon, x, mask{text.given(case)})"
    lines = ["good = x"] if "good" in bad.make else []
    return lines, f"{case.function}(x_recon, x, mask, reduction={bad.make})"


def errors(bad: Bad) -> tuple[type[Exception], ...]:
    """Those that C3 wants."""
    return bad.error if isinstance(bad.error, tuple) else (bad.error,)


def names(bad: Bad) -> str:
    """The errors that C3 wants, in words."""
    return " or ".join(error.__name__ for error in errors(bad))


def spelled_out(message: str) -> str:
    """A message in lower case, with i64 as int64 and 3x4 as 3, 4: facts are asked, not spelling."""
    text = message.lower()
    for short, whole in (("bf", "bfloat"), ("i", "int"), ("u", "uint"), ("f", "float")):
        text = re.sub(rf"\b{short}(?=(8|16|32|64|128)\b)", whole, text)
    text = re.sub(r"\bc(?=(32|64|128)\b)", "complex", text)
    text = re.sub(r"\bb[18]\b", "bool", text)
    return re.sub(r"(?<=\d)\s*[x×]\s*(?=\d)", ", ", text)


def taken(probe: Probe, bad: Bad, case: Case) -> str:
    """The program that must see the bad call refused."""
    lines, call = bad_call(bad, case)
    refusal = refusing(call, errors(bad), f"{bad.argument} = {bad.make}")
    return shown(case, probe.subject.imports, [*lines, *refusal], device=probe.device)


def modifies(probe: Probe, bad: Bad, case: Case, name: str) -> str:
    """The program about an input, which a refused call must leave alone."""
    lines, call = bad_call(bad, case)
    lines += [f"before, writes = {name}.clone(), version({name})"]
    lines += ["with contextlib.suppress(Exception):", f"    {call}"]
    lines += [f"got = same_bits({name}, before) and version({name}) == writes"]
    lines += [f'assert got, "a call that was refused has modified {name}"']
    source = Source()
    source.imports["import contextlib"] = None
    imports, device, uses = probe.subject.imports, probe.device, (same_bits, version)
    return shown(case, imports, lines, uses=uses, source=source, device=device)


def says(probe: Probe, bad: Bad, case: Case, holds: str, what: str) -> str:
    """The program about the message of a refusal, `got`."""
    lines, call = bad_call(bad, case)
    lines += [
        "try:",
        f"    {call}",
        f"except ({', '.join(e.__name__ for e in errors(bad))},) as error:",
    ]
    lines += ["    got = str(error)", f"assert {holds}, {what + ': '!r} + got"]
    source = Source()
    source.imports["import re"] = None
    imports, uses = probe.subject.imports, (spelled_out,) if "spelled_out" in holds else ()
    return shown(case, imports, lines, uses=uses, source=source, device=probe.device)


def all_taken(probe: Probe, case: Case, make: str, everything: bool) -> str:
    """The program in which several arguments are bad in one way."""
    lines = [f"x_recon, x = [{make} for good in (x_recon, x)]"]
    lines += ["good = mask", f"mask = {make}"] if everything else []
    call = f"{case.function}(x_recon, x, mask{text.given(case)})"
    lines += refusing(call, (TypeError,), f"all of them {make}" if everything else f"both {make}")
    return shown(case, probe.subject.imports, lines, device=probe.device)


def leaves(probe: Probe, bad: Bad, case: Case, name: str) -> str:
    """The program about a part of the process's state, which a refused call must leave."""
    lines, call = bad_call(bad, case)
    source = Source()
    read = ambient.reading(name, source)
    source.imports["import contextlib"] = None
    lines += [f"before = {read}", "with contextlib.suppress(Exception):", f"    {call}"]
    lines += [f"got = {read}", f'assert got == before, f"{name}: {{before}} → {{got}}"']
    return shown(case, probe.subject.imports, lines, source=source, device=probe.device)


# Tensors without data, by kind: how each is made of a good one.
PLACED = {
    "meta": 'tensor.to("meta")',
    "fake": "mode.from_tensor(tensor)",
    "fake CUDA": 'torch.empty_like(mode.from_tensor(tensor), device="cuda:0")',
}


def placed(kind: str, mode: Any, tensor: Tensor) -> Tensor:
    """A tensor of that kind like a good one, as the program of a finding makes it."""
    found: Tensor = eval(PLACED[kind], {"torch": torch, "mode": mode, "tensor": tensor})
    return found


def placed_call(probe: Probe, bad: Bad, case: Case, kind: str) -> str:
    """The program that makes the bad call on tensors without data."""
    source = Source()
    lines, call = bad_call(bad, case)
    body = refusing(call, errors(bad), f"with {kind} tensors, {bad.argument} = {bad.make}")
    made = f"x_recon, x, mask = [{PLACED[kind]} for tensor in (x_recon, x, mask)]"
    if kind != "meta":
        source.define(fake_mode)
        inside = [made, *lines, *body]
        all_lines = ["with fake_mode() as mode:", *(f"    {line}" for line in inside)]
    else:
        all_lines = [made, *lines, *body]
    return shown(case, probe.subject.imports, all_lines, source=source)
