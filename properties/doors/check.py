"""Door 3: one call in a notebook or a script, without pytest."""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ..clauses.registry import PROPERTIES
from ..judge.violation import SuiteError
from ..run import stopping
from ..run.engine import Outcome, conduct, effort, explain, validate
from ..run.reproducers import importing
from ..subject import Claims, Subject
from .report import BAD_STATES, Cell, Table


class ContractBroken(AssertionError):
    """A loss does not keep the contract; `checked` is the whole result."""

    def __init__(self, checked: Checked) -> None:
        super().__init__(str(checked))
        self.checked = checked


@dataclass(frozen=True)
class Checked:
    """What `check_loss` found. True where nothing is violated and everything could be judged.

    Attributes:
        subject: what was judged.
        outcomes: by property, its state, the reason, and the violation if there is one.
        explanations: by property that went wrong, what must hold, what came, and a program.
        table: as the command prints it.
    """

    subject: Subject
    outcomes: Mapping[str, Outcome]
    explanations: Mapping[str, str]
    table: Table = field(repr=False)

    def __bool__(self) -> bool:
        return self.table.exit_code() == 0

    @property
    def violated(self) -> list[str]:
        """The clauses that are violated."""
        return self.table.violated(self.subject.name)

    @property
    def programs(self) -> dict[str, str]:
        """By property that fails, a program that shows it."""
        return {
            identifier: outcome.violation.program(self.subject.imports) or ""
            for identifier, outcome in self.outcomes.items()
            if outcome.violation is not None
        }

    def __str__(self) -> str:
        """What went wrong, a line for each property, the first of them whole; then the verdict."""
        cells = self._went_wrong()
        lines = []
        if cells:
            lines += [self.explanations[cells[0].identifier], ""]
        lines += [f"{cell.state:<6}{cell.identifier}: {_line(cell.reason)}" for cell in cells]
        also = [cell.identifier for cell in self._cells() if cell.state == "also"]
        lines += [f"also  {', '.join(also)}"] if also else []
        return "\n".join([*lines, *([""] if lines else []), self.table.verdict(self.subject.name)])

    def _repr_html_(self) -> str:
        """The same for a notebook: a table whose rows open."""
        verdict = html.escape(self.table.verdict(self.subject.name))
        rows = []
        for cell in self._went_wrong():
            words = html.escape(f"{cell.state} {cell.identifier}: {cell.reason}")
            text = html.escape(self.explanations[cell.identifier])
            rows.append(f"<details><summary>{words}</summary><pre>{text}</pre></details>")
        return f"<div><p><b>{verdict}</b></p>{''.join(rows)}</div>"

    def _cells(self) -> list[Cell]:
        return list(self.table.cells[self.subject.name].values())

    def _went_wrong(self) -> list[Cell]:
        return [cell for cell in self._cells() if cell.state in BAD_STATES]


def check_loss(
    masked_mse: Callable[..., Any] | None = None,
    masked_sse: Callable[..., Any] | None = None,
    *,
    claims: Claims | None = None,
    expected_failures: Mapping[str, str] | None = None,
    clauses: Collection[str] = (),
    profile: str = "default",
    seed: int = 0,
    device: str = "cpu",
    on_fail: Literal["return", "raise"] = "return",
    name: str = "loss",
) -> Checked:
    """Judge a loss by all properties, in this process, as the command does in others.

    Args:
        masked_mse: the function; one of the two is enough.
        masked_sse: the other one.
        claims: what it promises; everything, unless told otherwise.
        expected_failures: property id to reason, as of a `Subject`.
        clauses: those to ask, such as "C8", or ids of properties; all of them if none is given.
        profile: "quick", "default" or "deep".
        seed: another seed draws other inputs.
        device: where the inputs are built, "cpu" or "cuda".
        on_fail: "return" the result, whatever it is, or "raise" `ContractBroken` with it.
        name: as the verdict shows it.

    Raises:
        ContractBroken: with `on_fail="raise"`, where the result is not true; an AssertionError.
        ValueError: no function was given, or something is given that there is not.
        SuiteError: the profile, or the id of an expected failure, is unknown.

    A loss that crashes or hangs takes this process with it, and with `clauses` one can ask less:
    the command runs each property in a process that may end.
    """
    if on_fail not in ("return", "raise"):
        raise ValueError(f'on_fail must be "return" or "raise", got {on_fail!r}')
    subject = Subject(
        name,
        masked_sse,
        masked_mse,
        claims=claims or Claims(),
        expected_failures=dict(expected_failures or {}),
        imports=importing({"masked_sse": masked_sse, "masked_mse": masked_mse}),
    )
    effort(profile)
    validate(subject)
    settings = {"torch": torch.__version__, "device": device, "profile": profile, "seed": seed}
    table = Table([name], settings, of=len(PROPERTIES))
    outcomes: dict[str, Outcome] = {}
    explanations: dict[str, str] = {}
    given = "".join(f", {key}={key}" for key in subject.functions)
    with stopping.heeded():
        for identifier in _chosen(clauses):
            again = f"check_loss({given[2:]}, clauses=[{identifier!r}], profile={profile!r}"
            again += f", seed={seed})"
            try:
                outcome = conduct(subject, identifier, profile, seed, device)
            except SuiteError as error:
                outcome = Outcome("error", str(error))
            outcomes[identifier] = outcome
            if outcome.state in BAD_STATES:
                explanations[identifier] = explain(subject, outcome, identifier, again)
            found = outcome.violation
            table.add(
                name,
                Cell(
                    identifier,
                    outcome.state,
                    outcome.reason,
                    outcome.calls,
                    outcome.examples,
                    part=found.part if found else "",
                    elsewhere=found is not None and bool(found.elsewhere),
                ),
            )
    table.settle()
    checked = Checked(subject, outcomes, explanations, table)
    if on_fail == "raise" and not checked:
        raise ContractBroken(checked)
    return checked


def _chosen(clauses: Collection[str]) -> list[str]:
    """The properties of these clauses, and those that are named."""
    if isinstance(clauses, str):
        clauses = [clauses]
    known = {prop.clause for prop in PROPERTIES.values()} | {*PROPERTIES}
    for wanted in clauses:
        if wanted not in known:
            raise ValueError(
                f"clauses must be C1 to C20 or ids of properties, got {wanted!r}; "
                "`python -m wavemae.properties --list` lists them"
            )
    return [
        identifier
        for identifier, prop in PROPERTIES.items()
        if not clauses or identifier in clauses or prop.clause in clauses
    ]


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:197] + "..."
