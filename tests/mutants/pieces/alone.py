"""Mutants that lie in a file of their own, which another Python can load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wavemae.properties import load_subject

_FOLDER = Path(__file__).parents[1] / "alone"


def alone(name: str) -> str:
    """The file of a mutant, as a target."""
    return str(_FOLDER / f"{name}.py")


def functions_of(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Its masked_sse and masked_mse."""
    subject = load_subject(alone(name))
    assert subject.masked_sse is not None
    assert subject.masked_mse is not None
    return subject.masked_sse, subject.masked_mse
