"""Right implementations in other styles, which no property may blame."""

from . import distributed  # noqa: F401  # registers its variants
from .catalogue import VARIANTS
from .compiled import COMPILED
from .distributed import ONE_PROCESS

__all__ = ["COMPILED", "ONE_PROCESS", "VARIANTS"]
