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
from .bits import same_bits
from .probe import Probe
from .violation import Violation


def coarsest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """The dtype with the largest unit roundoff."""
    return max((t.dtype for t in tensors), key=lambda dtype: torch.finfo(dtype).eps)


def right_forward_mode(probe: Probe, case: Case) -> None:
    """Raise unless the tangent of the loss is right; the primal, too."""
    import torch.autograd.forward_ad as forward

    inputs = probe.build(case.but(grads=()))
    probe.note(inputs.mask)
    tangents = {
        name: torch.from_numpy(Lattice(case.salt + 31 * k).values(case.count).reshape(case.shape))
        .to(inputs.x.device)
        .to(getattr(inputs, name).dtype)
        for k, name in enumerate(case.grads)
    }
    with forward.dual_level():
        duals = [
            forward.make_dual(getattr(inputs, name), tangents[name])
            if name in tangents
            else getattr(inputs, name)
            for name in ("x_recon", "x")
        ]
        result = probe.call(case.but(grads=()), Inputs(duals[0], duals[1], inputs.mask))
        primal, tangent = forward.unpack_dual(result)
    if not same_bits(primal, probe.call(case.but(grads=()), inputs)):
        probe.right_value(primal, case, inputs)
    mask = inputs.mask.cpu().numpy()
    zero = np.zeros(case.shape)
    directions = [oracle.as_array(tangents[n]) if n in tangents else zero for n in ("x_recon", "x")]
    recon, target = (oracle.as_array(t) for t in inputs[:2])
    d = (recon - target)[mask]
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    wanted = float((2 * d * (directions[0] - directions[1])[mask]).sum()) / divisor
    # Each tangent may be rounded to its dtype before they are subtracted: both count for the bound,
    # and so does the coarsest of the dtypes.
    terms = 2 * abs(d) * (abs(directions[0]) + abs(directions[1]))[mask]
    epsilon = torch.finfo(coarsest_dtype([primal, *tangents.values()])).eps
    roundoffs = oracle.tangent_roundoffs(int(mask.sum()))
    bound = roundoffs * float(epsilon) / 2 * float(terms.sum()) / divisor
    if tangent is None and probe.excused(inputs):
        return
    if tangent is None or not abs(float(tangent) - wanted) <= bound:
        raise Violation(
            f"the tangent of the loss is wrong (tangents on {' and '.join(case.grads)})",
            got=tangent,
            wanted=repr(wanted),
            bound=f"± {bound:.3g}",
        )


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


def right_tangent(
    probe: Probe,
    how: str,
    got: Any,
    terms: np.ndarray[Any, Any],
    slack: np.ndarray[Any, Any],
    case: Case,
    inputs: Inputs,
) -> None:
    """Raise unless `got` is Σ terms ÷ divisor, within the roundoffs of Σ slack ÷ divisor."""
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    wanted = float(terms.sum()) / divisor
    coarsest = max(torch.finfo(getattr(inputs, name).dtype).eps for name in case.grads)
    roundoffs = oracle.tangent_roundoffs(int(inputs.mask.sum()))
    bound = roundoffs * float(coarsest) / 2 * float(slack.sum()) / divisor
    if got is None or not abs(float(got) - wanted) <= bound:
        raise Violation(
            f"{how} is wrong", got=got, wanted=repr(wanted), bound=f"± {bound:.3g}", case=case
        )


def difference(tangents: dict[str, Tensor], mask: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """t_recon − t_x over the masked positions, and |t_recon| + |t_x| there."""
    zero = np.zeros(mask.shape)
    a, b = (
        oracle.as_array(tangents[name])[mask] if name in tangents else zero[mask]
        for name in ("x_recon", "x")
    )
    return a - b, abs(a) + abs(b)
