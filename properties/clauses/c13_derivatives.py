"""C13: second order, forward mode, repeated and overlapping backwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.autograd.forward_ad as forward
from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.effort import Effort
from ..inputs.grids import GRADS, SAME_PAIRS, gradcheck_cases, scattered, sized_grid, small_grid
from ..inputs.layouts import DENSE_LAYOUTS, LAYOUTS
from ..inputs.strategies import cases
from ..inputs.values import INF, NAN
from ..judge import oracle
from ..judge.bits import same_bits
from ..judge.gradcheck import numerically
from ..judge.overlaps import right_after_writing, right_interleaved
from ..judge.probe import Probe
from ..judge.second_order import right_second_derivatives
from ..judge.tangents import along, difference, directions, right_forward_mode, right_tangent
from ..judge.violation import Violation
from .registry import GRADIENTS, SECOND, prop


@prop(
    "C13-changed-inputs",
    statement="After an input was changed in place, backward gives the gradient of the call as it "
    "was made, or raises.",
    rationale="An augmentation, or the next mask, that comes too early must not bend the gradient "
    "unseen.",
    catches="inputs kept past torch's check of their versions",
    needs=GRADIENTS,
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (2, 3), (33, 40)),
        patterns=("full", "bernoulli"),
        pairs=(*SAME_PAIRS, ("float16", "float32")),
        grads=GRADS,
        share=4,
    ),
)
def changed_inputs(probe: Probe, case: Case) -> None:
    for changed in ("x_recon", "x", "mask"):
        loss, inputs = probe.loss(case)
        as_called = Inputs(*(t.detach().clone() for t in inputs))
        with torch.no_grad():
            if changed == "mask":
                inputs.mask.logical_not_()
            else:
                getattr(inputs, changed).mul_(-2).add_(1)
        try:
            found = probe.pull(case, loss, inputs)
        except RuntimeError:
            continue
        try:
            probe.right_gradients(found, case, as_called)
        except Violation as violation:
            violation.what = f"{changed} was changed before backward, and {violation.what}"
            raise


@prop(
    "C13-gradgradcheck",
    cost=9,
    statement="torch.autograd.gradgradcheck agrees in float64.",
    rationale="Gradient penalties and Hessians differentiate the backward itself.",
    catches="double backward that is zero, missing, or of the wrong sign",
    needs=SECOND,
    grid=lambda effort: gradcheck_cases(effort),
)
def gradgradcheck(probe: Probe, case: Case) -> None:
    if "float64" not in probe.claims.dtypes:
        right_second_derivatives(probe, case)
        return  # finite differences need float64, which is not claimed
    numerically(probe, case, torch.autograd.gradgradcheck)


@prop(
    "C13-second-order",
    statement="The derivative of the gradient, along any direction and in the upstream, is right.",
    rationale="The Hessian is constant: 2 · mask · scale on the diagonal, its negation across.",
    catches="double backward silently wrong; no term for the upstream gradient; wrong beyond the "
    "first element",
    needs=SECOND,
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            share=2,
            shapes=((1, 1), (2, 3), (1, 5)),
            patterns=("full", "bernoulli", "empty"),
            pairs=(*SAME_PAIRS, ("float16", "float32"), ("float32", "float64")),
            grads=GRADS,
        ),
        scattered(effort, count=60, largest=2**13, layouts=LAYOUTS, grads=GRADS),
    ),
)
def second_order(probe: Probe, case: Case) -> None:
    right_second_derivatives(probe, case)


@prop(
    "C13-forward-mode",
    cost=9,
    statement="The forward-mode derivative is Σ 2 (x_recon − x) · mask · scale · (t_recon − t_x).",
    rationale="Jacobian-vector products are half of torch.func.",
    catches="a jvp missing, of the wrong sign, or blind to the mask",
    needs=("gradients", "forward_mode"),
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            shapes=((1, 1), (2, 3)),
            patterns=("full", "bernoulli", "empty"),
            pairs=(*SAME_PAIRS, ("float16", "float32"), ("float32", "float64")),
            grads=GRADS,
        ),
        scattered(effort, count=60, largest=2**13, layouts=DENSE_LAYOUTS, grads=GRADS),
    ),
)
def forward_mode(probe: Probe, case: Case) -> None:
    right_forward_mode(probe, case)


@prop(
    "C13-retain-graph",
    statement="A second backward through a retained graph gives the same gradients.",
    rationale="Several losses share a graph; a diagnostic may look twice.",
    catches="buffers scaled or freed by backward; state kept from the first backward",
    needs=GRADIENTS,
    cases=cases(tier="lattice", empty=False, grads=GRADS, upstreams=(1.0, -2.5)),
    grid=lambda effort: sized_grid(
        effort, patterns=("full", "bernoulli"), grads=("x_recon", "x"), largest=2**12
    ),
    weight=0.5,
)
def retain_graph(probe: Probe, case: Case) -> None:
    loss, inputs, first = probe.gradients(case, retain_graph=True)
    kept = {name: gradient.clone() for name, gradient in first.items()}
    second: dict[str, Tensor] = {}
    for factor in (case.upstream * 2, case.upstream):
        second = probe.pull(case.but(upstream=factor), loss, inputs, retain_graph=True)
        probe.right_gradients(second, case.but(upstream=factor), inputs)
    for name in case.grads:
        if not same_bits(second[name], kept[name]):
            raise Violation(
                f"backward twice gives two gradients of {name}", got=second[name], wanted=kept[name]
            )
        if not same_bits(first[name], kept[name]):
            raise Violation(
                f"a later backward overwrote the gradient of {name} that was handed out before",
                got=first[name],
                wanted=kept[name],
            )


@prop(
    "C13-own-memory",
    statement="Changing one gradient in place changes neither the other nor what a later backward "
    "gives.",
    rationale="zero_grad() and clipping write into gradients while the graph is still there.",
    catches="one buffer, or a lazily negated view of it, for both inputs; a kept buffer handed out",
    needs=GRADIENTS,
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (2, 3), (33, 40)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        grads=(("x_recon", "x"), ("x_recon",)),
        share=4,
    ),
)
def own_memory(probe: Probe, case: Case) -> None:
    right_after_writing(probe, case)


@prop(
    "C13-interleaved",
    statement="Two calls, and then their backwards in either order, do not disturb one another.",
    rationale="Two views of a batch, two heads, two micro-batches: forwards come before backwards.",
    catches="scratch buffers and saved tensors shared between calls",
    needs=GRADIENTS,
    cases=cases(tier="lattice", empty=False, grads=GRADS),
    grid=lambda effort: sized_grid(
        effort, patterns=("full", "bernoulli"), grads=("x_recon", "x"), largest=2**12
    ),
)
def interleaved(probe: Probe, case: Case) -> None:
    right_interleaved(probe, case)


def _small(effort: Effort, share: int = 1) -> Iterator[Case]:
    return small_grid(
        effort,
        shapes=((1, 1), (2, 3), (3, 7)),
        patterns=("full", "bernoulli", "empty"),
        pairs=(*SAME_PAIRS[:2], ("float32", "float64")),
        grads=GRADS,
        share=share,
    )


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
    by, size = difference(tangents, mask)
    for number, tangent in enumerate(tangents.values()):
        tangent[~inputs.mask] = (NAN, INF)[number]
    with forward.dual_level():
        duals = (forward.make_dual(getattr(inputs, n), t) for n, t in tangents.items())
        result = along(probe, case.but(grads=case.grads), inputs)(*duals)
        tangent = forward.unpack_dual(result).tangent
    if tangent is None and probe.excused(inputs):
        return
    d = (oracle.as_array(inputs.x_recon) - oracle.as_array(inputs.x))[mask]
    what = "with NaN in tangents outside the mask, the tangent of the loss"
    right_tangent(probe, what, tangent, 2 * d * by, 2 * abs(d) * size, case, inputs)


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
        loss = along(probe, case, plain)(*duals)
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
    loss = along(probe, case, inputs)
    values = tuple(getattr(inputs, name) for name in case.grads)

    def pushed(*points: Tensor) -> Any:
        return torch.func.jvp(loss, points, tuple(inner.values()))[1]

    got = torch.func.jvp(pushed, values, tuple(outer.values()))[1]
    mask = oracle.as_array(inputs.mask).astype(bool)
    (s, s_size), (t, t_size) = (difference(d, mask) for d in (inner, outer))
    right_tangent(probe, "forward over forward", got, 2 * s * t, 2 * s_size * t_size, case, inputs)
