"""The property suite: the masked-loss contract as checks that run against any implementation.

From the command line, `python -m wavemae.properties TARGET`; in a test file of your own, the
decorator `parametrize_with_properties`. The suite knows no implementation: a `Subject` names one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases import Case, Constant, Lattice, Mask, Operand, Palette, Spike, Tree
    from .decorator import parametrize_with_properties
    from .engine import PROPERTIES, Outcome, SuiteError, conduct
    from .registry import Property
    from .subject import Claims, Subject, TargetError, load_subject
    from .violation import Violation

__all__ = [
    "PROPERTIES",
    "Case",
    "Claims",
    "Constant",
    "Lattice",
    "Mask",
    "Operand",
    "Outcome",
    "Palette",
    "Property",
    "Spike",
    "Subject",
    "SuiteError",
    "TargetError",
    "Tree",
    "Violation",
    "conduct",
    "load_subject",
    "parametrize_with_properties",
]

_MODULES = {
    "cases": ("Case", "Constant", "Lattice", "Mask", "Operand", "Palette", "Spike", "Tree"),
    "decorator": ("parametrize_with_properties",),
    "engine": ("PROPERTIES", "Outcome", "SuiteError", "conduct"),
    "registry": ("Property",),
    "subject": ("Claims", "Subject", "TargetError", "load_subject"),
    "violation": ("Violation",),
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the command's own process hands out work and needs no torch.
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
