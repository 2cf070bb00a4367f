"""What torch's finite differences say."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from ..inputs.cases import Case, Inputs
from .probe import Probe
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
        ) from None
