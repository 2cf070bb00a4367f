"""C17–C19: no dependence on data, compilers and exporters, function transforms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import oracle
from .cases import Case, Constant, Inputs, Lattice, Mask, Operand
from .effort import Effort
from .probe import Probe
from .registry import prop
from .strategies import CALLS, EMPTY_SHAPES, GRADS, small_grid
from .value import INF, NAN, SAME_PAIRS
from .violation import Violation

_POISONS = (NAN, INF, None)

# Which of the inputs are mapped. With one of the values alone and the mask shared, the vmap rule of
# torch's own mse_loss (2.13) fails on sizes; a loss that is right but for that is not blamed.
_NOT_ASKED = ((False, False, False), (True, False, False), (False, True, False))


def _placed(inputs: Inputs, wrap: Callable[[Tensor], Tensor]) -> Inputs:
    return Inputs(*(wrap(t.detach()).requires_grad_(t.requires_grad) for t in inputs))


def _right_kind(probe: Probe, got: Tensor, case: Case, real: Inputs, inputs: Inputs) -> None:
    """The dtype that real tensors give, on the device of these."""
    eager = probe.call(case, real)
    if got.dtype != eager.dtype or got.device != inputs.x.device:
        raise Violation(
            "the result is of another kind than with real tensors",
            got=f"{got.dtype} on {got.device}",
            wanted=f"{eager.dtype} on {inputs.x.device}",
        )


@prop(
    "C17-meta",
    cost=10,
    statement="Meta tensors go in, and a meta tensor of the right dtype comes out; backward too.",
    rationale="Shapes and memory are planned on meta tensors before any data exists.",
    catches="`.item()`, `if mask.any()`, boolean indexing: whatever asks for data",
    needs=("data_independent",),
    grid=lambda effort: small_grid(
        effort,
        share=12,
        shapes=((2, 3), (0, 3), (3, 0), (1, 1), (40, 50)),
        patterns=("bernoulli",),
        grads=((), *GRADS),
    ),
)
def meta(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    real = probe.build(case)
    probe.selected = True
    inputs = _placed(real, lambda t: t.to("meta"))
    loss = probe.call(case, inputs)
    _right_kind(probe, loss, case, real, inputs)
    if case.grads:
        probe.pull(case, loss, inputs)


@prop(
    "C17-fake",
    cost=10,
    statement="Fake tensors go through forward and backward.",
    rationale="Compilers and sharding planners trace with fake tensors, which have no data.",
    catches="data-dependent branches and shapes that meta tensors happen to survive",
    needs=("data_independent",),
    grid=lambda effort: small_grid(
        effort,
        share=2,
        shapes=((2, 3), (3, 1), (40, 50)),
        patterns=("bernoulli",),
        grads=((), *GRADS),
        pairs=SAME_PAIRS,
    ),
)
def fake(probe: Probe, case: Case) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    case = probe.without_gradients(case)
    real = probe.build(case)
    probe.note(real.mask)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        inputs = _placed(real, lambda t: mode.from_tensor(t))
        loss = probe.call(case, inputs)
        if case.grads:
            probe.pull(case, loss, inputs)
    _right_kind(probe, loss, case, real, inputs)


class _ReadsBack(TorchDispatchMode):
    """Records operators that bring data to the host, or whose output's shape depends on data."""

    NAMES = frozenset(
        [
            "_local_scalar_dense",
            "item",
            "is_nonzero",
            "equal",
            "nonzero",
            "nonzero_static",
            "masked_select",
            "unique",
            "unique_consecutive",
            "_unique2",
            "unique_dim",
            "allclose",
            "bincount",
            "repeat_interleave",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in args[1]
            if i is not None
        )
        if name != "index" and by_mask:  # with one number from the host, torch fills under the mask
            by_mask = args[2].numel() != 1 or args[2].device.type != "cpu"
        if name in self.NAMES or by_mask:
            self.seen.append(f"{func} (a boolean index)" if by_mask else str(func))
        return func(*args, **(kwargs or {}))


@prop(
    "C17-no-host-sync",
    cost=10,
    statement="No operator reads data back to the host, or makes a shape out of data.",
    rationale="On a GPU each such read waits for all work queued before; a CUDA graph forbids it.",
    catches="`.item()`, `bool(mask.any())`, `nonzero`, boolean indexing",
    needs=("data_independent",),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (1, 1), (40, 50)),
        grads=((), ("x_recon", "x")),
        pairs=SAME_PAIRS,
        patterns=("full", "empty", "bernoulli"),
    ),
)
def no_host_sync(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    with _ReadsBack() as recorded:
        loss = probe.call(case, inputs)
        if case.grads:
            probe.pull(case, loss, inputs)
    if recorded.seen:
        raise Violation(
            "data is read back to the host",
            got=", ".join(recorded.seen[:3]),
            wanted="no such operator",
        )


class _Counting:
    """A compiler backend that counts the graphs it is given and hands them to aot_eager.

    In a thin profile the captured graph is run as it is: AOT autograd takes seconds to import.
    """

    def __init__(self, thin: bool) -> None:
        self.graphs, self.thin = 0, thin

    def __call__(self, graph: Any, example_inputs: Any) -> Any:
        self.graphs += 1
        if self.thin:
            return graph.forward
        from torch._dynamo.backends.debugging import aot_eager

        return aot_eager(graph, example_inputs)


def _every_call(probe: Probe) -> Callable[[Tensor, Tensor, Tensor], tuple[Any, ...]]:
    """Both functions under every claimed reduction, in the order of CALLS: all in one graph."""
    calls = [probe.fit(Case(function, reduction)) for function, reduction in CALLS]
    functions = [
        (probe.function(c.function), {} if c.reduction is None else {"reduction": c.reduction})
        for c in calls
    ]

    def losses(x_recon: Tensor, x: Tensor, mask: Tensor) -> tuple[Any, ...]:
        return tuple(function(x_recon, x, mask, **given) for function, given in functions)

    return losses


def _right_losses(
    probe: Probe, every_call: Callable[..., tuple[Any, ...]], case: Case, how: str
) -> None:
    """Every loss that a compiled `every_call` gives, and its gradients, are right."""
    for number, (function, reduction) in enumerate(CALLS):
        probe.calls += 1
        called = probe.fit(case.but(function=function, reduction=reduction))
        # Anew for each: a compiled backward may run once only.
        inputs = probe.build(called)
        probe.note(inputs.mask)
        loss = every_call(*inputs)[number]
        if not inputs.mask.any() and probe.divides_by_zero(called):
            continue  # C7 and C12 say so; the other masks are still to be seen
        if not isinstance(loss, Tensor):
            raise Violation(f"{how}, the result is no tensor", got=loss, wanted="a tensor")
        try:
            probe.right_value(loss, called, inputs, ordered=False)
            if case.grads:
                probe.right_gradients(probe.pull(called, loss, inputs), called, inputs)
        except Violation as violation:
            violation.what = f"{how}, {violation.what}"
            raise


@prop(
    "C18-compile",
    fixed=True,
    cost=10,
    statement="torch.compile(fullgraph=True, dynamic=True) takes it whole: value, gradient, one "
    "graph for all masks and all sizes from 2 on.",
    rationale="Training steps are compiled; a graph break or a compilation per batch undoes it.",
    catches="prints, data-dependent branches, loops over rows, constants baked from the first mask",
    needs=("compile",),
    scaled=True,
    grid=lambda effort: _compiled_cases(effort),
)
def compiles(probe: Probe, case: Case, effort: Effort) -> None:
    case = probe.without_gradients(case)
    torch.compiler.reset()
    counter = _Counting(effort.thin > 1)
    compiled = torch.compile(_every_call(probe), fullgraph=True, dynamic=True, backend=counter)
    try:
        for number, (shape, pattern) in enumerate(
            (
                ((4, 6), "bernoulli"),
                ((4, 6), "empty"),
                ((4, 6), "full"),
                ((5, 5), "one"),
                ((3, 17), "bernoulli"),
                ((2, 3), "full"),
                *_several_blocks(effort),
            )
        ):
            again = case.but(
                shape=shape, mask=Mask(pattern, number), x_recon__values=Lattice(number)
            )
            again = again.but(x_recon__outside=NAN if pattern == "bernoulli" else None)
            if number == 5:  # a difference that half precision would round
                again = again.but(x_recon__values=Constant(2048.0), x__values=Constant(0.5))
            _right_losses(probe, compiled, again, "compiled")
        if counter.graphs > 1:
            raise Violation(
                "it was compiled again when the mask or a size changed",
                got=f"{counter.graphs} graphs",
                wanted="1 graph",
            )
    finally:
        torch.compiler.reset()


def _several_blocks(effort: Effort) -> list[tuple[tuple[int, int], str]]:
    """A size at which blocked code takes more than one block, in the deep profile."""
    return [((40, 50), "bernoulli")] if effort.profile == "deep" else []


def _compiled_cases(effort: Effort) -> list[Case]:
    """One for each pairing of dtypes that a graph may branch on; in a thin profile half alone."""
    pairs = [("float16", "float16"), ("float32", "float32"), ("float64", "float64")]
    pairs += [("bfloat16", "bfloat16"), ("float16", "float32"), ("float32", "bfloat16")]
    pairs += [("float64", "float32"), ("bfloat16", "float64")]
    return [
        Case(
            shape=(4, 6),
            x_recon=Operand(pair[0], Lattice(1)),
            x=Operand(pair[1], Lattice(2)),
            mask=Mask("bernoulli", 1),
            grads=(*GRADS, ())[number % 4] if number > 1 else GRADS[1],
        )
        for number, pair in enumerate(pairs[:1] if effort.thin > 1 else pairs)
    ]


@prop(
    "C18-export",
    fixed=True,
    cost=10,
    statement="torch.export takes it with dynamic B and L; the program is right at other sizes.",
    rationale="An exported validation step must not be tied to one batch size.",
    catches="sizes or masks baked into the program",
    needs=("compile",),
    scaled=True,
    grid=lambda effort: _compiled_cases(effort),
)
def exports(probe: Probe, case: Case, effort: Effort) -> None:
    losses = _every_call(probe)

    class Losses(torch.nn.Module):
        def forward(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Any:
            return losses(x_recon, x, mask)

    case = case.but(grads=())
    inputs = probe.build(case)
    rows, columns = torch.export.Dim("B", min=2), torch.export.Dim("L", min=2)
    sizes = {name: {0: rows, 1: columns} for name in ("x_recon", "x", "mask")}
    program = torch.export.export(Losses(), tuple(inputs), dynamic_shapes=sizes).module()
    shapes = (((4, 6), "empty"), ((3, 9), "bernoulli"), ((8, 2), "full"))
    for shape, pattern in (*shapes, *_several_blocks(effort)):
        again = case.but(shape=shape, mask=Mask(pattern, 5), x_recon__outside=NAN)
        if pattern == "full":  # a difference that half precision would round
            again = again.but(x_recon__values=Constant(2048.0), x__values=Constant(0.5))
        _right_losses(probe, program, again, "exported")


def _stacked(
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


def _functional(probe: Probe, case: Case) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return probe.call(case, Inputs(x_recon, x, mask))

    return loss


@prop(
    "C19-vmap",
    cost=9,
    statement="torch.func.vmap maps over any of the inputs, along any dimension, also nested.",
    rationale="Ensembles and per-sample losses are a vmap over the loss.",
    catches="no vmap rule; a sum over the mapped dimension; only right when everything is mapped",
    needs=("transforms",),
    grid=lambda effort: small_grid(
        effort,
        share=3,
        shapes=((2, 3), (1, 1), (4, 5), (3, 65), (33, 2)),
        patterns=("bernoulli",),
        pairs=(
            *SAME_PAIRS,
            ("float16", "float32"),
            ("float32", "float64"),
            ("float64", "bfloat16"),
        ),
    ),
)
def vmaps(probe: Probe, case: Case) -> None:
    vmap = torch.func.vmap
    loss = _functional(probe, case)
    count = 3
    items, stacks = _stacked(case, count, probe, _POISONS)
    single = [item.build(probe.device) for item in items]
    for mapped in itertools.product((True, False), repeat=3):
        if mapped in _NOT_ASKED:
            continue
        for dim in (0, 1, 2, -1):
            dims = tuple(dim if m else None for m in mapped)
            given = [
                stack.movedim(0, dim) if m else stack[0]
                for stack, m in zip(stacks, mapped, strict=True)
            ]
            got = vmap(loss, in_dims=dims)(*given)
            if not isinstance(got, Tensor) or got.shape != (count,):
                raise Violation(
                    f"vmap with in_dims={dims} has a wrong shape",
                    got=got,
                    wanted=f"shape ({count},)",
                )
            for k in range(count):
                here = Inputs(*(single[k if m else 0][i] for i, m in enumerate(mapped)))
                _right_slice(probe, got[k], case, here, f"vmap with in_dims={dims}, slice {k}")
    square = (count, count, *case.shape)
    nested = vmap(vmap(loss))(
        stacks.x_recon[:, None].expand(square),
        stacks.x[None].expand(square),
        stacks.mask[:, None].expand(square),
    )
    for i, j in itertools.product(range(count), repeat=2):
        here = Inputs(single[i][0], single[j][1], single[i][2])
        _right_slice(probe, nested[i, j], case, here, f"nested vmap, slice {i}, {j}")


def _right_slice(probe: Probe, got: Tensor, case: Case, inputs: Inputs, where: str) -> None:
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


@prop(
    "C19-grad",
    cost=9,
    statement="torch.func.grad, and vmap(grad), give the gradient of C11 for each sample.",
    rationale="Per-sample gradients (differential privacy, influence) are vmap(grad(loss)).",
    catches="autograd.Functions without setup_context; gradients mixed across samples",
    needs=("transforms", "gradients"),
    grid=lambda effort: small_grid(
        effort,
        share=3,
        shapes=((2, 3), (1, 1), (4, 5), (3, 65), (33, 2)),
        patterns=("bernoulli",),
        pairs=(
            *SAME_PAIRS,
            ("float16", "float32"),
            ("float32", "float64"),
            ("float64", "bfloat16"),
        ),
    ),
)
def functional_gradients(probe: Probe, case: Case) -> None:
    _functional_gradients(probe, case, (None,))


@prop(
    "C12-excluded-transforms",
    cost=9,
    statement="Under torch.func.grad, jvp and vmap, poison outside the mask reaches no derivative.",
    rationale="A transform takes other paths through a hand-written backward.",
    catches="masking after the square or by a product, in a vmap or jvp rule",
    needs=("transforms", "gradients"),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (4, 5)),
        patterns=("bernoulli",),
        pairs=SAME_PAIRS[:2],
        share=2,
    ),
)
def excluded_transforms(probe: Probe, case: Case) -> None:
    _functional_gradients(probe, case, _POISONS)
    if probe.claims.forward_mode:
        _jvps(probe, case, _POISONS)


def _functional_gradients(probe: Probe, case: Case, poisons: tuple[float | None, ...]) -> None:
    func = torch.func
    items, stacks = _stacked(case, 3, probe, poisons)
    loss = _functional(probe, case)
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


@prop(
    "C19-jvp",
    cost=9,
    statement="torch.func.jvp, vmap(jvp) and jacfwd agree with the formula.",
    rationale="Forward mode composes with the other transforms.",
    catches="autograd.Functions without a jvp; tangents mixed across samples",
    needs=("transforms", "gradients", "forward_mode"),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (1, 1)),
        patterns=("bernoulli",),
        pairs=SAME_PAIRS[:2],
        share=2,
    ),
)
def jvps(probe: Probe, case: Case) -> None:
    _jvps(probe, case, (None,))


def _jvps(probe: Probe, case: Case, poisons: tuple[float | None, ...]) -> None:
    func = torch.func
    items, stacks = _stacked(case, 3, probe, poisons)
    loss = _functional(probe, case)
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
    func = torch.func
    inputs = probe.build(case)
    probe.note(inputs.mask)
    loss = _functional(probe, case)
    probe.right_gradients({"x_recon": func.jacrev(loss)(*inputs)}, case, inputs)
    probe.right_gradients({"x": func.jacrev(loss, argnums=1)(*inputs)}, case, inputs)
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    diagonal = 2 * inputs.mask.reshape(-1).double() / divisor
    for (i, j), sign in (((0, 0), 1), ((1, 1), 1), ((0, 1), -1)):
        hessian = func.jacfwd(func.jacrev(loss, argnums=i), argnums=j)
        mapped = func.vmap(hessian)(*(t[None].expand(2, *t.shape) for t in inputs))
        for how, got in (
            ("hessian", hessian(*inputs)),
            ("vmap of hessian", mapped[1]),
            ("jacrev of jacrev", func.jacrev(func.jacrev(loss, argnums=i), argnums=j)(*inputs)),
            ("jacrev of jacfwd", func.jacrev(func.jacfwd(loss, argnums=i), argnums=j)(*inputs)),
        ):
            square = got.reshape(case.count, case.count).double()
            wanted = torch.diag(sign * diagonal)
            # One division by the count, rounded to the input's dtype: 16 roundoffs as in C11.
            bound = 16 * torch.finfo(inputs.x.dtype).eps
            if not bool(((square - wanted).abs() <= bound * wanted.abs()).all()):
                raise Violation(
                    f"{how} of arguments {i}, {j} is wrong",
                    got=square.tolist().__repr__()[:200],
                    wanted=wanted.tolist().__repr__()[:200],
                    bound=f"relative {bound:.3g}",
                )


@prop(
    "C19-vmap-empty",
    statement="Under vmap, samples whose masks select nothing give exactly +0.0, and they alone.",
    rationale="In a mapped mean every sample has a count of its own, zero among them.",
    catches="a count shared by the samples; 0/0 in one sample spoiling the others",
    needs=("transforms",),
    grid=lambda effort: (
        Case(f, r, s, Operand(d, Lattice(k)), Operand(d, Lattice(k + 1)), salt=k)
        for k, ((f, r), s, d) in enumerate(
            itertools.product(CALLS, (*EMPTY_SHAPES[:3], (2, 3)), ("float32", "float16"))
        )
    ),
)
def vmap_empty(probe: Probe, case: Case) -> None:
    items, stacks = _stacked(case, 4, probe, _POISONS)
    got = torch.func.vmap(_functional(probe, case))(*stacks)
    for k, item in enumerate(items):
        _right_slice(probe, got[k], item, item.build(probe.device), f"vmap, slice {k}")
