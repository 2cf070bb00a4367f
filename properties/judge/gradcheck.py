"""What torch's finite differences say."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from ..inputs import text
from ..inputs.cases import Case, Inputs
from ..inputs.source import Source
from .probe import Probe
from .program import shown
from .violation import Violation


def numerically(probe: Probe, case: Case, check: object, **settings: bool) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)

    def loss(*values: Tensor) -> Tensor:
        given = dict(zip(case.grads, values, strict=True))
        x_recon, x = given.get("x_recon", inputs.x_recon), given.get("x", inputs.x)
        return probe.call(case, Inputs(x_recon, x, inputs.mask))

    wrt = tuple(getattr(inputs, name) for name in case.grads)
    if probe.unconnected(loss(*wrt), wrt, inputs):
        return
    try:
        check(loss, wrt, **settings)  # type: ignore[operator]  # gradcheck or gradgradcheck
    except GradcheckError as error:
        raise Violation(
            f"torch's {getattr(check, '__name__', 'gradcheck')} disagrees",
            got=" ".join(str(error).split())[:400],
            wanted="agreement",
            bound="torch's own: atol 1e-5, rtol 1e-3",
            script=partial(_program, probe, case, check, settings),
        ) from None


def _program(probe: Probe, case: Case, check: object, settings: dict[str, bool]) -> str:
    name = getattr(check, "__name__", "gradcheck")
    source = Source()
    source.imports["from torch.autograd.gradcheck import GradcheckError"] = None
    call = f"{case.function}(x_recon, x, mask{text.given(case)})"
    more = "".join(f", {key}={value}" for key, value in settings.items())
    names = ", ".join(case.grads) + ","
    lines = [f"def loss({names[:-1]}):", f"    return {call}", "", "try:"]
    lines += [f"    torch.autograd.{name}(loss, ({names}){more})"]
    lines += [
        "except GradcheckError as error:",
        f'    raise AssertionError(f"torch\'s {name}: {{error}}")',
    ]
    return shown(case, probe.subject.imports, lines, source=source, device=probe.device)
