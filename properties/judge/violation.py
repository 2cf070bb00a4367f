"""What a property raises, and the words a tired person reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from . import acts
from .claims import Claim
from .program import Scene, written


class SuiteError(Exception):
    """The suite was used wrongly, a property proved nothing, or the suite stumbled."""


class Violation(AssertionError):
    """A subject broke a property: what came, what was wanted, how far off is allowed, on what case.

    `claim` is what a program asserts that shows it, `scene` how that makes the call: a plain one of
    `case` where none is given. `script` is a whole program of a property's own. `part` is the
    clause of which a part broke, where a property asks for several, and `elsewhere` says where it
    breaks too, so that the finding is another property's: in plain calls, or in a situation.
    """

    part: str
    elsewhere: str = ""

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
        claim: Claim | None = None,
        scene: Scene | None = None,
        raises: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.got = describe(got)
        self.wanted = describe(wanted)
        self.bound = bound
        self.case = case
        self.part = part
        self.script = script() if callable(script) else script
        self.claim = claim
        self.scene = scene
        self.raises = raises or part == "raises"

    def seen_in(self, place: str) -> None:
        """Note where it is seen too; a situation, by its id, then owns it."""
        self.elsewhere = place
        clause, _, name = place.partition("-")
        if name:
            self.part = clause

    def program(self, imports: str = "") -> str | None:
        """A program that shows the violation, or None where one call does not show it."""
        if self.script is not None:
            return self.script
        scene = self.scene
        if scene is None and self.case is not None:
            scene = Scene(self.case)
            if self.case.grads and (self.raises or (self.claim and self.claim.gradients)):
                arguments = self.case.grads, self.case.upstream
                scene = Scene(self.case, act=acts.reverse, arguments=arguments)
        if scene is None or not (self.claim or self.raises):
            return None
        return written(scene, self.claim, self.what, self.wanted, imports)


class Ended(Violation):
    """What answers for a subject has ended, or hangs, or answers nonsense."""

    def program(self, imports: str = "") -> str | None:
        """The call that it has not answered, which raises the same."""
        return self.script if self.case is None else str(self.case.script(imports))


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
