"""Wrong implementations of the masked losses, by the clause that they break."""

from . import (
    blocks,
    checks,
    execution,
    gradient,
    keeping,
    manners,
    modes,
    situations,
    sizes,
    value,
)
from .catalogue import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "blocks",
    "checks",
    "execution",
    "gradient",
    "keeping",
    "manners",
    "modes",
    "situations",
    "sizes",
    "value",
]
