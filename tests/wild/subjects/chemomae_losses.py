"""chemomae: `masked_sse` and `masked_mse`, which have this very interface. No adapter."""

from __future__ import annotations

import reasons
from chemomae.models.losses import masked_mse, masked_sse
from wavemae.properties import Claims, Subject

PACKAGE = "chemomae"
CALLS = "chemomae.models.losses"
MASK = "as it is"
NOT_CLAIMED = {"distributed": reasons.ONE_PROCESS}

_FINITE = 'docstring: "Supply finite inputs over the full spectrum"'

SUBJECT = Subject(
    "chemomae",
    masked_sse,
    masked_mse,
    claims=Claims(distributed=False),
    expected_failures={
        "C12-empty-trains": 'docstring: "The empty `mean` fallback creates a constant Tensor '
        'without a gradient connection"',
        "C12-excluded-gradient": _FINITE,
        "C13-second-order": _FINITE,
        "C19-grad": _FINITE,
    },
    imports="from chemomae.models.losses import masked_mse, masked_sse",
)
