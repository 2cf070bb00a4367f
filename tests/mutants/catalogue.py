"""Wrong implementations, one small mistake each, and the properties that must notice.

A mutant differs from the definition in one respect. `@mutant` takes the arithmetic,
`loss(x_recon, x, mask, reduction)`, and puts the definition's argument checks in front of it;
`@whole_mutant` takes a function that returns the pair (masked_sse, masked_mse), for mistakes in the
signature or in the checks themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from wavemae.models.losses import Reduction, _check_arguments

Loss = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """One wrong implementation: what is wrong, which clause it breaks, who must notice."""

    name: str
    bug: str
    clause: str
    killed_by: tuple[str, ...]
    masked_sse: Loss
    masked_mse: Loss


MUTANTS: dict[str, Mutant] = {}


def mutant(clause: str, bug: str, *killed_by: str) -> Callable[[Loss], Loss]:
    """Register `loss(x_recon, x, mask, reduction)`, run behind the definition's own checks."""

    def register(loss: Loss) -> Loss:
        def masked_sse(
            x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
        ) -> Any:
            _check_arguments(x_recon, x, mask, reduction)
            return loss(x_recon, x, mask, reduction)

        def masked_mse(
            x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
        ) -> Any:
            return masked_sse(x_recon, x, mask, reduction=reduction)

        _add(loss.__name__, bug, clause, killed_by, masked_sse, masked_mse)
        return loss

    return register


def whole_mutant(
    clause: str, bug: str, *killed_by: str
) -> Callable[[Callable[[], tuple[Loss, Loss]]], Callable[[], tuple[Loss, Loss]]]:
    """Register a function that returns its own (masked_sse, masked_mse), checks included."""

    def register(make: Callable[[], tuple[Loss, Loss]]) -> Callable[[], tuple[Loss, Loss]]:
        _add(make.__name__, bug, clause, killed_by, *make())
        return make

    return register


def _add(
    name: str, bug: str, clause: str, killed_by: tuple[str, ...], sse: Loss, mse: Loss
) -> None:
    name = name.strip("_")
    if name in MUTANTS:
        raise ValueError(f"two mutants are called {name}")
    MUTANTS[name] = Mutant(name, bug, clause, killed_by, sse, mse)
