"""C17: nothing depends on data: meta and fake tensors, no read back to the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.cases import Case, Inputs
from ..inputs.grids import GRADS, SAME_PAIRS, small_grid
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop


def _placed(inputs: Inputs, wrap: Callable[[Tensor], Tensor]) -> Inputs:
    return Inputs(*(wrap(t.detach()).requires_grad_(t.requires_grad) for t in inputs))


def _without_grad_mode(probe: Probe, case: Case, inputs: Inputs) -> None:
    """Evaluation is another path in many a loss, and plans and streams no less."""
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            probe.call(case, inputs)


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
        shapes=((2, 3), (0, 3), (3, 0), (1, 1), (300, 300)),
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
    else:
        _without_grad_mode(probe, case, inputs)


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
        shapes=((2, 3), (3, 1), (300, 300)),
        patterns=("bernoulli",),
        grads=((), *GRADS),
        pairs=SAME_PAIRS,
    ),
)
def fake(probe: Probe, case: Case) -> None:
    case = probe.without_gradients(case)
    real = probe.build(case)
    probe.note(real.mask)
    with internals.fake_mode() as mode:
        inputs = _placed(real, lambda t: mode.from_tensor(t))
        loss = probe.call(case, inputs)
        if case.grads:
            probe.pull(case, loss, inputs)
        else:
            _without_grad_mode(probe, case, inputs)
    _right_kind(probe, loss, case, real, inputs)


class _ReadsBack(internals.TorchDispatchMode):
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
        shapes=((2, 3), (1, 1), (300, 300)),
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
        else:
            _without_grad_mode(probe, case, inputs)
    if recorded.seen:
        raise Violation(
            "data is read back to the host",
            got=", ".join(recorded.seen[:3]),
            wanted="no such operator",
        )
