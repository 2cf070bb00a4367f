"""Wrong only in a Python of its own, so each has a file that such a Python can load."""

from __future__ import annotations

from pathlib import Path

from wavemae.properties import load_subject

from .catalogue import whole_mutant

_ALONE = Path(__file__).with_name("alone")


def _target(name: str) -> str:
    return str(_ALONE / f"{name}.py")


@whole_mutant(
    "C3",
    "the checks stand under `if __debug__:`, which `python -O` drops",
    "C3-optimised",
    target=_target("asserts"),
)
def asserts():
    subject = load_subject(_target("asserts"))
    return subject.masked_sse, subject.masked_mse


@whole_mutant(
    "C16",
    "it looks whether a test runner is imported",
    "C16-own-process",
    target=_target("sees_the_runner"),
)
def sees_the_runner():
    subject = load_subject(_target("sees_the_runner"))
    return subject.masked_sse, subject.masked_mse
