"""A situation: a way to make calls, in which the whole contract of a call is asked.

It has three slots: `wrap` makes of a loss another one that keeps the same contract, `around` is
entered for call and derivatives alike, and `derive` makes the call and takes derivatives, with
their formulas. Each situation is a property of the clause that names it; sweep.py asks it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..inputs import dimensions, rows
from ..inputs.cases import Case
from ..inputs.dimensions import Offered, Row
from ..inputs.effort import Effort
from ..inputs.source import remembered
from .acts import Call
from .answers import Derive, reverse
from .contract import PARTS, Contract, state_kept
from .probe import Probe
from .program import Context, itself

Wrap = Callable[[Call], Call]
T = TypeVar("T")


@dataclass(frozen=True)
class Situation:
    """How calls are made, and what cannot be asked of them there.

    Attributes:
        id: of its property.
        wrap, around, derive: the three slots.
        prepare: called once before all of its calls.
        array: the cases, one of `dimensions.ARRAYS`, or "scattered", or "strides".
        parts: the clauses that are asked.
        ordered: whether the order of summation is the subject's own (C6).
        only: which cases can be asked there, and `because` why not the others.
        siblings: inputs that other calls use too, so that their gradients are not this call's.
        refuses: whether C3 tries bad calls there.
        quiet: whether output, warnings and random states are compared; compilers have their own.
        watched: whether globals are compared around each call by itself too.
        again: whether three of the six arrays "middle" are asked too, so that any two levels meet
            often, and not only beside a third that hides what they do, such as an empty mask.
        large: whether a few large cases are asked too, two, or in the deep profile six.
        threaded: whether a case is asked that is large enough for threads of the loss's own, which
            know nothing of what holds in the calling one.
        whole: whether all of the array is asked, and all six with `again`, as the deep profile does
            everywhere; the others ask half of the costly arrays.
        layouts: whether it is about layouts, so that what breaks in any is not its finding.
        simplify: whether a failing case is simplified; not where each call takes seconds.
        fresh: whether its calls are the first of a process, for which torch imports little.
        made_of: the situations that are in force together there; what breaks in one of them too is
            that one's finding.
    """

    id: str
    wrap: Wrap = itself
    around: Context = contextlib.nullcontext
    derive: Derive = reverse
    prepare: Callable[[], None] | None = None
    array: str = "middle"
    parts: frozenset[str] = PARTS
    ordered: bool = True
    only: Callable[[Case], bool] | None = None
    because: str = ""
    siblings: tuple[str, ...] = ()
    refuses: bool = True
    quiet: bool = True
    watched: bool = True
    simplify: bool = True
    again: bool = False
    large: bool = True
    threaded: bool = False
    whole: bool = False
    layouts: bool = False
    fresh: bool = False
    made_of: tuple[Situation, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether calls are made as anybody makes them, so that a finding is nobody else's."""
        slots = (self.wrap, self.around, self.derive)
        return slots == (itself, contextlib.nullcontext, reverse)

    def cases(self, offered: Offered, spend: Effort) -> list[tuple[Row, Case]]:
        """The rows of its array, or half of them, that can be asked here, each with its case."""
        deep = spend.profile == "deep"
        own = zlib.crc32(f"{self.id}/{spend.seed}".encode()) % 10**6
        variant = zlib.crc32(self.id.encode()) % dimensions.VARIANTS.get(self.array, 1)
        if self.array == "scattered":
            scattered = rows.scattered(offered, own, _MANY * (8 if deep else 1))
            found = rows.numbered(scattered, own)
        elif self.array == "strides":
            found = rows.numbered(rows.strided(offered, own), own)
        else:
            triples = deep and self.array in dimensions.TRIPLES
            strength, variant = (3, 0) if triples else (2, variant)
            found = rows.array_cases(self.array, variant, offered, strength, spend.seed)
        if not deep and not self.whole and self.array in _COSTLY:
            # By fours: all the numbers of its cases would be odd, or even, in turn.
            found = tuple(pair for n, pair in enumerate(found) if (n // 4 + own) % 2 == 0)
        if self.again:
            others = range(dimensions.VARIANTS["middle"])
            for other in others if deep or self.whole else others[own % 2 :: 2]:
                found += rows.array_cases("middle", other, offered, 2, spend.seed)
        if self.large and spend.profile != "quick":
            found += _some_large(offered, own, 6 if deep else 2)
        if self.threaded and spend.profile != "quick":
            found += rows.numbered(rows.for_many_threads(offered), own + 2 * 10**6)
        quick = spend.profile == "quick"
        asked = [pair for pair in found if not quick or math.prod(pair[0]["shape"]) < 10**6]
        if quick and self.only is None:  # before any is made
            asked = self._few(asked)
        kept = [(row, make()) for row, make in asked]
        if self.only is not None:
            kept = [pair for pair in kept if self.only(pair[1])]
        if quick:
            few = self._few(kept)
            kept = _two_of(few, kept) if self.slow else few
        return kept

    @property
    def slow(self) -> bool:
        """Whether a case may take seconds, so that the quick profile asks two of them."""
        return not self.simplify or self.array == "large"

    def _few(self, found: list[T]) -> list[T]:
        """What the quick profile asks, evenly spread."""
        few = _QUICK_SLOW if self.slow else _QUICK
        return found[:: max(1, -(-len(found) // few))]

    def calls(self, probe: Probe, case: Case, contract: Contract) -> Call:
        """The subject's function for a case, reduction filled in, as it is called here."""
        function = probe.function(case.function)
        if self.quiet and self.watched and "C16" in contract.parts:
            function = _watched(function, contract)
        wrapped = self.wrap(function)

        def call(*arguments: Any, **named: Any) -> Any:
            return wrapped(*arguments, **{**case.keyword, **named})

        return call


def together(identifier: str, mode: Situation, transform: Situation) -> Situation:
    """Calls made as the transform makes them, of a loss that is called in the mode.

    Derivatives are taken as the transform takes them, where it has a way of its own.
    """
    assert contextlib.nullcontext in (mode.around, transform.around)
    assert (mode.only, mode.prepare, mode.parts) == (None, None, PARTS)
    return replace(
        transform,
        id=identifier,
        wrap=both(transform.wrap, mode.wrap),
        around=transform.around if mode.around is contextlib.nullcontext else mode.around,
        derive=mode.derive if transform.derive is reverse else transform.derive,
        threaded=False,
        made_of=(mode, transform),
    )


@remembered
def both(outer: Wrap, inner: Wrap) -> Wrap:
    """One wrap around the other."""

    def wrap(loss: Call) -> Call:
        return outer(inner(loss))

    return wrap


def _two_of(few: list[tuple[Row, Case]], found: list[tuple[Row, Case]]) -> list[tuple[Row, Case]]:
    """The first two of a few; where neither selects anything, one that does for the second."""
    two = few[:2]
    if not any(rows.seen(case).any() for _, case in two):
        others = (pair for pair in (*few, *found) if rows.seen(pair[1]).any())
        two[1:] = [*itertools.islice(others, 1)] or two[1:]
    return two


def _some_large(offered: Offered, start: int, many: int) -> rows.Makers:
    """So many cases of 2¹⁶ elements or more, by the situation, and two to count high in."""
    large = [row for row in rows.rows("large", 0, offered) if row["shape"] in _LARGE]
    step = max(1, len(large) // many)
    picked = [*large[start % step :: step], *rows.many_masked(offered)]
    return rows.numbered(picked, start + 10**6)


_LARGE = ((300, 300), (70001, 1), (1, 70001), (2, 40001), (9001, 9))
# Arrays of which a situation asks half, since it is much or costs much. Other situations ask the
# other half, and so do other seeds, which alone reach it where one situation has the array.
_COSTLY = ("middle", "large", "compiled", "compiled backward")
_MANY = 320  # cases by chance
# Cases of a situation in the quick profile: of the mutants 16 find one in a hundred more, and 8
# three in a hundred less.
_QUICK = 10
_QUICK_SLOW = 3  # of which two are asked
PLAIN = Situation("plain calls")


def _watched(function: Call, contract: Contract) -> Call:
    """C16 where the wrap's own settings stand, which its end would hide: globals around a call."""

    def call(*arguments: Any, **named: Any) -> Any:
        with state_kept(contract):
            return function(*arguments, **named)

    return call
