"""Right implementations in other styles, which no property may blame."""

from .catalogue import VARIANTS

__all__ = ["VARIANTS"]
