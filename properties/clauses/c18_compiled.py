"""C18: torch.compile and torch.export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import NAN, Constant, Lattice
from ..judge import claims, compiling, ways
from ..judge.probe import Probe
from ..judge.program import Scene
from ..judge.situation import both
from ..judge.violation import Violation
from .c16_situations import AUTOCAST, IN_A_MODE, MODES, NO_GRAD, WITHOUT_GRADIENTS
from .registry import prop
from .situations import situation, together


def _every_call(probe: Probe) -> Callable[[Tensor, Tensor, Tensor], tuple[Any, ...]]:
    """Both functions under every claimed reduction, in the order of CALLS: all in one graph."""
    calls = [probe.fit(Case(function, reduction)) for function, reduction in CALLS]
    functions = [(probe.function(case.function), case.keyword) for case in calls]

    def losses(x_recon: Tensor, x: Tensor, mask: Tensor) -> tuple[Any, ...]:
        return tuple(function(x_recon, x, mask, **given) for function, given in functions)

    return losses


def _right_losses(
    probe: Probe, every_call: Callable[..., tuple[Any, ...]], case: Case, how: str, scene: Scene
) -> None:
    """Every loss that a compiled `every_call` gives, and its gradients, are right."""
    for number, (function, reduction) in enumerate(CALLS):
        probe.calls += 1
        called = probe.fit(case.but(function=function, reduction=reduction))
        probe.scene = scene = _scene_of(called, scene)
        # Anew for each: a compiled backward may run once only.
        inputs = probe.build(called)
        probe.note(inputs.mask)
        loss = every_call(*inputs)[number]
        if not inputs.mask.any() and probe.divides_by_zero(called):
            continue  # C7 and C12 say so; the other masks are still to be seen
        if not isinstance(loss, Tensor):
            what, claim = f"{how}, the result is no tensor", claims.is_tensor("loss")
            raise Violation(what, got=loss, wanted="a tensor", claim=claim, scene=scene)
        try:
            probe.right_value(loss, called, inputs, ordered=False)
            if case.grads:
                probe.right_gradients(probe.pull(called, loss, inputs), called, inputs)
        except Violation as violation:
            violation.what = f"{how}, {violation.what}"
            violation.scene = scene
            raise


def _scene_of(case: Case, scene: Scene) -> Scene:
    """The same way to call on another case."""
    arguments = (case.grads, case.upstream, *scene.arguments[2:]) if scene.arguments else ()
    return replace(scene, case=case, arguments=arguments)


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
    counter = compiling.Counting(effort.quick)
    arguments = case.grads, case.upstream, effort.quick
    probe.scene = scene = Scene(case, act=compiling.compiled, arguments=arguments)
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
            again = again.but(upstream=(1.0, 2.0**16, -2.5)[number % 3])
            if number == 5:  # a difference that half precision would round
                again = again.but(x_recon__values=Constant(2048.0), x__values=Constant(0.5))
            _right_losses(probe, compiled, again, "compiled", scene)
        if counter.graphs > 1:
            raise Violation(
                "it was compiled again when the mask or a size changed",
                got=f"{counter.graphs} graphs",
                wanted="1 graph",
                claim=claims.Claim('found["graphs"]', "got == 1"),
                scene=probe.scene,
            )
        # Each is compiled anew, which the contract does not forbid; traced alone is enough.
        traced = torch.compile(_every_call(probe), fullgraph=True, dynamic=True, backend="eager")
        for number, (for_recon, for_x, for_mask) in enumerate(() if effort.quick else _STRIDES):
            again = case.but(mask=Mask("bernoulli", number, for_mask))
            again = again.but(x_recon__layout=for_recon, x__layout=for_x)
            _right_losses(probe, traced, again, "compiled for other strides", scene)
    finally:
        torch.compiler.reset()


# Of x_recon, x and mask.
_STRIDES = (
    ("transposed", "strided_columns", "strided_rows"),
    ("strided_columns", "contiguous", "transposed"),
    ("contiguous", "transposed", "contiguous"),
)


def _several_blocks(effort: Effort) -> list[tuple[tuple[int, int], str]]:
    """A size at which blocked code takes more than one block, in the deep profile."""
    return [((40, 50), "bernoulli")] if effort.profile == "deep" else []


def _compiled_cases(effort: Effort) -> list[Case]:
    """Pairings of dtypes that a graph may branch on; in the quick profile float16 alone.

    More of them, with sizes 0 and 1, are asked by the situations below.
    """
    pairs = [("float16", "float16"), ("float64", "bfloat16"), ("bfloat16", "bfloat16")]
    if effort.profile == "deep":
        pairs += [("float32", "bfloat16"), ("float32", "float32")]
        pairs += [("float16", "float32"), ("float64", "float64"), ("bfloat16", "float64")]
        pairs += [("float64", "float32")]
    return [
        Case(
            shape=(4, 6),
            x_recon=Operand(pair[0], Lattice(1)),
            x=Operand(pair[1], Lattice(2)),
            mask=Mask("bernoulli", 1),
            grads=(GRADS[1], GRADS[1], GRADS[2], (), *GRADS)[number % 7],
        )
        for number, pair in enumerate(pairs[:1] if effort.quick else pairs)
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
    probe.scene = scene = Scene(case, act=compiling.exported)
    program = torch.export.export(Losses(), tuple(inputs), dynamic_shapes=sizes).module()
    shapes = (((4, 6), "empty"), ((3, 9), "bernoulli"), ((8, 2), "full"))
    largest = (300, 301) if effort.quick else (1025, 1024)
    for shape, pattern in (*shapes, *_several_blocks(effort), (largest, "bernoulli")):
        again = case.but(shape=shape, mask=Mask(pattern, 5), x_recon__outside=NAN)
        if pattern == "full":  # a difference that half precision would round
            again = again.but(x_recon__values=Constant(2048.0), x__values=Constant(0.5))
        _right_losses(probe, program, again, "exported", scene)


ANY_SIZE = situation(
    "C18-any-size",
    "Compiled with dynamic shapes, at sizes 0 and 1 too, a call keeps its whole contract.",
    catches="a branch on a size that was traced at another; a path for compilers alone",
    needs=("compile",),
    cost=10,
    wrap=ways.compiled(),
    around=internals.often_compiled,
    prepare=ways.ready_to_compile,
    array="compiled",
    ordered=False,
    quiet=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
situation(
    "C18-modes",
    "Compiled with dynamic shapes, in no_grad or another of its modes, a call keeps its contract.",
    catches="a path for compilers alone, which counts in the default dtype, or saves where nothing "
    "is recorded",
    needs=("compile",),
    cost=10,
    wrap=both(ways.in_turn(WITHOUT_GRADIENTS, *IN_A_MODE[2:]), ways.compiled()),
    around=internals.often_compiled,
    prepare=ways.ready_to_compile,
    array="compiled",
    whole=True,
    ordered=False,
    quiet=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
    made_of=(NO_GRAD, *MODES, ANY_SIZE),
)
situation(
    "C18-backward",
    "Compiled with dynamic shapes, forward and backward, a call keeps its whole contract.",
    catches="a backward that was traced for one size, one mask or one set of inputs",
    needs=("compile", "gradients"),
    cost=10,
    wrap=ways.compiled(backend="aot_eager_default_partitioner"),
    around=internals.often_compiled,
    prepare=partial(ways.ready_to_compile, "aot_eager_default_partitioner"),
    array="compiled backward",
    ordered=False,
    quiet=False,
    large=False,
    simplify=False,
    refuses=False,
    draws=0,
)
together(
    "C18-autocast",
    "Compiled with dynamic shapes, under autocast to bfloat16, a call keeps its whole contract.",
    catches="a path for compilers alone, with operators that autocast moves to half",
    needs=("compile",),
    cost=10,
    draws=0,
    mode=AUTOCAST,
    transform=ANY_SIZE,
)
