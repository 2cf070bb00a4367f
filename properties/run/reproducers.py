"""The program of a finding: by itself where one call shows it, else by asking the suite again."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..inputs.cases import FUNCTIONS
from ..judge.violation import Violation
from ..subject import Claims, Subject
from . import trial

# Begins a program that needs the suite.
NOT_ALONE = "# This needs the suite:"


def program_of(
    subject: Subject,
    violation: Violation,
    identifier: str,
    profile: str = "default",
    seed: int = 0,
    device: str = "cpu",
    tried: bool = False,
) -> str:
    """A program that exits with 1 while the finding stands, and with 0 once it is mended.

    With `tried`, it is run first, and where it exits with 0, as it may where a loss remembers
    earlier calls, the suite is asked instead.
    """
    reason = "the finding takes many calls, not one"
    known = bool(subject.imports)
    if not known:
        losses = {name: getattr(subject, name) for name in FUNCTIONS}
        subject = dataclasses.replace(subject, imports=importing(losses))
    alone = None
    try:
        alone = violation.program(subject.imports)
    except Exception as error:  # a finding must not be lost for want of its program
        words = " ".join(str(error).split())
        reason = f"no program could be written ({type(error).__name__}: {words})"
    if alone is not None:
        if not (tried and known) or trial.exit_code(alone) != 0:
            return alone
        reason = "the call is right where it is the first, so the finding takes those before it"
    return asking_again(subject, identifier, profile, seed, device, reason)


def importing(functions: Mapping[str, Callable[..., Any] | None]) -> str:
    """The lines that bring the functions into a program, or say that they are of this session."""
    lines = []
    for known in FUNCTIONS:
        function = functions[known]
        if function is None:
            continue
        module, own = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
        importable = own.isidentifier() and module not in ("__main__", "builtins", "")
        if importable and getattr(sys.modules.get(module), own, None) is function:
            lines.append(f"from {module} import {own}" + ("" if own == known else f" as {known}"))
        elif own.isidentifier():
            lines += [] if own == known else [f"{known} = {own}"]
            lines.append(f"# {own} is the function of this session")
        else:
            lines.append(f"# {known} is the function of this session")
    return "\n".join(lines)


def asking_again(
    subject: Subject, identifier: str, profile: str, seed: int, device: str, reason: str
) -> str:
    """The program that has the suite ask for the one property, and says why it does."""
    names = ["check_loss"]
    given = [f"{name}={name}" for name in subject.functions]
    if subject.claims != Claims():
        names.append("Claims")
        given.append(f"claims={_changed(subject.claims)}")
    given += [f"clauses=[{identifier!r}]", f"profile={profile!r}"]
    given += [f"seed={seed}"] if seed else []
    given += [] if device == "cpu" else [f"device={device!r}"]
    return "\n".join(
        [
            f"{NOT_ALONE} {reason}.",
            f"from wavemae.properties import {', '.join(sorted(names))}",
            *subject.imports.splitlines(),
            "",
            "check_loss(",
            *(f"    {argument}," for argument in [*given, 'on_fail="raise"']),
            ")",
        ]
    )


def _changed(claims: Claims) -> str:
    """The expression for claims: what differs from the contract."""
    fields = dataclasses.fields(claims)
    changed = {f.name: getattr(claims, f.name) for f in fields}
    changed = {name: v for name, v in changed.items() if v != getattr(Claims(), name)}
    return f"Claims({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
