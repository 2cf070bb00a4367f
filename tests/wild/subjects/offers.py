"""Most losses have fewer reductions than three, and an adapter adds none."""

from __future__ import annotations


def offers(reduction: str, *offered: str) -> None:
    """Refuse a reduction that the implementation does not have."""
    if reduction not in offered:
        raise ValueError(f"it offers reduction {' and '.join(offered)}, got {reduction!r}")
