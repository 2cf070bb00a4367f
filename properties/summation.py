"""C6 at its worst: data made against the order in which a subject adds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .cases import Case, Constant, Inputs, Mask, Operand, Spike, Tree
from .effort import Effort
from .oracle import format_of
from .probe import Probe
from .registry import prop

# So many additions show that a bound is broken: more than twice the contract's.
ENOUGH = 600


@prop(
    "C6-tree",
    cost=6,
    statement="Data made against sums in lanes and levels stay within C6's roundoffs.",
    rationale="A bound for any data has to hold on the worst: here every partial sum loses.",
    catches="chunks so long that a term meets hundreds of additions, each of which rounds",
    grid=lambda effort: _against_trees(effort),
)
def tree(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    torch.set_num_threads(1 + case.salt % 2)  # threads split the sum; the engine restores it
    probe.right_value(probe.call(case, inputs), case, inputs)


def _against_trees(effort: Effort) -> Iterator[Case]:
    number = effort.seed % 61
    for size in _sizes(effort):
        for dtype, lanes, step in itertools.product(
            ("float32", "float64"), (1, 16, 32, 64), (16, 32, 512)
        ):
            number += 1
            if size > 2**16 and (lanes == 1 or step != 16):
                continue
            roundoff = float(format_of(getattr(torch, dtype)).roundoff)
            x_recon = Operand(dtype, Tree(lanes, step, roundoff))
            x = Operand(dtype, Constant(0.0))
            if number % 2:
                x_recon, x = x, x_recon
            shape = ((1, size), (size, 1), (size // 64, 64))[number % 3]
            yield Case("masked_sse", "sum", shape, x_recon, x, Mask("full"), salt=number)


def _sizes(effort: Effort) -> list[int]:
    """Powers of two, at which torch's tree is at its highest."""
    sizes = [2**12, 2**16, 2**20, 2**24]
    largest = 2**16 if effort.profile == "default" else effort.largest
    return [2**10] if effort.thin > 1 else [size for size in sizes if size <= largest]


@prop(
    "C6-depth",
    cost=8,
    statement="However many additions a term passes on its way, data that lose the most in each of "
    "them stay within C6's roundoffs.",
    rationale="The order of addition can be seen from outside: what is added to a 1 by itself, and "
    "is just too small for it, is lost; what meets another before it is not. So for any order the "
    "worst data can be found, and need not be guessed.",
    catches="rows, columns or blocks added one by one; partial sums of partial sums of hundreds",
    scaled=True,
)
def depth(probe: Probe, effort: Effort) -> None:
    for size in _sizes(effort):
        places = list(itertools.product(("float32", "float64"), _places(size)))
        if size > 2**20:  # where each of a thousand calls takes a tenth of a second
            del places[1:]
        for number, (dtype, (shape, at)) in enumerate(places):
            case = Case("masked_sse", "sum", shape, salt=number)
            case = case.but(x_recon=Operand(dtype, Constant(0.0)), mask=Mask("full"))
            case = probe.fit(case.but(x=case.x_recon))
            inputs = probe.build(case)
            probe.note(inputs.mask)
            # One thread adds the highest tree, and thousands of small calls in two take long.
            torch.set_num_threads(1 + number % 2 if effort.profile == "deep" else 1)

            def loss(x_recon: Tensor, case: Case = case, inputs: Inputs = inputs) -> Tensor:
                return probe.call(case, Inputs(x_recon, inputs.x, inputs.mask))

            lost = additions(loss, inputs.x_recon, at)
            worst = case.but(
                x_recon__values=Spike(0.0, largest_lost(inputs.x_recon.dtype), tuple(lost)),
                x_recon__edits=((at, 1.0),),
            )
            inputs = probe.build(worst)
            probe.right_value(probe.call(worst, inputs), worst, inputs)


def _places(size: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Shapes of so many elements, and the place of the 1: first, last, and in the middle."""
    side = 2 ** (size.bit_length() // 2)
    yield (1, size), 0
    yield (size // side, side), 0
    if size <= 2**16:
        yield (size, 1), size - 1
        yield (side, size // side), size // 2


def largest_lost(dtype: torch.dtype) -> float:
    """A value whose square is just too small to be added to a 1 in the dtype that results."""
    roundoff = format_of(torch.promote_types(dtype, torch.float32)).roundoff
    digits = min(11, -math.frexp(torch.finfo(dtype).eps)[1])
    return math.sqrt(roundoff) * (1 - 2.0**-digits)


def additions(loss: Callable[[Tensor], Tensor], values: Tensor, at: int) -> list[int]:
    """Places of terms that are added, each by itself, to the term at `at`: one for each addition.

    `loss` adds up the squares of what it is given, perhaps divided by a power of two. Two small
    terms that meet one another first are together large enough to show, so of those only one is
    kept; all that stay are lost one by one. Their number is that of the additions which the term at
    `at` passes, as far as places at multiples of each power of two go: these are where sums that
    are split into lanes, chunks, rows and threads come together. Of each power so many multiples
    are tried as still bring new additions, and `ENOUGH` of them end the search.
    """
    values.zero_()
    flat = values.view(-1)
    flat[at] = 1
    small, alone = largest_lost(values.dtype), loss(values).item()
    kept: set[int] = set()

    def keep(places: list[int]) -> None:
        if not places or len(kept) >= ENOUGH:
            return
        index = torch.tensor(places, device=values.device)
        flat[index] = small
        if loss(values).item() == alone:
            kept.update(places)
            return
        flat[index] = 0
        if len(places) > 1:
            half = len(places) // 2
            keep(places[:half])
            keep(places[half:])

    for step in (2**k for k in range(values.numel().bit_length())):
        tried = range(1, 17)
        while True:
            places = [at + sign * m * step for m in tried for sign in (1, -1)]
            places = [place for place in places if 0 <= place < values.numel()]
            keep([place for place in places if place not in kept])
            if 4 * len(kept.intersection(places)) <= len(places):
                break
            tried = range(tried.stop, 2 * tried.stop)
    return sorted(kept)
