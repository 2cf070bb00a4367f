"""wavemae: masked reconstruction losses, defined once and verified by a suite anyone can run."""

from .models import Reduction, masked_mse, masked_sse

__version__ = "0.1.0"

__all__ = ["Reduction", "__version__", "masked_mse", "masked_sse"]
