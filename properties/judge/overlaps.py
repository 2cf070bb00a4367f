"""Do calls and backwards that overlap, and writing into gradients, disturb one another?"""

from __future__ import annotations

from ..inputs.cases import Case
from . import acts
from .probe import Probe
from .violation import Violation


def right_after_writing(probe: Probe, case: Case) -> None:
    """Raise unless gradients are right after another one was written to."""
    loss, inputs = probe.loss(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(loss, wrt, inputs):
        return
    probe.pull(case, loss, inputs)
    case = case.but(upstream=1.0)
    inputs = probe.build(case)
    after = probe.perform(case, inputs, acts.written_to, case.grads)["after"]
    for number, (what, found) in enumerate(after):
        try:
            with probe.found_at(f'found["after"][{number}][1]'):
                probe.right_gradients(found, case, inputs)
        except Violation as violation:
            violation.what = f"after {what}, {violation.what}"
            raise
