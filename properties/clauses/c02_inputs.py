"""C2: what is taken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..inputs.cases import NAMES, Case, Inputs
from ..inputs.grids import small_grid
from ..inputs.strategies import cases
from ..judge import ways
from ..judge.probe import Probe
from .registry import prop
from .situations import situation


@prop(
    "C2-dtypes",
    statement="Each of x_recon and x may be float16, bfloat16, float32 or float64, in any pairing.",
    rationale="Under AMP the model's output is half and the target is not.",
    catches="a kernel that knows one dtype, or only equal ones",
    cases=cases(tier="lattice"),
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3), (1, 5), (4, 4)), patterns=("full", "bernoulli")
    ),
)
def dtypes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


class _Spectrum(Tensor):
    """A tensor subclass with nothing of its own."""


@prop(
    "C2-subclasses",
    statement="Parameters, tensor subclasses and inputs that require grad are tensors like others.",
    rationale="A decoder may end in a parameter; data sets wrap tensors.",
    catches="`type(x) is Tensor`; leaves or parameters refused",
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3),), patterns=("bernoulli", "empty"), pairs=(("float32", "float32"),)
    ),
)
def subclasses(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    kinds: list[Callable[[Tensor], Tensor]] = [lambda t: t.as_subclass(_Spectrum)]
    if probe.claims.gradients:
        kinds[:0] = [torch.nn.Parameter, lambda t: t.clone().requires_grad_() * 1]
    for kind in kinds:
        for given in (
            (kind(inputs.x_recon), inputs.x),
            (inputs.x_recon, kind(inputs.x)),
            (kind(inputs.x_recon), kind(inputs.x)),
        ):
            as_given = Inputs(*given, inputs.mask)
            loss = probe.call(case, as_given)
            probe.right_value(loss.as_subclass(Tensor), case, inputs)
            wrt = tuple(n for n in ("x_recon", "x") if getattr(as_given, n).requires_grad)
            if wrt and not probe.excused(inputs):
                found = probe.pull(case.but(grads=wrt), loss, as_given)
                probe.right_gradients(found, case, inputs)


situation(
    "C2-subclass",
    "On a subclass of Tensor that adds nothing, a call keeps its whole contract.",
    catches="a second path for whatever is not exactly a Tensor",
    wrap=ways.as_subclass(*NAMES),
)
situation(
    "C2-subclass-mask",
    "With only the mask of a subclass of Tensor, a call keeps its whole contract.",
    catches="a second path for whatever is not exactly a Tensor",
    wrap=ways.as_subclass("mask"),
    array="small",
)
