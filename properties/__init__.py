"""The property suite: the masked-loss contract as checks that run against any implementation.

From the command line, `python -m wavemae.properties TARGET`; in a test file of your own, the
decorator `parametrize_with_properties`. The suite knows no implementation: a `Subject` names one.
"""

from .cases import Case, Constant, Lattice, Mask, Operand, Palette, Spike
from .engine import Outcome, SuiteError, conduct
from .registry import PROPERTIES, Property
from .subject import Claims, Subject, TargetError, load_subject
from .violation import Violation

# Importing a family registers its properties, in the order of the clauses.
from . import arguments, value, gradient, manners, execution  # isort: skip  # noqa: F401
from .decorator import parametrize_with_properties

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
    "Violation",
    "conduct",
    "load_subject",
    "parametrize_with_properties",
]
