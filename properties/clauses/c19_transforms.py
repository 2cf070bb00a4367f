"""C19: the transforms of torch.func."""

from __future__ import annotations

import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.grids import SAME_PAIRS, small_grid
from ..judge import answers, claims, derivatives, oracle, transformed, ways
from ..judge.derivatives import APART, apart
from ..judge.probe import Probe
from ..judge.violation import Violation
from .c16_situations import AUTOCAST, DEFAULT_DTYPE, DEFAULT_FLOAT16, NO_GRAD
from .registry import prop
from .situations import situation, together


@prop(
    "C19-hessian",
    cost=9,
    statement="torch.func.jacrev and hessian give 2 · mask · scale on the diagonal, 0 elsewhere.",
    rationale="Forward over reverse, with vmap inside: the deepest nesting in common use.",
    catches="double backward without vmap; saved tensors that do not survive a transform",
    needs=("transforms", "gradients", "second_order", "forward_mode"),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (1, 1)),
        patterns=("bernoulli", "empty"),
        pairs=SAME_PAIRS[:2],
        share=2,
    ),
)
def hessians(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    found = probe.perform(case, inputs, transformed.hessians)
    with probe.found_at():
        probe.right_gradients({name: found[name] for name in ("x_recon", "x")}, case, inputs)
        _right_hessians(probe, case, inputs, found["hessians"])


def _right_hessians(
    probe: Probe, case: Case, inputs: Inputs, found: dict[tuple[str, int, int], Tensor]
) -> None:
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    diagonal = 2 * inputs.mask.reshape(-1).double() / divisor
    # One division by the count, rounded to the input's dtype: 16 roundoffs as in C11.
    bound = 16 * torch.finfo(inputs.x.dtype).eps
    for (how, i, j), got in found.items():
        square = got.reshape(case.count, case.count).double()
        wanted = torch.diag((1 if i == j else -1) * diagonal)
        if not bool(((square - wanted).abs() <= bound * wanted.abs()).all()):
            close = f"abs(got - torch.tensor({wanted.tolist()})) <= {bound} * abs(torch.tensor("
            place = f'found["hessians"][{(how, i, j)!r}]'
            raise Violation(
                f"{how} of arguments {i}, {j} is wrong",
                got=square.tolist().__repr__()[:200],
                wanted=wanted.tolist().__repr__()[:200],
                bound=f"relative {bound:.3g}",
                claim=claims.Claim(
                    f"{place}.reshape({case.count}, {case.count}).double()",
                    f"bool(({close}{wanted.tolist()}))).all())",
                ),
            )


_TRANSFORMS = ("transforms",)
_GRADIENTS = ("transforms", "gradients")

situation(
    "C19-vmap",
    "Under torch.func.vmap with in_dims=(0, 0, 0), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((0, 0, 0)),
    array="small",
    ordered=False,
    threaded=True,
)
VMAP = situation(
    "C19-vmap-1-0-2",
    "Under torch.func.vmap with in_dims=(1, 0, 2), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((1, 0, 2)),
    array="small",
    ordered=False,
)
situation(
    "C19-vmap-2-1-0",
    "Under torch.func.vmap with in_dims=(2, 1, 0), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((2, 1, 0)),
    array="small",
    ordered=False,
)
situation(
    "C19-vmap-0-1-none",
    "Under torch.func.vmap with in_dims=(0, 1, None), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((0, 1, None)),
    array="small",
    ordered=False,
)
situation(
    "C19-vmap-1-none-last",
    "Under torch.func.vmap with in_dims=(1, None, -1), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((1, None, -1)),
    array="small",
    ordered=False,
    siblings=("x",),
)
situation(
    "C19-vmap-none-0-1",
    "Under torch.func.vmap with in_dims=(None, 0, 1), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((None, 0, 1)),
    array="small",
    ordered=False,
    siblings=("x_recon",),
)
situation(
    "C19-vmap-none-none-1",
    "Under torch.func.vmap with in_dims=(None, None, 1), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((None, None, 1)),
    array="small",
    ordered=False,
    siblings=("x_recon", "x"),
)
situation(
    "C19-vmap-0-none-none",
    "Under torch.func.vmap with in_dims=(0, None, None), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((0, None, None)),
    array="small",
    ordered=False,
    siblings=("x",),
)
situation(
    "C19-vmap-none-0-none",
    "Under torch.func.vmap with in_dims=(None, 0, None), a call keeps its whole contract.",
    catches="no vmap rule; a sum over the mapped dimension; right only when all is mapped",
    needs=_TRANSFORMS,
    wrap=ways.vmapped((None, 0, None)),
    array="small",
    ordered=False,
    siblings=("x_recon",),
)
situation(
    "C19-vmap-nested",
    "Under vmap inside vmap, a call keeps its whole contract.",
    catches="a vmap rule that cannot be mapped",
    needs=_TRANSFORMS,
    wrap=ways.nested,
    array="small",
    ordered=False,
)
situation(
    "C19-vjp",
    "Under torch.func.vjp, a call keeps its whole contract.",
    catches="a backward that needs the context of plain autograd",
    needs=_GRADIENTS,
    derive=derivatives.vjp,
)
situation(
    "C19-grad",
    "Under torch.func.grad, a call keeps its whole contract.",
    catches="`requires_grad` asked of what func wraps",
    needs=_GRADIENTS,
    derive=derivatives.func_grad,
    threaded=True,
)
VMAP_OF_GRAD = situation(
    "C19-vmap-of-grad",
    "Under vmap(grad), a call keeps its whole contract.",
    catches="a backward without a vmap rule",
    needs=_GRADIENTS,
    derive=derivatives.mapped_grad,
    ordered=False,
)
situation(
    "C19-grad-of-vmap",
    "Under grad over vmap, a call keeps its whole contract.",
    catches="`requires_grad` asked of what vmap wraps",
    needs=_GRADIENTS,
    derive=derivatives.grad_of_mapped,
    ordered=False,
)
situation(
    "C19-batched-upstream",
    "With several upstream gradients at once, a call keeps its whole contract.",
    catches="a backward that asks what reaches it",
    needs=_GRADIENTS,
    derive=answers.batched_upstream,
    array="small",
)
JVP = situation(
    "C19-jvp",
    "Under torch.func.jvp, a call keeps its whole contract.",
    catches="a missing or wrong jvp",
    needs=(*_GRADIENTS, "forward_mode"),
    again=True,
    derive=derivatives.jvp,
    only=apart,
    because=APART,
)

together(
    "C19-vmap-no-grad",
    "Under vmap where no gradients are recorded, a call keeps its whole contract.",
    catches="a second path where nothing is recorded, without a rule for vmap",
    needs=_TRANSFORMS,
    mode=NO_GRAD,
    transform=VMAP,
)
together(
    "C19-vmap-autocast",
    "Under vmap of a call inside autocast, a call keeps its whole contract.",
    catches="a rule for vmap that sums by a matrix product",
    needs=_TRANSFORMS,
    mode=AUTOCAST,
    transform=VMAP,
)
together(
    "C19-vmap-of-grad-default-dtype",
    "Under vmap(grad) with float64 as default dtype, a call keeps its whole contract.",
    catches="rules for vmap that count or pad in the default dtype",
    needs=_GRADIENTS,
    mode=DEFAULT_DTYPE,
    transform=VMAP_OF_GRAD,
)
together(
    "C19-jvp-no-grad",
    "Under jvp where no gradients are recorded, a call keeps its whole contract.",
    catches="tangents dropped with the graph: no_grad leaves forward mode on",
    needs=(*_GRADIENTS, "forward_mode"),
    mode=NO_GRAD,
    transform=JVP,
)
together(
    "C19-jvp-autocast",
    "Under jvp of a call inside autocast, a call keeps its whole contract.",
    catches="tangents multiplied by a matrix product",
    needs=(*_GRADIENTS, "forward_mode"),
    mode=AUTOCAST,
    transform=JVP,
)
together(
    "C19-jvp-default-float16",
    "Under jvp with float16 as default dtype, a call keeps its whole contract.",
    catches="tangents made in the default dtype",
    needs=(*_GRADIENTS, "forward_mode"),
    mode=DEFAULT_FLOAT16,
    transform=JVP,
)
