"""C16 around all calls of a situation: silence, and the globals as before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..inputs.cases import Case
from ..inputs.dimensions import Row
from . import ambient, claims
from .listening import OF_TORCH, listening
from .probe import Probe
from .situation import PLAIN, Situation
from .violation import SuiteError, Violation

Holds = Callable[[Situation, Probe, Case, list[tuple[Tensor, Tensor]]], None]


def _make_ready(found: Situation) -> None:
    """What torch changes or says when it does a thing for the first time is not the subject's."""
    if not found.fresh:
        ambient.import_torch()
    if found.prepare is not None:
        found.prepare()
    with found.around():
        pass


@contextlib.contextmanager
def kept(
    found: Situation, probe: Probe, cases: Sequence[tuple[Row, Case]], holds: Holds
) -> Iterator[None]:
    """C16: nothing is printed, warned or logged, and no global differs after all the calls.

    Where that is not so, `holds` makes the calls of one case again.
    """
    _make_ready(found)
    if not found.quiet:
        yield
        return
    with ambient.restored():
        random.seed(3)
        np.random.seed(4)
        torch.manual_seed(5)
        before = ambient.snapshot()
        try:
            with listening() as heard:
                yield
        except (Violation, SuiteError):
            raise
        except Exception as error:
            if fell := stumbled(error, before, probe.case):
                raise fell from error
            raise
        changed = ambient.differences(before, ambient.snapshot())
        lines = heard["stderr"].splitlines()  # where what warns is no Python code
        lines = [line for line in lines if not any(words in line for words in OF_TORCH)]
        heard["stderr"] = "\n".join(lines)
        changed += [f"{where}: {words[:80]!r}" for where, words in heard.items() if words]
    if changed:
        heard_of = Violation(
            "the calls changed globals, or were heard",
            got="; ".join(changed),
            wanted="as before, and silence",
            case=probe.case,
            part="C16",
        )
        _show(heard_of, found, probe, cases, holds)
        raise heard_of


def stumbled(error: Exception, before: dict[str, Any], case: Case | None) -> Violation | None:
    """The finding where the suite itself fell because globals are not as they were."""
    changed = ambient.differences(before, ambient.snapshot())
    if not changed:
        return None
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return Violation(
        f"no further case can be made in the state it left ({words})",
        got="; ".join(changed),
        wanted="global state as before",
        case=case,
        part="C16",
    )


def _show(
    violation: Violation,
    found: Situation,
    probe: Probe,
    cases: Sequence[tuple[Row, Case]],
    holds: Holds,
) -> None:
    """Ask the cases again, one by one: the first after which something is changed or heard.

    What is noticed in a plain call too is not a situation's finding, nor is what is noticed in one
    of those that it is made of. Of those that ask plain calls, the ones of C16 own it.
    """
    others = () if found.is_plain else (PLAIN, *found.made_of)
    for _, case in cases:
        claim = _noticed(found, probe, case, holds)
        if claim is not None:
            violation.case, violation.scene, violation.claim = case, probe.scene, claim
            if found.is_plain and not found.id.startswith("C16-"):
                violation.seen_in(PLAIN.id)
            for other in others:
                if _noticed(other, probe, case, holds) is not None:
                    violation.seen_in(other.id)
                    break
            return


def _noticed(found: Situation, probe: Probe, case: Case, holds: Holds) -> claims.Claim | None:
    """What shows that a case changes a global, or is heard, if it does."""
    with ambient.restored() as before:
        with listening() as heard, contextlib.suppress(Violation):
            holds(found, probe, case, [])
        after = ambient.snapshot()
    if ambient.differences(before, after):
        name, _ = ambient.moved(before, after)
        return claims.kept(name)
    return claims.heard() if any(heard.values()) else None
