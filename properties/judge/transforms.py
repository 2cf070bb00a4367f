"""Is what torch.func's vmap, grad and jvp give right, for every slice?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import INF, NAN, Lattice
from . import oracle
from .probe import Probe
from .violation import Violation

POISONS = (NAN, INF, None)


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


def right_slice(probe: Probe, got: Tensor, case: Case, inputs: Inputs, where: str) -> None:
    try:
        probe.right_value(got, case, inputs, ordered=False)
    except Violation as violation:
        violation.what = f"{where}: {violation.what}"
        violation.script = _transform_script(probe, case, inputs, where)
        raise


def _transform_script(probe: Probe, case: Case, inputs: Inputs, where: str) -> str:
    given = f", reduction={case.reduction!r}" if case.reduction else ""
    return "\n".join(
        [
            case.holding(inputs).script(probe.subject.imports, call=False),
            f"# {where}; here the same slice, mapped on its own",
            f"print({case.function}(x_recon, x, mask{given}))",
            f"mapped = torch.func.vmap(lambda a, b, m: {case.function}(a, b, m{given}))",
            "print(mapped(x_recon[None], x[None], mask[None]))",
        ]
    )


def right_functional_gradients(probe: Probe, case: Case, poisons: tuple[float | None, ...]) -> None:
    func = torch.func
    items, stacks = stacked(case, 3, probe, poisons)
    loss = functional(probe, case)
    names = ("x_recon", "x")
    for item in items:
        inputs = item.build(probe.device)
        found = func.grad(loss, argnums=(0, 1))(*inputs)
        probe.right_gradients(dict(zip(names, found, strict=True)), item, inputs)
    mapped = func.vmap(func.grad(loss, argnums=(0, 1)))(*stacks)
    for k, item in enumerate(items):
        inputs = item.build(probe.device)
        probe.right_gradients({n: g[k] for n, g in zip(names, mapped, strict=True)}, item, inputs)
    for k, name in enumerate(names):  # one argument alone, one shared mask, another dimension
        shared = func.vmap(func.grad(loss, argnums=k), in_dims=(1, 0, None))(
            stacks.x_recon.movedim(0, 1), stacks.x, stacks.mask[0]
        )
        for j in range(len(items)):
            inputs = Inputs(stacks.x_recon[j], stacks.x[j], stacks.mask[0])
            probe.right_gradients({name: shared[j]}, case, inputs)
    # Many upstream gradients at once, as torch.autograd.functional.jacobian(vectorize=True) asks.
    inputs = items[0].but(grads=names).build(probe.device)
    upstream = torch.tensor([1.0, -2.0, 0.5], device=probe.device)
    single = loss(*inputs)
    batch = torch.autograd.grad(
        single, inputs[:2], upstream.to(single.dtype), is_grads_batched=True
    )
    for k, factor in enumerate(upstream.tolist()):
        found = {name: gradient[k] for name, gradient in zip(names, batch, strict=True)}
        probe.right_gradients(found, items[0].but(upstream=factor), inputs)
    # The gradient of a sum over a vmap, which maps the backward as well.
    total = func.grad(lambda a: func.vmap(loss)(a, *stacks[1:]).sum())(stacks.x_recon)
    for k, item in enumerate(items):
        probe.right_gradients({"x_recon": total[k]}, item, item.build(probe.device))


def right_jvps(probe: Probe, case: Case, poisons: tuple[float | None, ...]) -> None:
    func = torch.func
    items, stacks = stacked(case, 3, probe, poisons)
    loss = functional(probe, case)
    tangents = [
        torch.from_numpy(Lattice(case.salt + k).values(3 * case.count).reshape(3, *case.shape))
        .to(probe.device)
        .to(stack.dtype)
        for k, stack in enumerate(stacks[:2])
    ]

    def push(a: Tensor, b: Tensor, m: Tensor, s: Tensor, t: Tensor) -> Any:
        return func.jvp(lambda p, q: loss(p, q, m), (a, b), (s, t))[1]

    mapped = func.vmap(push)(*stacks, *tangents)
    for k, item in enumerate(items):
        inputs = item.build(probe.device)
        single = push(*inputs, tangents[0][k], tangents[1][k])
        mask = inputs.mask.cpu().numpy()
        d = (oracle.as_array(inputs.x_recon) - oracle.as_array(inputs.x))[mask]
        t_recon, t_x = (oracle.as_array(tangent[k])[mask] for tangent in tangents)
        divisor = oracle.exact(inputs).divisor(case.effective_reduction)
        wanted = float((2 * d * (t_recon - t_x)).sum()) / divisor
        # Each tangent may be rounded before they are subtracted, so that both count for the bound;
        # torch gives some tangents a wider dtype than the loss, without wider values.
        epsilon = torch.finfo(probe.coarser(single, inputs)).eps
        terms = 2 * abs(d) * (abs(t_recon) + abs(t_x))
        roundoffs = oracle.tangent_roundoffs(int(mask.sum()), ordered=False)
        bound = roundoffs * float(epsilon) / 2 * float(terms.sum()) / divisor
        for how, got in (("jvp", single), ("vmap(jvp)", mapped[k])):
            if not abs(float(got) - wanted) <= bound:
                raise Violation(
                    f"{how} is wrong", got=got, wanted=repr(wanted), bound=f"± {bound:.3g}"
                )
        jacobian = func.jacfwd(loss)(*inputs)
        probe.right_gradients({"x_recon": jacobian}, item, inputs)
