"""Registers a situation as a property of the clause that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ..inputs import dimensions
from ..inputs.cases import Case
from ..inputs.rows import case_of
from ..judge import situation as judged
from ..judge.probe import Probe
from ..judge.situation import Situation
from ..judge.sweep import ask, sweep
from .registry import prop

TWO_TRAITS = "mistakes that need two traits together: a dtype and a layout, a size and a mask"
SITUATIONS: dict[str, Situation] = {}
_OF_A_PROPERTY = ("catches", "needs", "cost", "rationale", "draws", "empty", "unavailable")


def situation(identifier: str, statement: str, **given: Any) -> Situation:
    """Register a situation, by its slots, as a property, by what `registered` takes."""
    own = {name: given.pop(name) for name in _OF_A_PROPERTY if name in given}
    return registered(Situation(identifier, **given), statement, **own)


def together(
    identifier: str, statement: str, *, mode: Situation, transform: Situation, **own: Any
) -> Situation:
    """Register two situations that are in force together as one property."""
    return registered(judged.together(identifier, mode, transform), statement, **own)


def registered(
    found: Situation,
    statement: str,
    *,
    catches: str,
    needs: tuple[str, ...] = (),
    cost: int = 0,
    rationale: str = "",
    draws: float = 0.25,
    empty: bool = False,
    unavailable: Callable[..., str | None] | None = None,
) -> Situation:
    """Register a situation as the property of its id."""
    SITUATIONS[found.id] = found

    def check(probe: Probe, case: Case) -> None:
        case = probe.without_gradients(case)
        if found.only is None or found.only(case):
            ask(found, probe, case, [])

    prop(
        found.id,
        statement=statement,
        rationale=rationale or "A call keeps its contract wherever it is made.",
        catches=catches,
        needs=needs,
        cost=cost,
        weight=draws,
        empty=empty,
        unavailable=unavailable,
        sweep=lambda probe, spend: sweep(found, probe, spend),
        cases=_drawn(found.array) if draws else None,
    )(check)
    return found


def _drawn(array: str) -> st.SearchStrategy[Case]:
    """Cases whose levels Hypothesis draws, and shrinks towards the simplest of each."""
    levels = {name: st.sampled_from(given) for name, given in dimensions.levels_of(array).items()}
    rows = st.fixed_dictionaries(levels).filter(dimensions.together)
    return st.builds(case_of, rows, st.integers(0, 10**6))
