"""Wrong implementations of the masked losses, by the clause that they break."""

from . import (
    apart,
    blocks,
    checks,
    distributed,
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
    "apart",
    "blocks",
    "checks",
    "distributed",
    "execution",
    "gradient",
    "keeping",
    "manners",
    "modes",
    "situations",
    "sizes",
    "value",
]
