"""How much a profile spends. Imports nothing heavy: the command needs the names at once."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Effort:
    """How much a profile spends: examples drawn per property, share of each grid, largest sizes."""

    profile: str
    examples: int
    thin: int
    largest: int
    seed: int = 0

    def for_grid_of(self, size: int, share: int = 1) -> Effort:
        """The same effort for a grid of this size, thinned so that a dozen cases stay.

        All but the deep profile run one case in `share` of it.
        """
        thin = self.thin * (1 if self.profile == "deep" else share)
        return replace(self, thin=max(1, min(thin, size // 12)))

    def drawn(self, weight: float, *, alone: bool) -> int:
        """Number of examples to draw; the quick profile draws two where a grid has run before."""
        if self.profile == "quick" and not alone:
            return 2
        return max(5, round(self.examples * weight))

    def keeps(self, number: int) -> bool:
        """Whether a thin profile keeps the numbered case of a grid; the seed chooses which."""
        return self.thin == 1 or (number * 2654435761 + self.seed) // 7 % self.thin == 0


PROFILES = {
    "quick": Effort("quick", examples=5, thin=40, largest=2**16),
    "default": Effort("default", examples=60, thin=1, largest=2**20),
    "deep": Effort("deep", examples=600, thin=1, largest=2**24),
}
