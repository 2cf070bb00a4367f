"""Is what torch.func's vmap, grad and jvp give right, for every slice?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from .probe import Probe


def stacked(
    case: Case, count: int, probe: Probe, poisons: tuple[float | None, ...] = (None,)
) -> tuple[list[Case], Inputs]:
    """`count` different cases of one shape, and their tensors stacked along a new dimension 0."""
    salt = case.salt
    items = [
        case.but(
            grads=(),
            x_recon=Operand(
                case.x_recon.dtype, Lattice(salt + 3 * k), outside=poisons[k % len(poisons)]
            ),
            x=Operand(case.x.dtype, Lattice(salt + 3 * k + 1)),
            mask=Mask(("bernoulli", "empty", "blocks", "one")[(k + salt) % 4], salt + k),
        )
        for k in range(count)
    ]
    built = [probe.build(item) for item in items]
    for inputs in built:
        probe.note(inputs.mask)
    return items, Inputs(*(torch.stack(column) for column in zip(*built, strict=True)))


def functional(probe: Probe, case: Case) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return probe.call(case, Inputs(x_recon, x, mask))

    return loss
