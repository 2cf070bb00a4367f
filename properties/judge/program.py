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
from .claims import Claim, with_source

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
    function = scene.case.function
    claim_lines: list[str] = []
    if claim is not None:
        with_source(source, claim)
        claim_lines = claim.lines(what, wanted)
    lines: list[str] = []
    read = ambient.reading(claim.watch, source) if claim is not None and claim.watch else ""
    if read:
        lines += _watched(function, read)
        function = "watched"
    made = scene.wrap is itself and scene.act is acts.value
    if not made:
        lines.append(f"call = {_call(scene, function, source)}")
    if claim is not None and claim.hidden and scene.hidden is not None:
        lines += tensors(scene.hidden, source, scene.device)
        lines += _entered(scene, source, [f"first = {_acted(scene, source, function)}"])
        lines += ["", "# The same with other values outside the mask."]
    lines += tensors(scene.case, source, scene.device)
    if claim is not None:
        lines += claim.before
    act = f"found = {_acted(scene, source, function)}"
    body = [act] if claim is not None else _refusing(act)
    lines += _entered(scene, source, body)
    if read:
        lines.append(f"seen.append({read})")
    lines += ['loss = found["loss"]', *claim_lines]
    return "\n".join(_flat(whole(source, imports, lines)))


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


def _call(scene: Scene, function: str, source: Source) -> str:
    wrapped = function if scene.wrap is itself else f"{source.write(scene.wrap)}({function})"
    if scene.case.reduction is None:
        return wrapped
    source.imports["import functools"] = None
    return f'functools.partial({wrapped}, reduction="{scene.case.reduction}")'


def _acted(scene: Scene, source: Source, function: str) -> str:
    if scene.wrap is itself and scene.act is acts.value:
        reduction = scene.case.reduction
        given = f', reduction="{reduction}"' if reduction else ""
        return f'{{"loss": {function}(x_recon, x, mask{given})}}'
    given = "".join(f", {source.write(value)}" for value in scene.arguments)
    return f"{source.define(scene.act)}(call, (x_recon, x, mask){given})"


def _entered(scene: Scene, source: Source, lines: list[str]) -> list[str]:
    if scene.around is contextlib.nullcontext:
        return lines
    return [f"with {source.enter(scene.around)}:", *(f"    {line}" for line in lines)]


def _refusing(act: str) -> list[str]:
    said = 'raise AssertionError(f"{type(error).__name__} came out: {error}") from error'
    return ["try:", f"    {act}", "except BaseException as error:", f"    {said}"]


def _watched(function: str, read: str) -> list[str]:
    """A global is looked at around every call, since what stands around a call may put it back."""
    return [
        "seen = []",
        "",
        "def watched(*arguments, **named):",
        f"    before = {read}",
        f"    result = {function}(*arguments, **named)",
        f"    seen.extend([before, {read}])",
        "    return result",
        "",
        f"seen.append({read})",
    ]


def _flat(lines: list[str]) -> list[str]:
    """What a plain call needs no name for."""
    text = "\n".join(lines)
    if text.count("found") == 2:  # it is made and taken apart
        text = text.replace('loss = found["loss"]\n', "").replace('found = {"loss": ', "loss = ")
        lines = [
            line.removesuffix("}") if line.lstrip().startswith("loss = ") else line
            for line in text.splitlines()
        ]
    return lines
