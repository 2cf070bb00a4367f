"""How much a profile spends. Imports nothing heavy: the command needs the names at once."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cases import Case


@dataclass(frozen=True)
class Effort:
    """How much a profile spends: examples drawn, share of each grid, usual sizes, most cases."""

    profile: str
    examples: int
    thin: int
    largest: int
    most: int | None = None
    seed: int = 0

    @property
    def quick(self) -> bool:
        """Whether it is the quick profile's, which leaves out what costs most."""
        return self.profile == "quick"

    def for_grid_of(self, size: int, share: int = 1) -> Effort:
        """The same effort for a grid of this size, thinned so that six cases or more stay.

        All but the deep profile run one case in `share` of it.
        """
        thin = self.thin * (1 if self.profile == "deep" else share)
        return replace(self, thin=max(1, min(thin, size // 6)))

    def drawn(self, weight: float, *, alone: bool) -> int:
        """Number of examples to draw; the quick profile draws none where a grid has run before."""
        if self.profile == "quick" and not alone:
            return 0
        return max(4, round(self.examples * weight))

    def some_of(self, cases: Iterable[Case]) -> Iterable[Case]:
        """Of a grid the first case, and of `most` parts that the others are cut into one each.

        Which one is drawn: what alternates in a grid would be the same in every second case of it.
        """
        if self.most is None:
            return cases
        everything, draw = list(cases), random.Random(self.seed)
        step = max(1, math.ceil((len(everything) - 1) / self.most))
        parts = (everything[first : first + step] for first in range(1, len(everything), step))
        return [*everything[:1], *map(draw.choice, parts)]

    def keeps(self, number: int) -> bool:
        """Whether a thin profile keeps the numbered case of a grid; the seed chooses which."""
        return self.thin == 1 or (number * 2654435761 + self.seed) // 7 % self.thin == 0


PROFILES = {
    "quick": Effort("quick", examples=4, thin=80, largest=2**16, most=40),
    "default": Effort("default", examples=16, thin=3, largest=2**20),
    "deep": Effort("deep", examples=600, thin=1, largest=2**24),
}
