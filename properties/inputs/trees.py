"""Data made against the order in which a subject adds: C6 at its worst."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .cases import Case
from .effort import Effort
from .grids import GRADS
from .masks import Mask
from .operands import Operand
from .values import Constant, Spike, Tree

# So many additions show that a bound is broken: more than twice the contract's.
ENOUGH = 600
LOST = 512  # about as many roundoffs: twice the contract's


def against_trees(effort: Effort) -> Iterator[Case]:
    number = effort.seed % 61
    for size in tree_sizes(effort):
        for dtype, lanes, step in itertools.product(
            ("float32", "float64"), (1, 16, 32, 64), (16, 32, 512)
        ):
            number += 1
            if size > 2**16 and (lanes == 1 or step != 16):
                continue
            roundoff = torch.finfo(getattr(torch, dtype)).eps / 2
            x_recon = Operand(dtype, Tree(lanes, step, roundoff))
            x = Operand(dtype, Constant(0.0))
            if number % 2:
                x_recon, x = x, x_recon
            shape = ((1, size), (size, 1), (size // 64, 64))[number % 3]
            grads = ((), *GRADS)[number // 2 % 4]
            yield Case("masked_sse", "sum", shape, x_recon, x, Mask("full"), grads, salt=number)


def against_blocks(dtype: str, shape: tuple[int, int], *, from_the_end: bool) -> Operand:
    """A 1 at one end, and along the diagonal `LOST` squares just too small to be added to it.

    All else is zero. Where there are so many blocks of rows, of columns or of positions, or more,
    none holds two of them; blocks that are added to the 1 one by one then lose them all.
    """
    rows, columns = shape
    places = [i * rows // LOST * columns + i * columns // LOST for i in range(LOST)]
    last = rows * columns - 1
    if from_the_end:
        places = [last - place for place in places]
    small = largest_lost(getattr(torch, dtype))
    spikes = Spike(0.0, small, tuple(places[1:]))
    return Operand(dtype, spikes, edits=((places[0], 1.0),))


def tree_sizes(effort: Effort) -> list[int]:
    """Powers of two, at which torch's tree is at its highest."""
    sizes = [2**12, 2**16, 2**20, 2**24]
    largest = 2**16 if effort.profile == "default" else effort.largest
    return [2**10] if effort.quick else [size for size in sizes if size <= largest]


def tree_places(size: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Shapes of so many elements, and the place of the 1: first, last, and in the middle."""
    side = 2 ** (size.bit_length() // 2)
    yield (1, size), 0
    yield (size // side, side), 0
    if size <= 2**16:
        yield (size, 1), size - 1
        yield (side, size // side), size // 2


def largest_lost(dtype: torch.dtype) -> float:
    """A value whose square is just too small to be added to a 1 in the dtype that results."""
    roundoff = torch.finfo(torch.promote_types(dtype, torch.float32)).eps / 2
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
