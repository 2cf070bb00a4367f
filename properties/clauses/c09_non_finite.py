"""C9: NaN, Inf and sentinels inside the mask."""

from __future__ import annotations

import itertools

from ..inputs.cases import Case
from ..inputs.grids import CALLS
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from ..judge import handed
from ..judge.contract import not_finite
from ..judge.probe import Probe
from .registry import prop
from .situations import TWO_TRAITS, situation

_SENTINELS = (
    *(0.0, -1.0, 1.0, -100.0, 99.0, -99.0, 100.0, 255.0, 999.0, -999.0, 9999.0, -9999.0),
    *(1e4, -1e4, 32767.0, -32768.0, 65504.0, 65535.0, 1e20, -1e30, 2.0**-24, -0.0, 0.5),
)


@prop(
    "C9-sentinels",
    statement="No finite value stands for missing data: each counts, in x as in x_recon.",
    rationale="What is missing is said by the mask; a genuine 0, −1 or −999 is data.",
    catches="zeros, −1, −100, 9999 or saturated values taken for missing",
    grid=lambda effort: (
        Case(
            *CALLS[number % len(CALLS)],
            shape,
            Operand(dtype, Lattice(number), edits=((spot, value),) if side != 1 else ()),
            Operand(dtype, Lattice(number + 1), edits=((spot, other),) if side else ()),
            Mask("full" if number % 3 else "all_but_one", number),
        )
        for number, (shape, value, side, dtype) in enumerate(
            itertools.product(
                ((1, 1), (2, 3)), _SENTINELS, (0, 1, 2), ("float32", "float64", "bfloat16")
            )
        )
        for spot in ((number // 2) % (shape[0] * shape[1]),)
        for other in (value if side == 1 else 3.0,)
        if not effort.quick or number % 5 != effort.seed % 5
    ),
)
def sentinels(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


situation(
    "C9-non-finite",
    "NaN and infinite differences show, whichever two traits meet.",
    catches="nan_to_num; NaN replaced by 0; clamps that hide an infinity",
    rationale="What diverges has to show, or nobody looks.",
    array="full",
    large=False,
    parts=frozenset(["C9"]),
    only=not_finite,
    because="this is about those",
)
situation(
    "C9-any-size",
    "NaN and infinite differences show; large sizes, any two traits.",
    catches=TWO_TRAITS,
    array="large",
    large=False,
    parts=frozenset(["C9"]),
    only=not_finite,
    because="this is about those",
    draws=0,
)
situation(
    "C9-any-nan",
    "With NaNs of which every bit is set, a call keeps its whole contract.",
    rationale="Arithmetic makes one NaN, but files, sensors and bit tricks make others.",
    catches="NaN told by its bits; rounding by integers, which makes a number of some NaN",
    array="nan",
    wrap=handed.other_nans,
    large=False,
    refuses=False,
    draws=0,
)
