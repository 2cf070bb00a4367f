"""C11–C13: first and second derivatives, forward mode, and calls that overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from . import oracle
from .cases import (
    DENSE_LAYOUTS,
    DTYPES,
    LAYOUTS,
    REDUCTIONS,
    Case,
    Constant,
    Inputs,
    Lattice,
    Mask,
    Operand,
)
from .effort import Effort
from .probe import Probe, same_bits
from .registry import prop
from .strategies import (
    CALLS,
    EMPTY_SHAPES,
    GRADS,
    cases,
    scattered,
    sized_grid,
    small_grid,
)
from .value import INF, NAN, SAME_PAIRS, poisonings
from .violation import Violation

GRADIENTS = ("gradients",)
SECOND = ("gradients", "second_order")
UPSTREAMS = (1.0, -2.5, 3.0, 0.0, 2.0**-6)


@prop(
    "C11-oracle",
    cost=6,
    statement="∂/∂x_recon = 2 (x_recon − x) · mask · scale, ∂/∂x its negation, each in its input's "
    "dtype.",
    rationale="The gradient is what training uses; a loss may be right and train wrongly.",
    catches="a missing factor or scale; None for one input; only right when both require grad",
    needs=GRADIENTS,
    cases=cases(grads=GRADS, upstreams=UPSTREAMS, layouts=LAYOUTS),
    grid=lambda effort: small_grid(
        effort,
        share=6,
        shapes=((1, 1), (1, 2), (2, 1), (2, 3), (5, 1), (3, 7)),
        grads=GRADS,
        patterns=("full", "empty", "bernoulli", "one_row", "one"),
    ),
    weight=2,
)
def matches_oracle(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_value(loss, case, inputs)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-sizes",
    cost=3,
    statement="The gradient is right at every position, at sizes around powers of two.",
    rationale="A backward kernel has tails and blocks of its own.",
    catches="tails without a gradient; a gradient right only at the first elements",
    needs=GRADIENTS,
    grid=lambda effort: sized_grid(
        effort,
        patterns=("full", "bernoulli", "all_but_one", "blocks", "one"),
        grads=("x_recon", "x"),
        largest=2**18,
    ),
)
def sizes(probe: Probe, case: Case) -> None:
    case = case.but(grads=GRADS[case.salt % 3])
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-any-size",
    statement="The gradient is right at any size, round ones among them, with any dtypes and mask.",
    rationale="Real batches are 48 × 1000 as well as 32 × 64.",
    catches="whatever needs a certain length together with a certain dtype, mask or call",
    needs=GRADIENTS,
    grid=lambda effort: scattered(effort, grads=GRADS),
)
def any_size(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-extremes",
    statement="The gradient is within 16 roundoffs for finite values, and follows NaN and Inf.",
    rationale="It is an elementwise formula: no value elsewhere may reach a position.",
    catches="gradient clamping or clipping; NaN zeroed; one bad element spoiling the others",
    needs=GRADIENTS,
    cases=cases(tier="hard", grads=GRADS, upstreams=(1.0, -2.5), empty=False),
    grid=lambda effort: (
        Case(f, r, (2, 4), Operand(p[0], Constant(a)), Operand(p[1], Constant(b)), grads=g)
        for p in itertools.product(DTYPES, DTYPES)
        for (a, b) in (
            *((2048.0, 0.5), (0.5, 2048.0), (1.0, 2.0**-14), (65504.0, -65504.0)),
            *((2.0**-24, 0.0), (2.0**-20, 2.0**-24), (0.0, 1e-12)),
        )
        for f, r in CALLS
        for g in (GRADS if r == "sum" else GRADS[1:2])
    ),
    weight=2,
)
def extremes(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C11-negation",
    statement="The gradient of x is the exact negation of x_recon's, if their dtypes are equal.",
    rationale="Only the difference enters the loss.",
    catches="gradients swapped, equal, or computed twice with different rounding",
    needs=GRADIENTS,
    cases=cases(grads=(("x_recon", "x"),), upstreams=UPSTREAMS, empty=False),
    grid=lambda effort: sized_grid(
        effort, patterns=("full", "bernoulli"), grads=("x_recon", "x"), largest=2**16
    ),
    weight=0.5,
)
def negation(probe: Probe, case: Case) -> None:
    case = case.but(x__dtype=case.x_recon.dtype)
    loss, inputs, found = probe.gradients(case)
    a, b = found["x_recon"], -found["x"]
    if not bool(((a == b) | (a.isnan() & b.isnan())).all()):
        raise Violation("the two gradients do not cancel", got=found["x"], wanted=-found["x_recon"])


@prop(
    "C11-upstream",
    statement="The gradient is linear in the upstream gradient.",
    rationale="The loss is a term in a sum, or scaled by AMP: what comes from above must pass.",
    catches="upstream ignored, read as 1, clamped, or used for one input only",
    needs=GRADIENTS,
    cases=cases(tier="lattice", grads=GRADS, empty=False),
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3),), patterns=("full", "bernoulli"), grads=GRADS, pairs=SAME_PAIRS
    ),
    weight=0.5,
)
def upstream(probe: Probe, case: Case) -> None:
    for factor in (0.5, -1.0, 0.0, 7.0, 65536.0 if "float16" not in _dtypes(case) else 2.0):
        scaled = case.but(upstream=factor)
        loss, inputs, found = probe.gradients(scaled)
        probe.right_gradients(found, scaled, inputs)
    inputs = probe.build(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    loss, again = probe.call(case, inputs), probe.call(case, inputs)
    if probe.unconnected(loss, wrt, inputs):
        return
    # Through the graph, as training code scales: 3·loss, and the mean of two losses. And as an
    # element of a larger tensor, or negated lazily: memory begins with another number there.
    ways = [torch.autograd.grad((3 * loss + (again - loss) / 2), wrt, retain_graph=True)]
    for view in _views_of_three(loss):
        ways.append(torch.autograd.grad(loss, wrt, view, retain_graph=True))
    for pulled in ways:
        found = dict(zip(case.grads, pulled, strict=True))
        probe.right_gradients(found, case.but(upstream=3.0), inputs)


def _views_of_three(loss: Tensor) -> list[Tensor]:
    """0-d tensors that hold 3, each a view of memory that begins with something else."""
    row = torch.tensor([NAN, 3.0, NAN], dtype=loss.dtype, device=loss.device)
    views = [row[1], row[1:2].expand(4)[3]]
    if loss.dtype != torch.bfloat16:  # of which torch makes no complex numbers
        views.append(torch.complex(row, -row).conj().imag[1])
    return views


def _dtypes(case: Case) -> tuple[str, str]:
    return case.x_recon.dtype, case.x.dtype


@prop(
    "C11-accumulation",
    statement="backward() adds to .grad, also through non-leaf inputs and one tensor given twice.",
    rationale="Inputs come from a model; the same tensor may stand on both sides.",
    catches="writing into .grad; gradients only for leaves; inputs told apart by identity",
    needs=GRADIENTS,
    cases=cases(tier="lattice", grads=(("x_recon", "x"),), empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 2), (2, 3)),
        patterns=("full", "bernoulli"),
        pairs=(("float32", "float32"),),
        grads=(("x_recon", "x"),),
    ),
    weight=0.5,
)
def accumulation(probe: Probe, case: Case) -> None:
    case = case.but(x_recon__dtype="float32", x__dtype="float32")
    case = probe.fit(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    x_recon, x, mask = inputs
    moved = Inputs(x_recon * 2, x + 1, mask)
    for time in (1, 2):
        probe.call(case, Inputs(x_recon * 2, x + 1, mask)).backward()
        assert x_recon.grad is not None
        assert x.grad is not None
        found = {"x_recon": x_recon.grad / (2 * time), "x": x.grad / time}
        probe.right_gradients(found, case, Inputs(*(t.detach() for t in moved)))
    same = x_recon.detach().requires_grad_()
    (found_same,) = torch.autograd.grad(probe.call(case, Inputs(same, same, mask)), same)
    if not bool((found_same == 0).all()):
        raise Violation(
            "x_recon is x, and its gradient is not zero", got=found_same, wanted="zeros"
        )


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
    "C11-gradcheck",
    cost=9,
    statement="torch.autograd.gradcheck agrees in float64: reverse and forward mode.",
    rationale="Finite differences know nothing of this suite's formulas: an oracle of its own.",
    catches="a backward that belongs to another forward",
    needs=GRADIENTS,
    grid=lambda effort: _gradcheck_cases(effort),
)
def gradcheck(probe: Probe, case: Case) -> None:
    if "float64" not in probe.claims.dtypes:
        inputs = probe.build(case)
        probe.note(inputs.mask)
        loss, inputs, found = probe.gradients(case)
        probe.right_gradients(found, case, inputs)
        return  # finite differences need float64, which is not claimed
    _numerically(probe, case, torch.autograd.gradcheck, check_forward_ad=probe.claims.forward_mode)


def _gradcheck_cases(effort: Effort) -> Iterator[Case]:
    return small_grid(
        effort,
        shapes=((2, 3), (1, 3)),
        patterns=("bernoulli", "full", "empty", "one"),
        pairs=(("float64", "float64"),),
        share=2,
        grads=GRADS,
    )


def _numerically(probe: Probe, case: Case, check: object, **settings: bool) -> None:
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


@prop(
    "C12-excluded-gradient",
    cost=4,
    statement="Outside the mask the gradient is exactly zero, whatever stands there; inside it is "
    "untouched.",
    rationale="0 · NaN is NaN: masking after the square, or by a product, poisons the backward.",
    catches="`where` or indexing after squaring; multiplying by the mask",
    needs=GRADIENTS,
    cases=cases(tier="lattice", empty=False, layouts=DENSE_LAYOUTS, grads=GRADS),
    grid=lambda effort: small_grid(
        effort,
        share=16,
        shapes=((1, 2), (2, 3), (1, 5)),
        patterns=("bernoulli", "one", "all_but_one", "empty"),
        pairs=(*SAME_PAIRS, ("float16", "float32")),
        grads=GRADS,
    ),
    weight=0.5,
)
def excluded_gradient(probe: Probe, case: Case) -> None:
    for poisoned in poisonings(case):
        loss, inputs, found = probe.gradients(poisoned)
        probe.right_gradients(found, poisoned, inputs)


@prop(
    "C12-excluded-upstream",
    statement="Outside the mask the gradient is zero whatever the upstream gradient is, infinite "
    "and NaN included.",
    rationale="When a loss scale overflows, what was not scored must not learn from it; and "
    "0 · inf is NaN.",
    catches="a product with the upstream gradient after the mask was applied",
    needs=GRADIENTS,
    grid=lambda effort: (
        case.but(upstream=(INF, -INF, NAN)[case.salt % 3])
        for case in small_grid(
            effort,
            shapes=((1, 2), (2, 3), (33, 40)),
            patterns=("bernoulli", "one", "all_but_one", "empty"),
            pairs=(*SAME_PAIRS, ("float16", "float32")),
            grads=GRADS,
            share=4,
        )
    ),
)
def excluded_upstream(probe: Probe, case: Case) -> None:
    _, inputs, found = probe.gradients(case)
    for name, gradient in found.items():
        outside = gradient[~inputs.mask]
        if not bool((outside == 0).all()):
            raise Violation(
                f"outside the mask the gradient of {name} is not zero",
                got=outside[outside != 0][0],
                wanted="0.0, of either sign",
            )


@prop(
    "C12-excluded-sizes",
    statement="At every size, poisoned positions outside the mask have gradient zero.",
    rationale="Backward kernels have vectors and tails of their own.",
    catches="a tail loop that multiplies where the main loop selects",
    needs=GRADIENTS,
    grid=lambda effort: (
        case.but(
            grads=GRADS[case.salt % 3],
            x_recon__outside=(NAN, INF, 6e4)[case.salt % 3],
            x__outside=(1.0, NAN, -INF, NAN)[case.salt % 4],
        )
        for case in sized_grid(
            effort, patterns=("bernoulli", "all_but_one", "last", "empty"), largest=2**17
        )
    ),
)
def excluded_sizes(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)


@prop(
    "C12-empty-trains",
    statement="With nothing masked, backward runs and gradients are exactly 0, for any reduction.",
    rationale="A training step in which nothing was hidden must not crash, nor spoil the weights.",
    catches="a constant without a graph; a fresh leaf; 0 with a NaN gradient; None for one input",
    needs=GRADIENTS,
    empty=True,
    grid=lambda effort: itertools.chain(
        small_grid(effort, patterns=("empty",), grads=GRADS, pairs=SAME_PAIRS),
        small_grid(effort, shapes=EMPTY_SHAPES, patterns=("full",), grads=GRADS, pairs=SAME_PAIRS),
        (
            Case(
                f,
                r,
                (3, 4),
                Operand(d, Constant(a)),
                Operand(d, Constant(b)),
                Mask("empty"),
                grads=g,
            )
            for f, r in CALLS
            for d in ("float32", "float16")
            for a, b in ((NAN, 1.0), (1.0, NAN), (INF, -INF))
            for g in GRADS
        ),
    ),
)
def empty_trains(probe: Probe, case: Case) -> None:
    loss, inputs, found = probe.gradients(case)
    probe.right_gradients(found, case, inputs)
    weight = torch.ones((), device=inputs.x.device, requires_grad=True)
    x_recon = torch.zeros_like(inputs.x_recon).detach() * weight
    probe.call(case, Inputs(x_recon, inputs.x.detach(), inputs.mask)).backward()
    if weight.grad is None or weight.grad.item() != 0:
        raise Violation(
            "a weight behind x_recon gets a wrong gradient", got=weight.grad, wanted="0.0"
        )


@prop(
    "C12-excluded-second-order",
    cost=9,
    statement="Poison outside the mask reaches neither second derivatives nor forward mode.",
    rationale="A double backward, and a jvp, pass the mask by paths of their own.",
    catches="masking after the square or by a product, one derivative further on",
    needs=SECOND,
    grid=lambda effort: (
        case.but(x_recon__outside=NAN, x__outside=INF)
        for case in small_grid(
            effort,
            shapes=((2, 3), (33, 32)),
            patterns=("bernoulli", "all_but_one", "empty"),
            pairs=SAME_PAIRS[:2],
            share=2,
            grads=GRADS,
        )
    ),
)
def excluded_second_order(probe: Probe, case: Case) -> None:
    second_order(probe, case)
    if probe.claims.forward_mode:
        forward_mode(probe, case)


@prop(
    "C13-gradgradcheck",
    cost=9,
    statement="torch.autograd.gradgradcheck agrees in float64.",
    rationale="Gradient penalties and Hessians differentiate the backward itself.",
    catches="double backward that is zero, missing, or of the wrong sign",
    needs=SECOND,
    grid=lambda effort: _gradcheck_cases(effort),
)
def gradgradcheck(probe: Probe, case: Case) -> None:
    if "float64" not in probe.claims.dtypes:
        second_order(probe, case)
        return  # finite differences need float64, which is not claimed
    _numerically(probe, case, torch.autograd.gradgradcheck)


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
    """The derivative of Σ g_i·v_i, with gradients g_i and directions v_i.

    It is 2·mask·scale·u·(v_r − v_x) for x_recon, its negation for x, and
    Σ 2d·mask·scale·(v_r − v_x) for the upstream u.
    """
    loss, inputs = probe.loss(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(loss, wrt, inputs):
        return
    u = torch.full_like(loss, 3.0).requires_grad_()
    plain = torch.autograd.grad(loss, wrt, u.detach(), retain_graph=True)
    first = torch.autograd.grad(loss, wrt, u, create_graph=True)
    # Where they are the plain ones, whether they are right is for C11 and C12 to say.
    changed = {
        name: g.detach()
        for name, g, as_before in zip(case.grads, first, plain, strict=True)
        if not same_bits(g, as_before)
    }
    probe.right_gradients(changed, case.but(upstream=3.0), inputs)
    directions = {
        name: torch.from_numpy(Lattice(case.salt + 31 * k).values(case.count).reshape(case.shape))
        .to(inputs.x.device)
        .to(getattr(inputs, name).dtype)
        for k, name in enumerate(case.grads)
    }
    product = sum(
        (g.to(torch.float64) * directions[name].to(torch.float64)).sum()
        for name, g in zip(case.grads, first, strict=True)
    )
    if not isinstance(product, Tensor) or not product.requires_grad:
        raise Violation("the gradient is not differentiable", got="no graph", wanted="a graph")
    second: tuple[Tensor | None, ...] = torch.autograd.grad(product, [*wrt, u], allow_unused=True)
    zero = np.zeros(case.shape)
    v_recon, v_x = (
        oracle.as_array(directions[n]) if n in directions else zero for n in ("x_recon", "x")
    )
    mask = inputs.mask.cpu().numpy()
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    coarsest = _coarsest(wrt)
    for name, found in zip(case.grads, second, strict=False):  # the last is u's
        got = zero if found is None else oracle.as_array(found)
        sign = 1 if name == "x_recon" else -1
        wanted = sign * 6 * (v_recon - v_x) * mask / divisor
        # Each direction may be rounded before they are subtracted, to its gradient's dtype: both
        # count for the bound, and so does the coarsest of the dtypes.
        fmt = oracle.format_of(coarsest)
        bound = 16 * float(fmt.roundoff) * 6 * (abs(v_recon) + abs(v_x)) / divisor
        wrong = ~(np.abs(got - wanted) <= (bound + float(fmt.smallest)) * mask)
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise Violation(
                f"the second derivative is wrong for {name} at [{row}, {column}]",
                got=repr(float(got[row, column])),
                wanted=repr(float(wanted[row, column])),
                bound=f"± {bound[row, column]:.3g}",
                script=_second_order_script(case, probe),
            )
    recon, target = (oracle.as_array(t) for t in inputs[:2])
    d = (recon - target)[mask]
    terms = 2 * abs(d) * (abs(v_recon) + abs(v_x))[mask]
    wanted_u = float((2 * d * (v_recon - v_x)[mask]).sum()) / divisor
    epsilon = float(torch.finfo(coarsest).eps)
    scale = max(float(np.abs(terms).sum()) / divisor, 1e-6)
    bound_u = oracle.tangent_roundoffs(int(mask.sum())) * epsilon / 2 * scale
    got_u = second[-1]
    if got_u is None or not abs(float(got_u) - wanted_u) <= bound_u:
        raise Violation(
            "the derivative of the gradient in the upstream gradient is wrong",
            got=got_u,
            wanted=repr(wanted_u),
            bound=f"± {bound_u:.3g}",
            script=_second_order_script(case, probe),
        )


def _coarsest(tensors: Iterable[Tensor]) -> torch.dtype:
    """The dtype with the largest unit roundoff."""
    return max((t.dtype for t in tensors), key=lambda dtype: torch.finfo(dtype).eps)


def _second_order_script(case: Case, probe: Probe) -> str:
    wrt = ", ".join(case.grads)
    given = f", reduction={case.reduction!r}" if case.reduction else ""
    return "\n".join(
        [
            case.script(probe.subject.imports, call=False),
            f"loss = {case.function}(x_recon, x, mask{given})",
            "upstream = torch.full_like(loss, 3.0).requires_grad_()",
            f"first = torch.autograd.grad(loss, [{wrt}], upstream, create_graph=True)",
            f"print(torch.autograd.grad(sum(g.sum() for g in first), [{wrt}, upstream]))",
        ]
    )


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
    epsilon = torch.finfo(_coarsest([primal, *tangents.values()])).eps
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
    k = case.salt
    siblings = [
        case,
        case.but(
            x_recon__values=Lattice(k + 1), x__values=Lattice(k + 2), mask=Mask("bernoulli", k)
        ),
        case.but(
            reduction=REDUCTIONS[k % 3],
            function=("masked_mse", "masked_sse")[k % 2],
            shape=(case.shape[1], case.shape[0] + 1),
            x_recon=Operand(case.x_recon.dtype, Lattice(k + 3)),
            x=Operand(case.x.dtype, Lattice(k + 4)),
            mask=Mask("blocks", k),
        ),
    ]
    siblings = [probe.fit(sibling) for sibling in siblings]
    for order in ((0, 1, 2), (2, 1, 0)):
        made = [(sibling, *probe.loss(sibling)) for sibling in siblings]
        found = {}
        for place in order:
            sibling, loss, inputs = made[place]
            found[place] = probe.pull(sibling, loss, inputs)
        for place, gradients in found.items():
            sibling, loss, inputs = made[place]
            probe.case = sibling
            probe.right_value(loss, sibling, inputs)
            probe.right_gradients(gradients, sibling, inputs)
