"""Wrong implementations of the masked losses, by the clause that they break."""

from . import checks, execution, gradient, keeping, manners, modes, sizes, value
from .catalogue import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "checks",
    "execution",
    "gradient",
    "keeping",
    "manners",
    "modes",
    "sizes",
    "value",
]
