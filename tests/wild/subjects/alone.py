"""Import one module of an installed package without running what stands in its parents."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def alone(name: str) -> Any:
    """The module `name`, its code as installed, its parent packages empty.

    Some packages import everything they have, and with it dozens of dependencies that a loss of
    fifty lines never uses. What a parent's `__init__` would have done is left out here; the module
    itself, and what it imports, is the real one.
    """
    parts = name.split(".")
    for count in range(1, len(parts)):
        parent = ".".join(parts[:count])
        if parent not in sys.modules:
            spec = importlib.util.find_spec(parent)
            assert spec is not None, f"{parent} is not installed"
            stub = ModuleType(parent)
            stub.__path__ = list(spec.submodule_search_locations or [])
            stub.__spec__ = spec
            sys.modules[parent] = stub
    return importlib.import_module(name)
