"""Is a forward-mode derivative right?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.values import Lattice
from . import oracle
from .probe import Probe


def coarsest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """The dtype with the largest unit roundoff."""
    return max((t.dtype for t in tensors), key=lambda dtype: torch.finfo(dtype).eps)


def directions(case: Case, inputs: Inputs, salt: int) -> dict[str, Tensor]:
    """A tangent for each input that the case differentiates, in its dtype."""
    return {
        name: torch.from_numpy(Lattice(salt + 31 * k).values(case.count).reshape(case.shape))
        .to(inputs.x.device)
        .to(getattr(inputs, name).dtype)
        for k, name in enumerate(case.grads)
    }


def along(probe: Probe, case: Case, inputs: Inputs) -> Callable[..., Tensor]:
    """The loss as a function of the differentiated inputs alone."""

    def loss(*values: Tensor) -> Tensor:
        given = {**inputs._asdict(), **dict(zip(case.grads, values, strict=True))}
        return probe.call(case, Inputs(**given))

    return loss


def difference(tangents: dict[str, Tensor], mask: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """t_recon − t_x over the masked positions, and |t_recon| + |t_x| there."""
    zero = np.zeros(mask.shape)
    a, b = (
        oracle.as_array(tangents[name])[mask] if name in tangents else zero[mask]
        for name in ("x_recon", "x")
    )
    return a - b, abs(a) + abs(b)
