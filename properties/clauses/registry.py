"""What a property is, and the register of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..subject import Subject

Check = Callable[..., None]
Grid = Callable[["Effort"], Iterable[Case]]


@dataclass(frozen=True)
class Property:
    """One checkable consequence of one clause.

    Attributes:
        id: public name, "C8-excluded-value"; its first part is the clause.
        statement: what must hold, in one sentence.
        rationale: why it follows from the clause, or why anyone cares.
        catches: the class of mistake it is there for.
        check: called with the probe and a case, or with the probe alone where nothing is drawn.
        cases: strategy that draws cases, if any.
        grid: cases that are always run, simplest first, if any.
        sweep: called once with the probe and the effort, before anything else; asks many cases of
            its own making, and returns how many.
        needs: claims without which it is not run.
        weight: factor on the number of drawn examples; below 1 for expensive checks.
        scaled: the check takes the effort too, and does more in a larger profile.
        unavailable: why it cannot be asked of this subject on this machine, or None; called with
            the subject and the device.
        cost: properties of a higher cost start first, so that workers end together, and one worker
            has what is alike: at 11 what is asked of another Python, which answers all of it at
            once; at 9 and 10 what imports torch's compilers (seconds).
        fixed: its inputs are the same under every seed.
        empty: the property is about empty masks, so that drawing only those is no fault.
    """

    id: str
    statement: str
    rationale: str
    catches: str
    check: Check
    cases: SearchStrategy[Case] | None = None
    grid: Grid | None = None
    sweep: Callable[..., int] | None = None
    needs: tuple[str, ...] = ()
    unavailable: Callable[..., str | None] | None = None
    weight: float = 1.0
    fixed: bool = False
    empty: bool = False
    scaled: bool = False
    cost: int = 0

    @property
    def clause(self) -> str:
        """The clause that it checks, "C8"."""
        return self.id.partition("-")[0]


# Claims that several properties need.
STRICT = ("strict_inputs",)
GRADIENTS = ("gradients",)
SECOND = ("gradients", "second_order")
FORWARD = ("gradients", "forward_mode")

PROPERTIES: dict[str, Property] = {}


def without_target(subject: Subject, device: str) -> str | None:
    """Why another Python cannot be asked about a subject, or None."""
    return (
        None if subject.target else "it was loaded by no target, so another Python cannot load it"
    )


def prop(
    identifier: str, *, statement: str, rationale: str, catches: str, **settings: Any
) -> Callable[[Check], Check]:
    """Register a check as the property `identifier`."""

    def register(check: Check) -> Check:
        if identifier in PROPERTIES:
            raise ValueError(f"two properties are called {identifier}")
        PROPERTIES[identifier] = Property(
            identifier, statement, rationale, catches, check, **settings
        )
        return check

    return register
