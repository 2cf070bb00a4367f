"""C14–C16: inputs left alone, layouts that do not matter, and no trace in the process."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from . import ambient
from .cases import DTYPES, LAYOUTS, Case, Inputs, Lattice, Mask, Operand
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
    thinned,
)
from .value import INF, NAN, SAME_PAIRS
from .violation import Violation

NAMES = ("x_recon", "x", "mask")


def _whole(tensor: Tensor) -> Tensor:
    """All of the memory behind a tensor, as bytes."""
    return torch.tensor([], dtype=torch.uint8, device=tensor.device).set_(
        tensor.detach().untyped_storage()
    )


def _move(tensor: Tensor) -> None:
    """Give a tensor other memory, with other values in it."""
    new = tensor.clone() + 1
    tensor.set_(new.untyped_storage(), new.storage_offset(), new.shape, new.stride())


_ATTRIBUTES = (
    *("version counter", "requires_grad", "strides", "shape", "offset", "dtype", "address"),
    *("hooks", "retains_grad"),
)


def _attributes(tensor: Tensor) -> tuple[Any, ...]:
    return (
        tensor._version,
        tensor.requires_grad,
        tensor.stride(),
        tensor.shape,
        tensor.storage_offset(),
        tensor.dtype,
        tensor.untyped_storage().data_ptr(),
        [*(tensor._backward_hooks or ())],
        tensor.retains_grad,
    )


def _in_every_layout(effort: Effort) -> Iterator[Case]:
    """Few elements, down to one, all three inputs laid out alike."""
    for salt, (layout, shape, dtype) in enumerate(
        itertools.product(LAYOUTS, ((1, 1), (2, 3), (3, 3)), ("float32", "float16", "float64"))
    ):
        yield Case(
            *CALLS[salt % len(CALLS)],
            shape,
            Operand(dtype, Lattice(effort.seed + salt), layout),
            Operand(dtype, Lattice(effort.seed + salt + 1), layout),
            Mask(("full", "bernoulli")[salt % 2], salt, layout),
            salt=salt,
        )


@prop(
    "C14-inputs-untouched",
    statement="Inputs keep values, versions, requires_grad, strides, hooks and .grad, through "
    "backward.",
    rationale="The same batch is scored again, logged, and given to other losses.",
    catches="in-place masking; a label overwritten; requires_grad turned off; buffers scribbled on",
    cases=cases(tier="hard", layouts=LAYOUTS, grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(x_recon__outside=NAN, x__outside=NAN, grads=((), *GRADS)[case.salt % 4])
        for case in itertools.chain(
            _in_every_layout(effort),
            sized_grid(effort, patterns=("bernoulli", "empty", "full"), largest=2**13),
        )
    ),
)
def inputs_untouched(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    collected = {name: torch.ones_like(getattr(inputs, name)).detach() for name in case.grads}
    for name, gradient in collected.items():
        getattr(inputs, name).grad = gradient
    before = [(_whole(t).clone(), *_attributes(t)) for t in inputs]
    loss = probe.call(case, inputs)
    if case.grads:
        probe.pull(case, loss, inputs)
    for name, tensor, old in zip(NAMES, inputs, before, strict=True):
        new = (_whole(tensor), *_attributes(tensor))
        if old[0].shape != new[0].shape or not torch.equal(old[0], new[0]):
            raise Violation(f"the memory of {name} was modified", got=tensor, wanted="as before")
        for words, a, b in zip(_ATTRIBUTES, old[1:], new[1:], strict=True):
            if a != b:
                raise Violation(f"{words} of {name} changed", got=str(b), wanted=str(a))
        there = collected.get(name)
        if tensor.grad is not there or (there is not None and not bool((there == 1).all())):
            raise Violation(f"{name}.grad was touched", got=tensor.grad, wanted=there)


@prop(
    "C14-no-alias",
    statement="The result shares no memory with the inputs, nor with the result of another call.",
    rationale="Accumulating into the loss in place must not write into a batch.",
    catches="a view returned for one element; the reduction of a 1 × 1 input being the input",
    cases=cases(tier="lattice", layouts=LAYOUTS),
    grid=lambda effort: itertools.chain(
        small_grid(effort, shapes=((1, 1), (1, 2)), pairs=SAME_PAIRS),
        small_grid(effort, shapes=EMPTY_SHAPES, pairs=SAME_PAIRS, patterns=("full",)),
    ),
    weight=0.5,
)
def no_alias(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    copies = [_whole(t).clone() for t in inputs]
    loss.detach().fill_(17)
    for name, tensor, copy in zip(NAMES, inputs, copies, strict=True):
        if not torch.equal(_whole(tensor), copy):
            raise Violation(
                f"writing into the result changes {name}", got=tensor, wanted="as before"
            )
    again = probe.call(case, inputs)
    probe.right_value(again, case, inputs)


@prop(
    "C14-gradient-memory",
    statement="A gradient shares no memory with the inputs, the upstream gradient, or another one.",
    rationale="Gradients are clipped, scaled and zeroed in place.",
    catches="the upstream gradient passed on; one buffer, or views of one, for both inputs",
    needs=("gradients",),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (1, 2), (2, 3), (33, 40)),
        patterns=("full", "bernoulli", "empty"),
        pairs=SAME_PAIRS,
        grads=GRADS,
        share=4,
    ),
)
def gradient_memory(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    wrt = [getattr(inputs, name) for name in case.grads]
    if probe.unconnected(loss, wrt, inputs):
        return
    upstream = torch.full_like(loss, case.upstream)
    found = torch.autograd.grad(loss, wrt, upstream)
    others = {**inputs._asdict(), "the upstream gradient": upstream}
    others |= {f"the gradient of {n}": g for n, g in zip(case.grads, found, strict=True)}
    for name, gradient in zip(case.grads, found, strict=True):
        before = {n: t.detach().clone() for n, t in others.items() if t is not gradient}
        with suppress(RuntimeError):  # an expanded gradient cannot be written to
            gradient.fill_(17)
        for other, copy in before.items():
            if not same_bits(others[other], copy):
                raise Violation(
                    f"writing into the gradient of {name} changes {other}",
                    got=others[other],
                    wanted=copy,
                )


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
            for laid_out in ((0, 1, 2), (0,), (1,), (2,)):
                number += 1
                function, reduction = CALLS[number % len(CALLS)]
                a, b, m = (layout if i in laid_out else "contiguous" for i in range(3))
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


@prop(
    "C16-repeatable",
    statement="The same call gives the same bits, value and gradient, whenever it is made.",
    rationale="Runs must be comparable; a difference must have a cause.",
    catches="random order or subsampling; the first call differing from later ones; counters",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(grads=((), ("x_recon", "x"))[case.salt % 2])
        for case in sized_grid(effort, patterns=("full", "bernoulli"), largest=2**18)
    ),
    weight=0.5,
)
def repeatable(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    kept: list[Tensor] | None = None
    for time in range(5):
        loss, inputs = probe.loss(case)
        found = [loss.detach()] + ([*probe.pull(case, loss, inputs).values()] if case.grads else [])
        if time == 2:
            torch.rand(3)  # a random state that has moved on must not matter
        if kept is None:
            kept = found
            continue
        for a, b in zip(kept, found, strict=True):
            if not same_bits(a, b):
                raise Violation(f"call {time + 1} differs from call 1", got=b, wanted=a)


@prop(
    "C16-history",
    statement="A result depends on this call's arguments alone, and stays as it is afterwards.",
    rationale="Tensors are reused and changed in place; losses are collected and added up later.",
    catches="caches keyed by identity, address or shape; one output buffer for all calls",
    cases=cases(tier="lattice", grads=((), *GRADS), empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 1), (2, 3), (33, 32)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        share=2,
    ),
)
def history(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case.but(grads=()))
    probe.note(inputs.mask)
    first = probe.call(case, inputs)
    kept = first.clone()
    probe.right_value(first, case, inputs)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("x_recon was changed in place", lambda: inputs.x_recon.neg_()),
        ("x was changed in place", lambda: inputs.x.mul_(-2)),
        ("the mask was inverted in place", lambda: inputs.mask.logical_not_()),
        ("x_recon was changed through .data", lambda: inputs.x_recon.data.neg_()),
        ("the mask was inverted through .data", lambda: inputs.mask.data.logical_not_()),
        ("the mask was cleared in place", lambda: inputs.mask.fill_(False)),
        ("the mask was filled in place", lambda: inputs.mask.fill_(True)),
        ("x_recon got new memory", lambda: _move(inputs.x_recon)),
        ("a call was refused", lambda: _refused_calls(probe, case, inputs)),
    ]
    for what, change in steps:
        change()
        # Another shape in between, so that a scratch of the wrong size would be seen.
        other = case.but(
            grads=(),
            shape=(case.shape[1] + 1, 2),
            mask=Mask("full"),
            x_recon=Operand(case.x_recon.dtype, Lattice(3)),
            x=Operand(case.x.dtype, Lattice(4)),
        )
        other_loss, other_inputs = probe.loss(other)
        probe.right_value(other_loss, other, other_inputs)
        try:
            later = probe.call(case.but(grads=()), inputs)
            probe.right_value(later, case, inputs)
        except Violation as violation:
            violation.what = f"after {what}, with the same tensors: {violation.what}"
            violation.script = _history_script(case, probe, what)
            raise
    if not same_bits(first, kept):
        raise Violation("a later call changed an earlier result", got=first, wanted=kept)
    probe.case = case
    if case.grads:
        # The tensors of a new build may lie where the old ones lay: nothing may be remembered.
        for salt in (1, 2, 3):
            fresh = case.but(x_recon__values=Lattice(salt), x__values=Lattice(salt + 9))
            fresh = fresh.but(mask=Mask("bernoulli", salt), upstream=float(salt))
            loss, new, found = probe.gradients(fresh)
            probe.right_value(loss, fresh, new)
            probe.right_gradients(found, fresh, new)


def _refused_calls(probe: Probe, case: Case, inputs: Inputs) -> None:
    """Calls that fail, each at another argument; whatever they raise is not asked here."""
    x_recon, x, mask = inputs
    for given in ((x_recon, x, mask.long()), (x_recon, x[:, :0], mask), (None, x, mask)):
        with suppress(Exception):
            probe.raw(case.but(grads=()), *given)
    with suppress(Exception):
        probe.function(case.function)(*inputs, reduction="none")


def _history_script(case: Case, probe: Probe, what: str) -> str:
    given = f", reduction={case.reduction!r}" if case.reduction else ""
    changes = {
        "x_recon was changed in place": "x_recon.neg_()",
        "x was changed in place": "x.mul_(-2)",
        "the mask was inverted in place": "mask.logical_not_()",
        "x_recon was changed through .data": "x_recon.data.neg_()",
        "the mask was inverted through .data": "mask.data.logical_not_()",
        "the mask was cleared in place": "mask.fill_(False)",
        "the mask was filled in place": "mask.fill_(True)",
        "x_recon got new memory": "x_recon.set_(x_recon.clone() + 1)",
        "a call was refused": "\n".join(
            [
                "try:",
                f"    {case.function}(x_recon, x, mask.long())",
                "except TypeError:",
                "    pass",
            ]
        ),
    }
    call = f"print({case.function}(x_recon, x, mask{given}))"
    lines = [case.but(grads=()).script(probe.subject.imports, call=False), call]
    for name, change in changes.items():
        lines += [change, call]
        if name == what:
            break
    return "\n".join(lines)


@prop(
    "C16-globals",
    cost=9,
    statement="No global state changes: random state, default dtype, grad mode, threads, warnings.",
    rationale="A loss that draws a random number or sets a default changes everybody's run.",
    catches="manual_seed; set_default_dtype; set_grad_enabled; set_num_threads; filterwarnings",
    cases=cases(grads=((), *GRADS)),
    weight=0.5,
)
def globals_untouched(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    inputs = probe.build(case)
    probe.note(inputs.mask)
    with ambient.unusual():
        before = ambient.snapshot()
        probe.call(case, inputs)
        changed = ambient.differences(before, ambient.snapshot())
    if changed:
        words = "; ".join(changed)
        raise Violation(
            f"global state changed, where it was not the default: {words}",
            got=words,
            wanted="as before",
        )
    before = ambient.snapshot()
    loss = probe.call(case, inputs)
    changed = ambient.differences(before, ambient.snapshot())
    if not changed and case.grads:
        probe.pull(case, loss, inputs)
        changed = [f"{c} (in backward)" for c in ambient.differences(before, ambient.snapshot())]
    if changed:
        words = "; ".join(changed)
        raise Violation(f"global state changed: {words}", got=words, wanted="as before")


@prop(
    "C16-silent",
    statement="Nothing is printed or warned, in forward or backward.",
    rationale="A line per step fills a log; warnings are errors in careful projects.",
    catches="debug prints; deprecation warnings; broadcast warnings of F.mse_loss",
    cases=cases(grads=((), *GRADS)),
    grid=lambda effort: (
        case.but(grads=((), *GRADS)[case.salt % 4])
        for case in small_grid(effort, shapes=((0, 3), (1, 1), (2, 3)), pairs=SAME_PAIRS, share=2)
    ),
    weight=0.2,
)
def silent(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    with ambient.listening() as heard:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
    for where, text in heard.items():
        if text:
            raise Violation(
                f"something came out on {where}", got=repr(text[:200]), wanted="nothing"
            )


@prop(
    "C16-threads",
    statement="Calls from many threads at once give what each gives alone.",
    rationale="DataParallel, data loaders and servers call from threads.",
    catches="module-level scratch and caches without a lock",
    scaled=True,
)
def threads(probe: Probe, effort: Effort) -> None:
    number = effort.seed % 71
    work = []
    for k, shape in enumerate([(64, 65)] * len(CALLS) + [(3, 4), (257, 257), (257, 257)]):
        case = Case(
            *CALLS[(number + k) % len(CALLS)],
            shape,
            Operand("float32", Lattice(number + k)),
            Operand("float32", Lattice(number + k + 50)),
            Mask("bernoulli", k),
            grads=("x_recon", "x") if k // 2 % 2 else (),
        )
        case = probe.without_gradients(probe.fit(case))
        loss, inputs = probe.loss(case)
        probe.right_value(loss, case, inputs)
        alone = [*probe.pull(case, loss, inputs).values()] if case.grads else []
        work.append((case, loss.detach().clone(), [g.clone() for g in alone]))
    wrong: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def repeat(case: Case, value: Tensor, gradients: list[Tensor]) -> None:
        try:
            inputs = case.build(probe.device)
            barrier.wait(timeout=60)
            for _ in range(10 if effort.thin > 1 else 40):
                given = {} if case.reduction is None else {"reduction": case.reduction}
                loss = probe.function(case.function)(*inputs, **given)
                if not same_bits(loss, value):
                    raise Violation(
                        "a call disturbed by other threads has another value",
                        got=loss,
                        wanted=value,
                    )
                if case.grads:
                    wrt = [getattr(inputs, name) for name in case.grads]
                    for a, b in zip(torch.autograd.grad(loss, wrt), gradients, strict=True):
                        if not same_bits(a, b):
                            raise Violation(
                                "a gradient disturbed by other threads is another one",
                                got=a,
                                wanted=b,
                            )
        except BaseException as error:
            if isinstance(error, Violation):
                error.case = case
            wrong.append(error)
            barrier.abort()

    runners = [threading.Thread(target=repeat, args=item, daemon=True) for item in work]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    for error in sorted(wrong, key=lambda e: not isinstance(e, Violation)):
        raise error


@prop(
    "C16-other-thread",
    statement="Backward may run in another thread than the call.",
    rationale="Autograd runs the backward of a GPU in a thread of its own.",
    catches="what backward needs kept for the calling thread only",
    needs=("gradients",),
    grid=lambda effort: small_grid(
        effort,
        shapes=((2, 3), (33, 40)),
        patterns=("full", "bernoulli"),
        pairs=SAME_PAIRS,
        grads=GRADS,
        share=12,
    ),
)
def other_thread(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    with ThreadPoolExecutor(1) as other:
        found = other.submit(probe.pull, case, loss, inputs).result()
    probe.right_gradients(found, case, inputs)


@prop(
    "C14-nothing-kept",
    statement="Once the result is dropped, nothing refers to the inputs of a call any more.",
    rationale="A batch that something still refers to is memory that fills up, step by step.",
    catches="inputs, results or graphs collected in a list or a cache of the module",
    cases=cases(tier="lattice", grads=((), *GRADS)),
    weight=0.2,
)
def nothing_kept(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)

    def call() -> list[weakref.ref[Tensor]]:
        loss, inputs = probe.loss(case)
        if case.grads:
            probe.pull(case, loss, inputs)
        return [weakref.ref(tensor) for tensor in (*inputs, loss)]

    names = (*NAMES, "the result")
    kept = [name for name, seen in zip(names, call(), strict=True) if seen() is not None]
    if kept:  # a cycle of references is no leak: collecting it takes a while, and is done seldom
        names_and_refs = zip(names, call(), strict=True)
        gc.collect()
        kept = [name for name, seen in names_and_refs if seen() is not None]
    if kept:
        raise Violation(
            "something of a call is still referred to after its result was dropped",
            got=", ".join(kept),
            wanted="nothing",
        )
