"""C17: nothing depends on data: meta and fake tensors, no read back to the host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from torch import Tensor

from ..inputs.cases import Case
from ..inputs.effort import Effort
from ..inputs.grids import GRADS, SAME_PAIRS, large_grid, small_grid
from ..judge import acts, claims, without_data
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import prop


def _beyond_a_million(effort: Effort) -> Iterator[Case]:
    return large_grid(effort, shapes=((1025, 1025),), grads=((), ("x_recon", "x")))


def _called(
    probe: Probe, case: Case, act: Callable[..., acts.Found], device: str
) -> tuple[Case, acts.Found]:
    """What the act gives, whose gradients have arrived, of the dtype that real tensors give."""
    case = probe.without_gradients(case)
    real = probe.build(case)
    twice = probe.claims.second_order and _has_second_order(probe, case)
    found = probe.perform(case, real, act, case.grads, case.upstream, twice)
    if case.grads:
        probe.arrived(case, found, real)
    _of_its_kind(probe, found, device)
    return case, found


def _has_second_order(probe: Probe, case: Case) -> bool:
    """Whether it can be asked for with real tensors; C13 says where it must be there."""
    try:
        without_data.pull_twice(probe.calling(case), case.build(probe.device), case.grads)
    except Exception:
        return False
    return True


def _of_its_kind(probe: Probe, found: acts.Found, device: str) -> None:
    got, eager = found["loss"], found.get("eager")
    if eager is not None and (got.dtype != eager.dtype or got.device.type != device):
        raise Violation(
            "the result is of another kind than with real tensors",
            got=f"{got.dtype} on {got.device}",
            wanted=f"{eager.dtype} on {device}",
            claim=claims.Claim(
                "(loss.dtype, loss.device.type)",
                f'got == (found["eager"].dtype, "{device}")',
                gradients=True,
            ),
            scene=probe.scene,
        )


@prop(
    "C17-meta",
    cost=10,
    statement="Meta tensors go in, and a meta tensor of the right dtype comes out; backward too.",
    rationale="Shapes and memory are planned on meta tensors before any data exists.",
    catches="`.item()`, `if mask.any()`, boolean indexing: whatever asks for data, in second "
    "order too",
    needs=("data_independent",),
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            share=12,
            shapes=((2, 3), (0, 3), (3, 0), (1, 1), (300, 300)),
            patterns=("bernoulli",),
            grads=((), *GRADS),
        ),
        _beyond_a_million(effort),
    ),
)
def meta(probe: Probe, case: Case) -> None:
    probe.selected = True
    _called(probe, case, without_data.on_meta, "meta")


@prop(
    "C17-fake",
    cost=10,
    statement="Fake tensors go through forward and backward, those of other devices too.",
    rationale="Compilers and sharding planners trace with fake tensors, which have no data.",
    catches="data-dependent branches and shapes that meta tensors happen to survive; other "
    "dtypes on devices that nobody tried",
    needs=("data_independent",),
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            share=2,
            shapes=((2, 3), (3, 1), (300, 300)),
            patterns=("bernoulli",),
            grads=((), *GRADS),
            pairs=SAME_PAIRS,
        ),
        _beyond_a_million(effort),
    ),
)
def fake(probe: Probe, case: Case) -> None:
    probe.note(case.build().mask)
    case, _ = _called(probe, case, without_data.on_fake, probe.device)
    if not case.grads:
        found = probe.perform(case, probe.build(case), without_data.on_another_device)
        if isinstance(found["loss"], Tensor):
            _of_its_kind(probe, found, "xpu")


@prop(
    "C17-no-host-sync",
    cost=10,
    statement="No operator reads data back to the host, or makes a shape out of data, and which "
    "operators run does not depend on it.",
    rationale="On a GPU each such read waits for all work queued before; a CUDA graph forbids it.",
    catches="`.item()`, `bool(mask.any())`, `nonzero`, boolean indexing; branches on what "
    "NumPy, or a pointer, tells of the data",
    needs=("data_independent",),
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            shapes=((2, 3), (1, 1), (300, 300)),
            grads=((), ("x_recon", "x")),
            pairs=SAME_PAIRS,
            patterns=("full", "empty", "bernoulli"),
        ),
        _beyond_a_million(effort),
    ),
)
def no_host_sync(probe: Probe, case: Case) -> None:
    probe.note(case.build().mask)
    case, found = _called(probe, case, without_data.reading_back, probe.device)
    if found["read back"]:
        raise Violation(
            "data is read back to the host",
            got=", ".join(found["read back"][:3]),
            wanted="no such operator",
            claim=claims.Claim('found["read back"]', "got == []"),
            scene=probe.scene,
        )
    if found["other operators"]:
        raise Violation(
            "other data, of the same shapes and dtypes, lead to other operators",
            got=", ".join(found["other operators"][:4]),
            wanted="the same operators",
            claim=claims.Claim('found["other operators"]', "got == []"),
            scene=probe.scene,
        )
