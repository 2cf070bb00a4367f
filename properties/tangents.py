"""C13: forward mode at the edges: tangents outside the mask, of the upstream, and twice over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward
from torch import Tensor

from . import oracle
from .cases import Case, Inputs, Lattice
from .effort import Effort
from .gradient import GRADIENTS, SECOND
from .probe import Probe
from .registry import prop
from .strategies import GRADS, small_grid
from .value import INF, NAN, SAME_PAIRS
from .violation import Violation


def _small(effort: Effort, share: int = 1) -> Iterator[Case]:
    return small_grid(
        effort,
        shapes=((1, 1), (2, 3), (3, 7)),
        patterns=("full", "bernoulli", "empty"),
        pairs=(*SAME_PAIRS[:2], ("float32", "float64")),
        grads=GRADS,
        share=share,
    )


def directions(case: Case, inputs: Inputs, salt: int) -> dict[str, Tensor]:
    """A tangent for each input that the case differentiates, in its dtype."""
    return {
        name: torch.from_numpy(Lattice(salt + 31 * k).values(case.count).reshape(case.shape))
        .to(inputs.x.device)
        .to(getattr(inputs, name).dtype)
        for k, name in enumerate(case.grads)
    }


def _along(probe: Probe, case: Case, inputs: Inputs) -> Callable[..., Tensor]:
    """The loss as a function of the differentiated inputs alone."""

    def loss(*values: Tensor) -> Tensor:
        given = {**inputs._asdict(), **dict(zip(case.grads, values, strict=True))}
        return probe.call(case, Inputs(**given))

    return loss


def _right_tangent(
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


def _difference(tangents: dict[str, Tensor], mask: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """t_recon − t_x over the masked positions, and |t_recon| + |t_x| there."""
    zero = np.zeros(mask.shape)
    a, b = (
        oracle.as_array(tangents[name])[mask] if name in tangents else zero[mask]
        for name in ("x_recon", "x")
    )
    return a - b, abs(a) + abs(b)


@prop(
    "C13-excluded-tangents",
    cost=9,
    statement="In forward mode, tangents outside the mask have no influence, NaN and Inf included.",
    rationale="The tangent of a visible position comes from the same place as its value.",
    catches="a jvp that multiplies tangents by the mask, or masks the primal only",
    needs=(*GRADIENTS, "forward_mode"),
    grid=lambda effort: (case.but(x_recon__outside=NAN, x__outside=1.5) for case in _small(effort)),
)
def excluded_tangents(probe: Probe, case: Case) -> None:
    inputs = probe.build(case.but(grads=()))
    probe.note(inputs.mask)
    tangents = directions(case, inputs, case.salt)
    mask = oracle.as_array(inputs.mask).astype(bool)
    by, size = _difference(tangents, mask)
    for number, tangent in enumerate(tangents.values()):
        tangent[~inputs.mask] = (NAN, INF)[number]
    with forward.dual_level():
        duals = (forward.make_dual(getattr(inputs, n), t) for n, t in tangents.items())
        result = _along(probe, case.but(grads=case.grads), inputs)(*duals)
        tangent = forward.unpack_dual(result).tangent
    if tangent is None and probe.excused(inputs):
        return
    d = (oracle.as_array(inputs.x_recon) - oracle.as_array(inputs.x))[mask]
    what = "with NaN in tangents outside the mask, the tangent of the loss"
    _right_tangent(probe, what, tangent, 2 * d * by, 2 * abs(d) * size, case, inputs)


@prop(
    "C13-upstream-tangent",
    cost=9,
    statement="Forward over reverse carries the tangent of the upstream gradient.",
    rationale="In a Hessian-vector product through a whole model, what comes from above moves too.",
    catches="a backward that detaches the upstream gradient, or reads it as a number",
    needs=(*SECOND, "forward_mode"),
    grid=lambda effort: _small(effort, share=2),
)
def upstream_tangent(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    plain = Inputs(*(t.detach() for t in inputs))
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(probe.call(case, inputs), wrt, inputs):
        return
    with forward.dual_level():
        # The inputs move by zero, so that the whole derivative is that in the upstream gradient.
        duals = [forward.make_dual(t, torch.zeros_like(t)) for t in wrt]
        loss = _along(probe, case, plain)(*duals)
        upstream = forward.make_dual(torch.full_like(loss, 3.0), torch.full_like(loss, -2.5))
        found = torch.autograd.grad(loss, duals, upstream)
        moved = {
            name: forward.unpack_dual(gradient).tangent
            for name, gradient in zip(case.grads, found, strict=True)
        }
    for name, tangent in moved.items():
        if tangent is None:
            raise Violation(
                f"the gradient of {name} has no tangent", got="None", wanted="that of the upstream"
            )
    try:
        probe.right_gradients(moved, case.but(upstream=-2.5), inputs)
    except Violation as violation:
        violation.what = f"moved along the upstream gradient by −2.5: {violation.what}"
        raise


@prop(
    "C13-forward-over-forward",
    cost=9,
    statement="Forward over forward gives Σ 2 · mask · scale · (s_recon − s_x) · (t_recon − t_x).",
    rationale="torch gives 0 in silence where a Function with a jvp of its own is pushed twice.",
    catches="an autograd.Function with a jvp that is itself not differentiable",
    needs=(*SECOND, "forward_mode", "transforms"),
    grid=lambda effort: _small(effort, share=2),
)
def forward_over_forward(probe: Probe, case: Case) -> None:
    inputs = probe.build(case.but(grads=()))
    probe.note(inputs.mask)
    inner, outer = (directions(case, inputs, case.salt + k) for k in (0, 7))
    loss = _along(probe, case, inputs)
    values = tuple(getattr(inputs, name) for name in case.grads)

    def pushed(*points: Tensor) -> Any:
        return torch.func.jvp(loss, points, tuple(inner.values()))[1]

    got = torch.func.jvp(pushed, values, tuple(outer.values()))[1]
    mask = oracle.as_array(inputs.mask).astype(bool)
    (s, s_size), (t, t_size) = (_difference(d, mask) for d in (inner, outer))
    _right_tangent(probe, "forward over forward", got, 2 * s * t, 2 * s_size * t_size, case, inputs)
