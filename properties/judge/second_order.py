"""Is the derivative of the gradient right?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.values import Lattice
from . import oracle
from .bits import same_bits
from .probe import Probe
from .tangents import coarsest_dtype
from .violation import Violation


def right_second_derivatives(probe: Probe, case: Case) -> None:
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
    coarsest = coarsest_dtype(wrt)
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
