"""Does torch compute anything before bad input is refused?"""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from typing import Any

from ..inputs.bad import (
    BASE,
    DEVICES,
    MASK_DTYPES,
    NON_TENSORS,
    REDUCTION,
    SHAPES,
    VALUE_DTYPES,
    Bad,
)
from ..inputs.cases import NAMES, Case
from ..inputs.grids import CALLS
from ..inputs.internals import TorchDispatchMode
from ..inputs.source import Source
from .bad_calls import bad_call
from .probe import Probe
from .program import shown
from .violation import Violation


class Arithmetic(TorchDispatchMode):
    """Records operators that compute with values."""

    NAMES = frozenset(
        [
            "sub",
            "add",
            "mul",
            "div",
            "pow",
            "square",
            "where",
            "sum",
            "mean",
            "masked_fill",
            "mse_loss",
            "index",
            "masked_select",
            "rsub",
            "neg",
            "abs",
            "count_nonzero",
            "nonzero",
            "dot",
            "bmm",
            "mm",
            "addcmul",
            "isnan",
            "nan_to_num",
            "bitwise_not",
            "logical_not",
            "any",
            "all",
            "item",
            "_local_scalar_dense",
            "clamp",
            "clamp_min",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.removesuffix("_")
        if name in self.NAMES:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def nothing_computed(probe: Probe) -> None:
    """Raise if an operator that computes ran before bad input was refused."""
    tables = (VALUE_DTYPES[:2], MASK_DTYPES, SHAPES, DEVICES, REDUCTION, NON_TENSORS[::5])
    for bad in itertools.chain(*tables):
        for function, reduction in CALLS:
            case = probe.fit(BASE.but(function=function, reduction=reduction))
            inputs = probe.build(case)
            probe.note(inputs.mask)
            given: dict[str, Any] = dict(zip(NAMES, inputs, strict=True))
            keyword: dict[str, Any] = {} if reduction is None else {"reduction": reduction}
            if bad.argument in given:
                given[bad.argument] = bad.value(given[bad.argument])
            else:
                keyword = {"reduction": bad.value(inputs.x)}
            probe.calls += 1
            # That it raises, and what, is the business of the other C3 properties.
            with Arithmetic() as recorded, contextlib.suppress(Exception):
                probe.function(function)(*given.values(), **keyword)
            if recorded.seen:
                raise Violation(
                    f"with {bad.argument} = {bad.make} it computed before it refused",
                    got=", ".join(recorded.seen[:4]),
                    wanted="no operator that computes",
                    script=partial(_recording, probe, bad, case),
                )


def _recording(probe: Probe, bad: Bad, case: Case) -> str:
    lines, call = bad_call(bad, case)
    lines += ["with Arithmetic() as recorded, contextlib.suppress(Exception):", f"    {call}"]
    lines += ['assert not recorded.seen, f"computed before it refused: {recorded.seen}"']
    source = Source()
    source.imports["import contextlib"] = None
    return shown(case, probe.subject.imports, lines, uses=(Arithmetic,), source=source)
