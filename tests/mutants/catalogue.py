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
from wavemae.properties import Claims, Subject

from wavemae.models.losses import Reduction, _check_arguments

Loss = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """One wrong implementation: what is wrong, which clause it breaks, who must notice.

    Claims are everything, but for mistakes that only a narrower claim lets happen. `target` names
    a file where another Python has to load it.
    """

    name: str
    bug: str
    clause: str
    killed_by: tuple[str, ...]
    masked_sse: Loss
    masked_mse: Loss
    claims: Claims
    target: str = ""

    @property
    def subject(self) -> Subject:
        """As the suite is given it."""
        return Subject(self.name, self.masked_sse, self.masked_mse, self.claims, target=self.target)


EVERYTHING = Claims()
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

        _add(Mutant(loss.__name__, bug, clause, killed_by, masked_sse, masked_mse, EVERYTHING))
        return loss

    return register


def whole_mutant(
    clause: str, bug: str, *killed_by: str, claims: Claims = EVERYTHING, target: str = ""
) -> Callable[[Callable[[], tuple[Loss, Loss]]], Callable[[], tuple[Loss, Loss]]]:
    """Register a function that returns its own (masked_sse, masked_mse), checks included."""

    def register(make: Callable[[], tuple[Loss, Loss]]) -> Callable[[], tuple[Loss, Loss]]:
        _add(Mutant(make.__name__, bug, clause, killed_by, *make(), claims, target))
        return make

    return register


def _add(mutant: Mutant) -> None:
    if mutant.name in MUTANTS:
        raise ValueError(f"two mutants are called {mutant.name}")
    MUTANTS[mutant.name] = mutant
