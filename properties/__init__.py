"""The property suite: the masked-loss contract as checks that run against any implementation.

From the command line, `python -m wavemae.properties TARGET`; in a test file of your own, the
decorator `parametrize_with_properties`; in a notebook, `check_loss`. The suite knows no
implementation: a `Subject` names one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clauses.registry import Property
    from .doors.check import Checked, ContractBroken, check_loss
    from .doors.decorator import parametrize_with_properties
    from .inputs.cases import Case
    from .inputs.masks import Mask
    from .inputs.operands import Operand
    from .inputs.values import Constant, Lattice, Palette, Reals, Spike, Tree
    from .judge.violation import Violation
    from .run.engine import PROPERTIES, Outcome, SuiteError, conduct
    from .subject import Claims, Subject, TargetError, load_subject

__all__ = [
    "PROPERTIES",
    "Case",
    "Checked",
    "Claims",
    "Constant",
    "ContractBroken",
    "Lattice",
    "Mask",
    "Operand",
    "Outcome",
    "Palette",
    "Property",
    "Reals",
    "Spike",
    "Subject",
    "SuiteError",
    "TargetError",
    "Tree",
    "Violation",
    "check_loss",
    "conduct",
    "load_subject",
    "parametrize_with_properties",
]

_MODULES = {
    "clauses.registry": ("Property",),
    "doors.check": ("Checked", "ContractBroken", "check_loss"),
    "doors.decorator": ("parametrize_with_properties",),
    "inputs.cases": ("Case",),
    "inputs.masks": ("Mask",),
    "inputs.operands": ("Operand",),
    "inputs.values": ("Constant", "Lattice", "Palette", "Reals", "Spike", "Tree"),
    "judge.violation": ("Violation",),
    "run.engine": ("PROPERTIES", "Outcome", "SuiteError", "conduct"),
    "subject": ("Claims", "Subject", "TargetError", "load_subject"),
}


if not TYPE_CHECKING:  # or else a type checker would take any name

    def __getattr__(name: str) -> Any:
        # Loaded when asked for: the command's own process hands out work and needs no torch.
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
