"""Hypothesis, but the same seed draws the same inputs for every subject.

Of itself Hypothesis also draws the constants that stand in the modules of a project: which those
are depends on the subject and on how this suite is installed.
"""

from __future__ import annotations

from typing import Any

from hypothesis.internal.conjecture import providers
from hypothesis.internal.conjecture.choice import choice_permitted

BACKEND = "wavemae"


class _AlikeForAll(providers.HypothesisProvider):
    """Draws constants from Hypothesis's own list alone."""

    def _maybe_draw_constant(self, choice_type: Any, constraints: Any, *, p: float = 0.05) -> Any:
        assert self._random is not None
        if self._random.random() > p:
            return None
        permitted = [
            constant
            for constant in providers.GLOBAL_CONSTANTS.set_for_type(choice_type)
            if choice_permitted(constant, constraints)
        ]
        return self._random.choice(permitted) if permitted else None


# The way in which Hypothesis lets others draw: https://hypothesis.readthedocs.io, "backends".
providers.AVAILABLE_PROVIDERS[BACKEND] = _AlikeForAll
