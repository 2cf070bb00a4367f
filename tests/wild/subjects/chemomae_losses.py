"""chemomae: `masked_sse` and `masked_mse`, which have this very interface. No adapter."""

from __future__ import annotations

from chemomae.models.losses import masked_mse, masked_sse
from wavemae.properties import Subject

PACKAGE = "chemomae"
CALLS = "chemomae.models.losses"
MASK = "as it is"
NOT_CLAIMED: dict[str, str] = {}

_FINITE = 'docstring: "Supply finite inputs over the full spectrum"'

SUBJECT = Subject(
    "chemomae",
    masked_sse,
    masked_mse,
    expected_failures={
        "C12-empty-trains": 'docstring: "The empty `mean` fallback creates a constant Tensor '
        'without a gradient connection"',
        "C12-excluded-gradient": _FINITE,
        "C12-excluded-second-order": _FINITE,
        "C12-excluded-sizes": _FINITE,
        "C12-excluded-transforms": _FINITE,
    },
    imports="from chemomae.models.losses import masked_mse, masked_sse",
)
