"""Do calls and backwards that overlap, and writing into gradients, disturb one another?"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..inputs.cases import Case, Inputs
from .probe import Probe
from .violation import Violation


def right_after_writing(probe: Probe, case: Case) -> None:
    """Raise unless gradients are right after another one was written to."""
    loss, inputs = probe.loss(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(loss, wrt, inputs):
        return
    case = case.but(upstream=1.0)
    for name in case.grads:
        found = probe.pull(case, loss, inputs, retain_graph=True)
        with suppress(RuntimeError):  # an expanded gradient cannot be written to
            found.pop(name).zero_()
        _after("the other gradient was zeroed in place", probe, found, case, inputs)
        again = probe.pull(case, loss, inputs, retain_graph=True)
        _after("a gradient was zeroed in place", probe, again, case, inputs)
    loss.backward(retain_graph=True)
    for tensor in wrt:
        tensor.grad.zero_()
        others = {
            n: getattr(inputs, n).grad for n in case.grads if getattr(inputs, n) is not tensor
        }
        _after("one .grad was zeroed in place", probe, others, case, inputs)
        loss.backward(retain_graph=True)
        for other in wrt:
            if other is not tensor:
                other.grad.div_(2)
        everything = {name: getattr(inputs, name).grad for name in case.grads}
        _after(
            "one .grad was zeroed in place and backward ran again", probe, everything, case, inputs
        )


def _after(what: str, probe: Probe, found: dict[str, Any], case: Case, inputs: Inputs) -> None:
    try:
        probe.right_gradients(found, case, inputs)
    except Violation as violation:
        violation.what = f"after {what}, {violation.what}"
        raise
