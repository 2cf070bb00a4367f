"""The program that shows a finding: the very tensors, the very call in its situation, an assertion.

It exits with 1 on the loss that was judged and with 0 on a right one. How a call is made is not
written a second time: the functions of the suite that make it are printed (`inputs/source.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..inputs.cases import Case
from ..inputs.source import Source
from ..inputs.text import tensors, whole
from . import acts, ambient
from .claims import Claim

Context = Callable[[], contextlib.AbstractContextManager[Any]]


def itself(loss: Any) -> Any:
    """The slot `wrap` of a plain call."""
    return loss


@dataclass(frozen=True)
class Scene:
    """How the call of a finding was made.

    Attributes:
        case: the call; `hidden` is the one made before it, with other values outside the mask.
        wrap, around: of the situation.
        act: makes the call and takes derivatives, with `arguments` after the call and the inputs.
        device: of the inputs.
    """

    case: Case
    wrap: Any = itself
    around: Context = contextlib.nullcontext
    act: Callable[..., dict[str, Any]] = acts.value
    arguments: tuple[Any, ...] = ()
    device: str = "cpu"
    hidden: Case | None = None


def written(scene: Scene, claim: Claim | None, what: str, wanted: str, imports: str) -> str:
    """The program; without a claim, that no exception comes out is what it asserts."""
    source = Source()
    function, lines, asserted = scene.case.function, [], []
    read = ambient.reading(claim.watch, source) if claim is not None and claim.watch else ""
    if read:
        lines += _watched(function, read)
        function = "watched"
    if claim is not None:
        for each in claim.uses:
            source.define(each)
        asserted = claim.lines(what, wanted)
    text = "\n".join(asserted)
    pulled = claim is None or claim.gradients or 'found["' in text or "found.get" in text
    act = _Act(scene, source, function, text, pulled)
    lines += act.defined
    if claim is not None and claim.hidden and scene.hidden is not None:
        lines += tensors(scene.hidden, source, scene.device)
        lines += _entered(scene, source, act.lines("first"))
        lines += ["", "# The same with other values outside the mask."]
    lines += tensors(scene.case, source, scene.device)
    lines += claim.before if claim is not None else ()
    made = act.lines("found")
    lines += _entered(scene, source, made if claim is not None else _without_exception(made))
    lines += [f"seen.append((at_first, {read}))"] if read else []
    return "\n".join(whole(source, imports, [*lines, *asserted]))


class _Act:
    """The lines that make the call, and take what the assertion speaks of; nothing more."""

    def __init__(
        self, scene: Scene, source: Source, function: str, asserted: str, gradients: bool
    ) -> None:
        self.scene, self.source, self.gradients = scene, source, gradients
        simple = scene.act is acts.value or (
            scene.act is acts.reverse and "upstream" not in asserted
        )
        self.printed = "" if simple else source.define(scene.act)
        self.defined: list[str] = []
        reduction = scene.case.reduction
        given = f', reduction="{reduction}"' if reduction else ""
        self.call = f"{function}(x_recon, x, mask{given})"
        if self.printed or scene.wrap is not itself:
            wrapped = (
                function if scene.wrap is itself else f"{source.write(scene.wrap)}({function})"
            )
            if reduction is not None:
                source.imports["import functools"] = None
                wrapped = f"functools.partial({wrapped}{given})"
            self.defined = [f"call = {wrapped}"]
            self.call = "call(x_recon, x, mask)"

    def lines(self, name: str) -> list[str]:
        """The call; what it gave is called "found", or "first" where it is the first of two."""
        write = self.source.write
        if self.printed:
            arguments = "".join(f", {write(value)}" for value in self.scene.arguments)
            made = f"{name} = {self.printed}(call, (x_recon, x, mask){arguments})"
            loss = "loss" if name == "found" else "first_loss"
            return [made, f'{loss} = {name}["loss"]']
        if self.scene.act is acts.value or not self.gradients:
            return [f"{'loss' if name == 'found' else 'first_loss'} = {self.call}"]
        names, upstream = self.scene.arguments[:2]
        wrt, u = f"[{', '.join(names)}]", f"torch.full_like(loss, {write(upstream)})"
        pulled = f"torch.autograd.grad(loss, {wrt}, {u}, allow_unused=True)"
        lines = [f"loss = {self.call}", f"{name} = dict(zip({names!r}, {pulled}, strict=True))"]
        return lines if names else lines[:1]


def shown(
    case: Case | None,
    imports: str,
    lines: Sequence[str],
    *,
    uses: Iterable[Callable[..., Any]] = (),
    source: Source | None = None,
    device: str = "cpu",
    grads: bool = True,
) -> str:
    """The program of a property of its own kind: the tensors of a case, and what is done."""
    source = source or Source()
    for function in uses:
        source.define(function)
    made = [] if case is None else tensors(case, source, device, grads)
    return "\n".join(whole(source, imports, [*made, *lines]))


def refusing(call: str, errors: Iterable[type[Exception]], what: str) -> list[str]:
    """The lines that make a call which has to raise one of the errors."""
    names = [error.__name__ for error in errors]
    wanted = names[0] if len(names) == 1 else f"({', '.join(names)})"
    said = repr(f"{what}: wanted {' or '.join(names)}, got ")
    return [
        "try:",
        f"    got = {call}",
        f"except {wanted}:",
        "    pass",
        "except Exception as error:",
        f'    raise AssertionError({said} + f"{{type(error).__name__}}: {{error}}") from error',
        "else:",
        f"    raise AssertionError({said} + repr(got))",
    ]


def _entered(scene: Scene, source: Source, lines: list[str]) -> list[str]:
    if scene.around is contextlib.nullcontext:
        return lines
    return [f"with {source.enter(scene.around)}:", *(f"    {line}" for line in lines)]


def _without_exception(made: list[str]) -> list[str]:
    said = 'raise AssertionError(f"{type(error).__name__} came out: {error}") from error'
    return [
        "try:",
        *(f"    {line}" for line in made),
        "except BaseException as error:",
        f"    {said}",
    ]


def _watched(function: str, read: str) -> list[str]:
    """A global is looked at around every call, since what stands around a call may put it back."""
    return [
        "seen = []",
        "",
        "def watched(*arguments, **named):",
        f"    before = {read}",
        "    try:",
        f"        return {function}(*arguments, **named)",
        "    finally:",
        f"        seen.append((before, {read}))",
        "",
        f"at_first = {read}",
    ]
