"""Does a result depend on nothing that happened before, and stay as it is afterwards?"""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from ..inputs.cases import Case, Inputs
from ..inputs.masks import Mask
from ..inputs.values import Lattice
from ..inputs.written import lattice
from . import claims
from .acts import Call, Found
from .bits import same_bits
from .probe import Probe
from .violation import Violation


def move(tensor: Any) -> None:
    """Give a tensor other memory, with other values in it."""
    new = tensor.clone() + 1
    tensor.set_(new.untyped_storage(), new.storage_offset(), new.shape, new.stride())


def refused_calls(call: Call, x_recon: Any, x: Any, mask: Any) -> None:
    """Calls that fail, each at another argument; whatever they raise is not asked here."""
    for given in ((x_recon, x, mask.long()), (x_recon, x[:, :0], mask), (None, x, mask)):
        with contextlib.suppress(Exception):
            call(*given)
    with contextlib.suppress(Exception):
        call(x_recon, x, mask, reduction="none")


def much_happens(call: Call, inputs: Any) -> Found:
    """The same tensors after each of several changes, at once and after a call of another shape."""
    x_recon, x, mask = inputs
    first = call(*inputs)
    kept, steps = first.clone(), []
    changes = {
        "x_recon was changed in place": lambda: x_recon.neg_(),
        "x was changed in place": lambda: x.mul_(-2),
        "the mask was inverted in place": lambda: mask.logical_not_(),
        "x_recon was changed through .data": lambda: x_recon.data.neg_(),
        "the mask was inverted through .data": lambda: mask.data.logical_not_(),
        "the mask was cleared in place": lambda: mask.fill_(False),
        "the mask was filled in place": lambda: mask.fill_(True),
        "x_recon got new memory": lambda: move(x_recon),
        "a call was refused": lambda: refused_calls(call, *inputs),
    }
    rows = mask.shape[1] + 1
    for what, change in changes.items():
        change()
        # Another shape in between, so that a scratch of the wrong size would be seen.
        others = [lattice(2 * rows, n + 3).reshape(rows, 2) for n in (0, 1)]
        others = [other.to(t.dtype).to(t.device) for other, t in zip(others, inputs, strict=False)]
        others.append(torch.ones_like(others[0], dtype=torch.bool))
        for given in (inputs, others, inputs):
            loss = call(*given)
            seen = [tensor.clone() for tensor in given]
            steps.append({"what": what, "loss": loss.clone(), "inputs": seen})
    return {"loss": first, "first": kept, "steps": steps}


def right_whatever_happened(probe: Probe, case: Case) -> None:
    """Raise unless a call is right after its tensors were changed, and other calls were made."""
    case = probe.without_gradients(case)
    bare = case.but(grads=())
    empty_is_wrong = _is_wrong(probe, bare.but(mask=Mask("empty")))  # which is C7's to say
    inputs = probe.build(bare)
    probe.note(inputs.mask)
    found = probe.perform(bare, inputs, much_happens)
    scene = probe.scene
    places = [("", found["first"], bare.build(probe.device), 'found["first"]')]
    for number, step in enumerate(found["steps"]):
        what = f"after {step['what']}, with the same tensors: "
        place = f'found["steps"][{number}]["loss"]'
        places.append((what, step["loss"], Inputs(*step["inputs"]), place))
    for what, loss, given, place in places:
        if empty_is_wrong and not given.mask.any():
            continue
        try:
            probe.right_value(loss, bare, given)
        except Violation as violation:
            violation.what = what + violation.what
            violation.claim = violation.claim and claims.moved(violation.claim, "loss", place)
            violation.scene = scene
            raise
    if not same_bits(found["loss"], found["first"]):
        what, claim = (
            "a later call changed an earlier result",
            claims.same("loss", 'found["first"]'),
        )
        raise Violation(what, got=found["loss"], wanted=found["first"], claim=claim, scene=scene)
    probe.case, probe.scene = case, None
    if case.grads:
        # The tensors of a new build may lie where the old ones lay: nothing may be remembered.
        for salt in (1, 2, 3):
            fresh = case.but(x_recon__values=Lattice(salt), x__values=Lattice(salt + 9))
            fresh = fresh.but(mask=Mask("bernoulli", salt), upstream=float(salt))
            loss, new, gradients = probe.gradients(fresh)
            probe.right_value(loss, fresh, new)
            probe.right_gradients(gradients, fresh, new)


def _is_wrong(probe: Probe, case: Case) -> bool:
    """Whether a plain call on fresh tensors is wrong."""
    loss, inputs = probe.loss(case)
    try:
        probe.right_value(loss, case, inputs)
    except Violation:
        return True
    return False
