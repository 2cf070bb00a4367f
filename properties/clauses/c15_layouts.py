"""C15: memory layouts that do not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..inputs.cases import DTYPES, Case, Inputs
from ..inputs.effort import Effort
from ..inputs.grids import CALLS, GRADS, SAME_PAIRS, scattered, small_grid, thinned
from ..inputs.layouts import LAYOUTS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.strategies import cases
from ..inputs.values import INF, NAN, Lattice
from ..judge.probe import Probe
from ..judge.situation import laid_out
from ..judge.violation import Violation
from .registry import prop
from .situations import situation


@prop(
    "C15-layouts",
    cost=5,
    statement="Strides, storage offset, expansion and contiguity of any input do not matter.",
    rationale="Batches come as slices, transposes and expanded templates.",
    catches="strided or expanded input read as if dense; the mask's layout taken for the values'",
    cases=cases(tier="lattice", layouts=LAYOUTS, grads=((), *GRADS), empty=False),
    grid=lambda effort: _layouts(effort),
)
def layouts(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)
    if case.grads:
        probe.right_gradients(probe.pull(case, loss, inputs), case, inputs)


def _layouts(effort: Effort) -> Iterator[Case]:
    number = effort.seed % 73
    for shape in ((2, 3), (3, 1), (1, 4), (33, 31), (65, 130)):
        for a in LAYOUTS:
            for b in LAYOUTS:
                for m in LAYOUTS:
                    number += 1
                    alone = (a, b, m).count("contiguous")
                    if (effort.thin > 1 and number % 16) or (alone == 0 and number % 3):
                        continue
                    function, reduction = CALLS[number % len(CALLS)]
                    dtype = DTYPES[number // 2 % 4]
                    yield Case(
                        function,
                        reduction,
                        shape,
                        Operand(dtype, Lattice(number), a),
                        Operand(dtype if number % 3 else "float32", Lattice(number + 1), b),
                        Mask(("bernoulli", "ragged", "blocks")[number % 3], number, m),
                        grads=((), *GRADS)[number % 4],
                    )


@prop(
    "C15-sizes",
    cost=3,
    statement="Layouts do not matter at sizes of many blocks either, whichever inputs have them.",
    rationale="What is not contiguous is cut into blocks in another way, or copied first.",
    catches="stripes, tiles and copies of large strided inputs, in forward and in backward",
    grid=lambda effort: _large_layouts(effort),
)
def large_layouts(probe: Probe, case: Case) -> None:
    layouts(probe, case)


def _large_layouts(effort: Effort) -> Iterator[Case]:
    number = effort.seed % 79
    found = []
    for shape in ((300, 111), (257, 257), (513, 513)):
        for layout in LAYOUTS[1:]:
            for which in ((0, 1, 2), (0,), (1,), (2,)):
                number += 1
                function, reduction = CALLS[number % len(CALLS)]
                a, b, m = (layout if i in which else "contiguous" for i in range(3))
                dtype = DTYPES[number // 4 % 4]
                found.append(
                    Case(
                        function,
                        reduction,
                        shape,
                        Operand(dtype, Lattice(number), a),
                        Operand(dtype if number % 3 else "float32", Lattice(number + 1), b),
                        Mask(("bernoulli", "ragged", "blocks", "one")[number // 5 % 4], number, m),
                        grads=((), *GRADS)[number // 2 % 4],
                    )
                )
    return thinned((c for c in found if c.shape[0] * c.shape[1] <= effort.largest * 1.01), effort)


@prop(
    "C15-any-size",
    statement="At any size, inputs laid out alike or each in its own way give the right answer.",
    rationale="A kernel picks its loop by size and by strides together.",
    catches="a fast path for transposed, expanded or sliced inputs that only some sizes take",
    grid=lambda effort: scattered(effort, layouts=LAYOUTS, grads=((), *GRADS)),
)
def any_size(probe: Probe, case: Case) -> None:
    layouts(probe, case)


def _shared(case: Case, probe: Probe) -> Iterator[tuple[str, Inputs]]:
    """x_recon and x in one memory, in several ways; the mask in its own."""
    rows, columns = case.shape
    values = Lattice(case.salt).values((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    dtype = getattr(torch, case.x_recon.dtype)
    ways: tuple[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], ...] = (
        ("x is x_recon, one column on", lambda t: t[:-1, :-1], lambda t: t[:-1, 1:]),
        ("x is x_recon, one row on", lambda t: t[:-1, 1:], lambda t: t[1:, 1:]),
        (
            "x is row 0 of x_recon, expanded",
            lambda t: t[:-1, 1:],
            lambda t: t[:1, 1:].expand(rows, -1),
        ),
        ("x is x_recon transposed", lambda t: t[:rows, :rows], lambda t: t[:rows, :rows].t()),
    )
    for what, of_recon, of_x in ways:
        memory = torch.from_numpy(values).to(dtype).to(probe.device)
        pair = of_recon(memory).detach(), of_x(memory).detach()
        shaped = case.but(shape=tuple(pair[0].shape))
        mask = shaped.build(probe.device).mask
        for name, tensor in zip(("x_recon", "x"), pair, strict=True):
            tensor.requires_grad_(name in case.grads)
        yield what, Inputs(*pair, mask)


@prop(
    "C15-shared-memory",
    statement="x_recon and x may be different views of one memory, or one tensor.",
    rationale="One-step-ahead targets are the same signal, shifted by one.",
    catches="tensors told apart by their address; scratch written into an input",
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 2), (3, 3), (33, 33)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        grads=((), ("x_recon", "x")),
        share=5,
    ),
)
def shared_memory(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    for what, inputs in _shared(case, probe):
        probe.note(inputs.mask)
        loss = probe.call(case, inputs)
        try:
            probe.right_value(loss, case, inputs)
            if case.grads:
                probe.right_gradients(probe.pull(case, loss, inputs), case, inputs)
        except Violation as violation:
            violation.what = f"{what}: {violation.what}"
            violation.script = case.holding(inputs).script(probe.subject.imports)
            violation.script += f"\n# the values of a failing call, in which {what}"
            raise
    same = probe.build(case.but(grads=())).x_recon
    for value in (1.5, NAN, INF):
        same.fill_(value)
        given = Inputs(same, same, torch.ones_like(same, dtype=torch.bool))
        try:
            probe.right_value(probe.call(case, given), case, given)
        except Violation as violation:
            violation.what = f"x is x_recon, everywhere {value}: {violation.what}"
            keyword = f", reduction={case.reduction!r}" if case.reduction else ""
            violation.script = "\n".join(
                [
                    f"import torch\n{probe.subject.imports}",
                    f"x = torch.full({case.shape}, float('{value}'), dtype={same.dtype})",
                    f"print({case.function}(x, x, torch.ones_like(x, dtype=torch.bool){keyword}))",
                ]
            )
            raise


@prop(
    "C15-negated-view",
    statement="A view that torch negates lazily (imaginary part of a conjugate) counts negated.",
    rationale="Spectra from complex data are such views; their memory holds the opposite sign.",
    catches="memory read past torch's view metadata",
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3), (1, 9)), patterns=("full", "bernoulli"), pairs=SAME_PAIRS[:2]
    ),
)
def negated_view(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    lazy = [torch.complex(torch.zeros_like(t), -t).conj().imag for t in inputs[:2]]
    for given in ((lazy[0], inputs.x), (inputs.x_recon, lazy[1]), (lazy[0], lazy[1])):
        probe.right_value(probe.call(case, Inputs(*given, inputs.mask)), case, inputs)


situation(
    "C15-pairs",
    "Whatever two layouts meet, or a layout and anything else, a call keeps its whole contract.",
    catches="a path for some layouts; addresses and strides taken for the tensor",
    array="full",
    only=laid_out,
    because="this is about those",
    layouts=True,
)
