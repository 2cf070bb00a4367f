"""C2: what is taken."""

from __future__ import annotations

from ..inputs.cases import NAMES, Case
from ..inputs.grids import small_grid
from ..inputs.strategies import cases
from ..judge import handed
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


situation(
    "C2-subclasses",
    "On a subclass of Tensor that adds nothing, a call keeps its whole contract.",
    catches="a second path for whatever is not exactly a Tensor",
    wrap=handed.as_subclass(*NAMES),
)
situation(
    "C2-subclass-mask",
    "With only the mask of a subclass of Tensor, a call keeps its whole contract.",
    catches="a second path for whatever is not exactly a Tensor",
    wrap=handed.as_subclass("mask"),
    array="small",
)
