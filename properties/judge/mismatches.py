"""Are shapes that are not one and the same refused?"""

from __future__ import annotations

import itertools

import torch

from ..inputs.effort import Effort
from ..inputs.grids import CALLS
from .probe import Probe
from .program import refusing
from .violation import Violation


def mismatches_refused(probe: Probe, effort: Effort) -> None:
    """Raise unless every triple of shapes that are not one (B, L) raises ValueError."""
    dims = (0, 1, 2, 3)
    twos = list(itertools.product(dims, dims))
    others: list[tuple[int, ...]] = [
        (),
        *((d,) for d in dims),
        *twos,
        (2, 3, 1),
        (1, 2, 3),
        (1, 1, 1),
    ]
    number = effort.seed
    probe.note(torch.ones(1, 1, dtype=torch.bool))
    for base, other, odd in itertools.product(twos, others, range(7)):
        if base == other:
            continue
        number += 1
        if number % (7 if effort.quick else 2):
            continue
        function, reduction = CALLS[number % len(CALLS)]
        # The odd one out is one of the three, two of the three, or all three are 1-D or 3-D alike.
        spots = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))[odd]
        if odd == 6 and len(other) == 2:
            continue
        shapes = [other if spot in spots else base for spot in range(3)]
        tensors = [torch.ones(shape) for shape in shapes[:2]] + [torch.ones(shapes[2]).bool()]
        keyword = {} if reduction is None else {"reduction": reduction}
        probe.calls += 1
        try:
            got = probe.function(function)(*tensors, **keyword)
        except ValueError:
            continue
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        made = [f"x_recon, x = torch.ones({shapes[0]}), torch.ones({shapes[1]})"]
        made += [f"mask = torch.ones({shapes[2]}, dtype=torch.bool)"]
        given = f", reduction={reduction!r}" if reduction else ""
        call = f"{function}(x_recon, x, mask{given})"
        refusal = refusing(call, (ValueError,), "shapes that are not one")
        raise Violation(
            f"shapes {shapes[0]}, {shapes[1]} and {shapes[2]} are not refused with ValueError",
            got=got,
            wanted="ValueError",
            script="\n".join(["import torch", probe.subject.imports, "", *made, *refusal]),
        )
