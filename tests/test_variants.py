"""No right implementation is blamed: `--seeds N` tries each under N seeds."""

from __future__ import annotations

import pytest
from wavemae.properties import PROPERTIES, Subject, conduct

from wavemae.models.losses import masked_mse, masked_sse

from .variants import VARIANTS

RIGHT = {"the definition": (masked_sse, masked_mse), **VARIANTS}


@pytest.mark.parametrize("name", RIGHT)
def test_variant_is_not_blamed(name: str, seed: int) -> None:
    """Every property passes, in the quick profile."""
    subject = Subject(name, *RIGHT[name])
    blamed = {}
    for identifier in PROPERTIES:
        outcome = conduct(subject, identifier, "quick", seed)
        if outcome.state != "pass":
            blamed[identifier] = outcome.reason
    assert blamed == {}
