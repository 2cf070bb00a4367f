"""wavemae: masked reconstruction losses, defined once and verified by a suite anyone can run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import corpus as corpus
    from . import fused as fused
    from . import models as models
    from . import properties as properties
    from .models import Reduction, masked_mse, masked_sse

__version__ = "0.2.0"

__all__ = ["Reduction", "__version__", "masked_mse", "masked_sse"]

_MODULES = ("corpus", "fused", "models", "properties")

if not TYPE_CHECKING:  # or else a type checker would take any name

    def __getattr__(name: str) -> Any:
        # Loaded when asked for, so that the suite can judge a broken definition without importing
        # it, and that importing wavemae costs nothing.
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        if name in __all__:
            return getattr(import_module(".models", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
