"""What a property raises, and the words a tired person reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class SuiteError(Exception):
    """The suite was used wrongly, a property proved nothing, or the suite stumbled."""


class Violation(AssertionError):
    """A subject broke a property: what came, what was wanted, how far off is allowed, on what case.

    `script` is a program that shows it; properties that judge more than a single call give their
    own. `part` is the clause of which a part broke, where a property asks for several, and
    `elsewhere` says that it breaks in plain calls too, so that the finding is another property's.
    """

    part: str
    elsewhere: bool = False

    def __init__(
        self,
        what: str,
        *,
        got: Any = None,
        wanted: Any = None,
        bound: str = "exact",
        case: Any = None,
        script: str | Callable[[], str] | None = None,
        part: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.got = describe(got)
        self.wanted = describe(wanted)
        self.bound = bound
        self.case = case
        self.part = part
        self.script = script() if callable(script) else script

    def program(self, imports: str = "") -> str | None:
        """A program that shows the violation, or None where there is no single call to show."""
        if self.script is not None or self.case is None:
            return self.script
        return str(self.case.script(imports))


class Ended(Violation):
    """What answers for a subject has ended, or hangs, or answers nonsense."""


def describe(value: Any) -> str:
    """A value in one line: a number to full precision with its dtype, a tensor with its shape."""
    if not isinstance(value, torch.Tensor):
        return value if isinstance(value, str) else repr(value)
    value = value.detach()
    try:
        if value.ndim == 0 and value.layout == torch.strided and value.device.type != "meta":
            return f"{value.item()!r} ({_dtype(value)})"
        if value.numel() <= 16 and value.layout == torch.strided:
            return f"{value.cpu().tolist()} ({_dtype(value)})"
    except Exception:  # a subject's own tensor may refuse to be read
        pass
    return f"a tensor of shape {tuple(value.shape)} ({_dtype(value)}, {value.device})"


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
