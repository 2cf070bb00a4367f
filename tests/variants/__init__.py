"""Right implementations in other styles, which no property may blame."""

from .catalogue import VARIANTS
from .compiled import COMPILED

__all__ = ["COMPILED", "VARIANTS"]
