"""What a property is, and the register of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis.strategies import SearchStrategy

from .cases import Case

Check = Callable[..., None]
Grid = Callable[["Effort"], Iterable[Case]]


@dataclass(frozen=True)
class Effort:
    """How much a profile spends: examples drawn per property, share of each grid, largest sizes."""

    profile: str
    examples: int
    thin: int
    largest: int
    seed: int = 0

    def for_grid_of(self, size: int) -> Effort:
        """The same effort, thinning a grid of this size to a dozen cases at the least."""
        return replace(self, thin=max(1, min(self.thin, size // 12)))

    def keeps(self, number: int) -> bool:
        """Whether a thin profile keeps the numbered case of a grid; the seed chooses which."""
        return self.thin == 1 or (number * 2654435761 + self.seed) // 7 % self.thin == 0


PROFILES = {
    "quick": Effort("quick", examples=8, thin=20, largest=2**16),
    "default": Effort("default", examples=60, thin=1, largest=2**20),
    "deep": Effort("deep", examples=600, thin=1, largest=2**24),
}


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
        needs: claims without which it is not run.
        weight: factor on the number of drawn examples; below 1 for expensive checks.
        scaled: the check takes the effort too, and does more in a larger profile.
        cost: properties of a higher cost start first, so that workers end together.
        empty: the property is about empty masks, so that drawing only those is no fault.
    """

    id: str
    statement: str
    rationale: str
    catches: str
    check: Check
    cases: SearchStrategy[Case] | None = None
    grid: Grid | None = None
    needs: tuple[str, ...] = ()
    weight: float = 1.0
    empty: bool = False
    scaled: bool = False
    cost: int = 0

    @property
    def clause(self) -> str:
        return self.id.partition("-")[0]


PROPERTIES: dict[str, Property] = {}


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
