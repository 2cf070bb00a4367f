"""The subject that a program answers for, by what its first line says of it (docs/ports.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import targets
from ..inputs.cases import DTYPES, FUNCTIONS, REDUCTIONS
from ..judge.violation import Violation
from ..subject import Claims, Subject, TargetError
from .pipes import NoAnswer
from .port import Port, PortLoss
from .unasked import UNASKED

SAYS = (
    *("protocol", "name", "functions", "dtypes", "reductions", "gradients", "strict_inputs"),
    *("half_result", "roundoffs", "seconds", "expected_failures"),
)
_CLAIMS = ("dtypes", "reductions", "gradients", "strict_inputs", "half_result", "roundoffs")


@dataclass(frozen=True)
class PortSubject(Subject):
    """A subject whose functions are answered by a program.

    Attributes:
        port: the program.
    """

    port: Any = field(default=None, compare=False)

    def sources(self) -> list[str]:
        """The files among the words of the command."""
        return targets.files_of(self.port.command)

    def unasked(self, identifier: str) -> str | None:
        """Why the property cannot be asked of another process, or None."""
        return UNASKED.get(identifier)

    def restart(self) -> None:
        """Let a program that has ended be started again, up to three times."""
        self.port.restart()

    def ended(self) -> Violation | None:
        """How the program ended since `restart`, if it did."""
        found: Violation | None = self.port.ended
        return found


def subject_of(command: str) -> PortSubject:
    """The subject that a command answers for; the program is started, and says what it claims.

    Raises:
        TargetError: it does not start, or its first line is not that of a port.
    """
    if sys.byteorder != "little":
        raise TargetError("ports are little-endian, and this machine is not")
    fault = targets.fault(targets.COMMAND + command)
    if fault is not None:
        raise TargetError(fault)
    port = Port(command)
    try:
        said = port.program.start()
    except NoAnswer as error:
        raise TargetError(f"{command!r} is no port (docs/ports.md): {error}") from None
    try:
        return _subject(port, said, targets.COMMAND + command)
    except (TypeError, ValueError) as error:
        port.program.end()
        raise TargetError(f"the first line of {command!r} is not understood: {error}") from None


def _subject(port: Port, said: dict[str, Any], target: str) -> PortSubject:
    unknown = sorted({*said} - {*SAYS})
    if unknown:
        raise ValueError(f"it says {', '.join(unknown)}; known are {', '.join(SAYS)}")
    functions = _words(said, "functions", FUNCTIONS)
    for name in ("seconds", "roundoffs"):
        number = said.get(name, 1)
        if type(number) not in (int, float) or not number > 0:
            raise ValueError(f"{name} must be a number above 0, got {number!r}")
    for name in ("gradients", "strict_inputs"):
        if not isinstance(said.get(name, True), bool):
            raise ValueError(f"{name} must be true or false, got {said[name]!r}")
    if said.get("half_result", "float32") not in ("float32", "half"):
        raise ValueError(f'half_result must be "float32" or "half", got {said["half_result"]!r}')
    port.program.seconds = said.get("seconds", port.program.seconds)
    claimed = {name: said[name] for name in _CLAIMS if name in said}
    claimed["dtypes"] = _words(said, "dtypes", DTYPES)
    claimed["reductions"] = _words(said, "reductions", REDUCTIONS)
    port.claims = Claims(
        **claimed,
        devices=("cpu",),
        second_order=False,
        forward_mode=False,
        transforms=False,
        compile=False,
        data_independent=False,
        distributed=False,
    )
    losses = {name: PortLoss(port, name) for name in functions}
    return PortSubject(
        str(said.get("name", port.command)),
        losses.get("masked_sse"),
        losses.get("masked_mse"),
        claims=port.claims,
        expected_failures=dict(said.get("expected_failures", {})),
        imports="\n".join(
            [
                "from wavemae.properties import load_subject",
                f"port = load_subject({target!r})",
                *(f"{name} = port.{name}" for name in functions),
            ]
        ),
        target=target,
        port=port,
    )


def _words(said: dict[str, Any], name: str, known: Sequence[str]) -> tuple[str, ...]:
    """A list of words that the program may leave out."""
    given = said.get(name, known)
    if not isinstance(given, list | tuple) or not given or not {*given} <= {*known}:
        raise ValueError(f"{name} must be a list of some of {', '.join(known)}, got {given!r}")
    return tuple(given)
