"""Does a result depend on nothing that happened before, and stay as it is afterwards?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from .bits import same_bits
from .probe import Probe
from .violation import Violation


def _move(tensor: Tensor) -> None:
    """Give a tensor other memory, with other values in it."""
    new = tensor.clone() + 1
    tensor.set_(new.untyped_storage(), new.storage_offset(), new.shape, new.stride())


def right_whatever_happened(probe: Probe, case: Case) -> None:
    """Raise unless a call is right after its tensors were changed, and other calls were made."""
    case = probe.without_gradients(case)
    inputs = probe.build(case.but(grads=()))
    probe.note(inputs.mask)
    first = probe.call(case, inputs)
    kept = first.clone()
    probe.right_value(first, case, inputs)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("x_recon was changed in place", lambda: inputs.x_recon.neg_()),
        ("x was changed in place", lambda: inputs.x.mul_(-2)),
        ("the mask was inverted in place", lambda: inputs.mask.logical_not_()),
        ("x_recon was changed through .data", lambda: inputs.x_recon.data.neg_()),
        ("the mask was inverted through .data", lambda: inputs.mask.data.logical_not_()),
        ("the mask was cleared in place", lambda: inputs.mask.fill_(False)),
        ("the mask was filled in place", lambda: inputs.mask.fill_(True)),
        ("x_recon got new memory", lambda: _move(inputs.x_recon)),
        ("a call was refused", lambda: _refused_calls(probe, case, inputs)),
    ]
    for what, change in steps:
        change()
        # Another shape in between, so that a scratch of the wrong size would be seen.
        other = case.but(
            grads=(),
            shape=(case.shape[1] + 1, 2),
            mask=Mask("full"),
            x_recon=Operand(case.x_recon.dtype, Lattice(3)),
            x=Operand(case.x.dtype, Lattice(4)),
        )
        other_loss, other_inputs = probe.loss(other)
        probe.right_value(other_loss, other, other_inputs)
        try:
            later = probe.call(case.but(grads=()), inputs)
            probe.right_value(later, case, inputs)
        except Violation as violation:
            violation.what = f"after {what}, with the same tensors: {violation.what}"
            violation.script = _history_script(case, probe, what)
            raise
    if not same_bits(first, kept):
        raise Violation("a later call changed an earlier result", got=first, wanted=kept)
    probe.case = case
    if case.grads:
        # The tensors of a new build may lie where the old ones lay: nothing may be remembered.
        for salt in (1, 2, 3):
            fresh = case.but(x_recon__values=Lattice(salt), x__values=Lattice(salt + 9))
            fresh = fresh.but(mask=Mask("bernoulli", salt), upstream=float(salt))
            loss, new, found = probe.gradients(fresh)
            probe.right_value(loss, fresh, new)
            probe.right_gradients(found, fresh, new)


def _refused_calls(probe: Probe, case: Case, inputs: Inputs) -> None:
    """Calls that fail, each at another argument; whatever they raise is not asked here."""
    x_recon, x, mask = inputs
    for given in ((x_recon, x, mask.long()), (x_recon, x[:, :0], mask), (None, x, mask)):
        with suppress(Exception):
            probe.raw(case.but(grads=()), *given)
    with suppress(Exception):
        probe.function(case.function)(*inputs, reduction="none")


def _history_script(case: Case, probe: Probe, what: str) -> str:
    given = f", reduction={case.reduction!r}" if case.reduction else ""
    changes = {
        "x_recon was changed in place": "x_recon.neg_()",
        "x was changed in place": "x.mul_(-2)",
        "the mask was inverted in place": "mask.logical_not_()",
        "x_recon was changed through .data": "x_recon.data.neg_()",
        "the mask was inverted through .data": "mask.data.logical_not_()",
        "the mask was cleared in place": "mask.fill_(False)",
        "the mask was filled in place": "mask.fill_(True)",
        "x_recon got new memory": "x_recon.set_(x_recon.clone() + 1)",
        "a call was refused": "\n".join(
            [
                "try:",
                f"    {case.function}(x_recon, x, mask.long())",
                "except TypeError:",
                "    pass",
            ]
        ),
    }
    call = f"print({case.function}(x_recon, x, mask{given}))"
    lines = [case.but(grads=()).script(probe.subject.imports, call=False), call]
    for name, change in changes.items():
        lines += [change, call]
        if name == what:
            break
    return "\n".join(lines)
