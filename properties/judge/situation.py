"""A situation: a way to make calls, in which the whole contract of a call is asked.

It has three slots: `wrap` makes of a loss another one that keeps the same contract, `around` is
entered for call and derivatives alike, and `derive` makes the call and takes derivatives, with
their formulas. Each situation is a property of the clause that names it. What breaks in a plain
call with the same arguments too is not its finding: it is the business of the clause that owns it.
"""

from __future__ import annotations

import contextlib
import functools
import random
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..inputs import dimensions
from ..inputs.cases import Case
from ..inputs.dimensions import Offered, Row, case_of
from ..inputs.effort import Effort
from . import ambient, claims
from .acts import Call
from .answers import Derive, reverse
from .bits import same_bits
from .contract import HIDING_PARTS, PARTS, Contract, state_kept, truth, unpoisoned
from .probe import RAISED, Probe
from .program import Context, itself
from .untouched import Untouched
from .violation import SuiteError, Violation

Wrap = Callable[[Call], Call]


@dataclass(frozen=True)
class Situation:
    """How calls are made, and what cannot be asked of them there.

    Attributes:
        id: of its property.
        wrap, around, derive: the three slots.
        prepare: called once before all of its calls.
        array: the cases, one of `dimensions.ARRAYS`, or "scattered".
        parts: the clauses that are asked.
        ordered: whether the order of summation is the subject's own (C6).
        only: which cases can be asked there, and `because` why not the others.
        siblings: inputs that other calls use too, so that their gradients are not this call's.
        refuses: whether C3 tries bad calls there.
        quiet: whether output, warnings and random states are compared; compilers have their own.
        again: whether three of the six arrays "middle" are asked too, so that any two levels meet
            often, and not only beside a third that hides what they do, such as an empty mask.
        large: whether a few large cases are asked too, two, or in the deep profile six.
        whole: whether all of the array is asked, and all six with `again`, as the deep profile does
            everywhere; the others ask half of the costly arrays.
        layouts: whether it is about layouts, so that what breaks in any is not its finding.
        simplify: whether a failing case is simplified; not where each call takes seconds.
        fresh: whether its calls are the first of a process, for which torch imports little.
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
    simplify: bool = True
    again: bool = False
    large: bool = True
    whole: bool = False
    layouts: bool = False
    fresh: bool = False

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
            rows = dimensions.scattered(offered, own, _MANY * (8 if deep else 1))
            found = dimensions.numbered(rows, own)
        else:
            triples = deep and self.array in dimensions.TRIPLES
            strength, variant = (3, 0) if triples else (2, variant)
            found = dimensions.array_cases(self.array, variant, offered, strength, spend.seed)
        if not deep and not self.whole and self.array in _COSTLY:
            # By fours: all the numbers of its cases would be odd, or even, in turn.
            found = tuple(pair for n, pair in enumerate(found) if (n // 4 + own) % 2 == 0)
        if self.again:
            others = range(dimensions.VARIANTS["middle"])
            for other in others if deep or self.whole else others[own % 2 :: 2]:
                found += dimensions.array_cases("middle", other, offered, 2, spend.seed)
        if self.large and spend.profile != "quick":
            found += _some_large(offered, own, 6 if deep else 2)
        kept = [pair for pair in found if self.only is None or self.only(pair[1])]
        if spend.profile == "quick":
            few = _QUICK if self.simplify and self.array != "large" else _QUICK // 3
            kept = [pair for pair in kept if pair[1].count < 10**6]
            kept = kept[:: max(1, -(-len(kept) // few))]
        return kept

    def calls(self, probe: Probe, case: Case, contract: Contract) -> Call:
        """The subject's function for a case, reduction filled in, as it is called here."""
        function = probe.function(case.function)
        if self.quiet and "C16" in contract.parts:
            function = _watched(function, contract)
        given = {} if case.reduction is None else {"reduction": case.reduction}
        wrapped = self.wrap(function)

        def call(*arguments: Any, **named: Any) -> Any:
            return wrapped(*arguments, **named, **given)

        return call


def _some_large(offered: Offered, start: int, many: int) -> tuple[tuple[Row, Case], ...]:
    """So many cases of 2¹⁶ elements or more, by the situation, and two to count high in."""
    rows = [row for row in dimensions.rows("large", 0, offered) if row["shape"] in _LARGE]
    step = max(1, len(rows) // many)
    picked = [*rows[start % step :: step], *dimensions.many_masked(offered)]
    return dimensions.numbered(picked, start + 10**6)


_LARGE = ((300, 300), (70000, 1), (1, 70000), (2, 40000), (9000, 9))
# Arrays of which a situation asks half, since it is much or costs much. Other situations ask the
# other half, and so do other seeds, which alone reach it where one situation has the array.
_COSTLY = ("middle", "large", "compiled", "compiled backward")
_MANY = 320  # cases by chance
_QUICK = 16  # cases of a situation in the quick profile
PLAIN = Situation("plain")


def _watched(function: Call, contract: Contract) -> Call:
    """C16 where the wrap's own settings stand, which its end would hide: globals around a call."""

    def call(*arguments: Any, **named: Any) -> Any:
        with state_kept(contract):
            return function(*arguments, **named)

    return call


def offered(probe: Probe) -> Offered:
    """What the subject offers, as far as levels depend on it."""
    claims = probe.claims
    return Offered(probe.subject.functions, claims.reductions, claims.dtypes, claims.gradients)


def sweep(found: Situation, probe: Probe, spend: Effort) -> int:
    """Ask the contract of every case of a situation; the number of cases."""
    cases = found.cases(offered(probe), spend)
    kept: list[tuple[Tensor, Tensor]] = []
    elsewhere: Violation | None = None
    with _compared(found, probe, cases):
        for row, case in cases:
            try:
                ask(found, probe, case, kept)
            except Violation as violation:
                if not violation.elsewhere:
                    raise _simplest(found, probe, row, case, violation) from None
                elsewhere = elsewhere or violation
        for value, copy in kept:
            if not same_bits(value, copy):
                raise Violation(
                    "a result changed after later calls", got=value, wanted=copy, part="C14"
                )
    if elsewhere is not None:
        raise elsewhere
    return len(cases)


def ask(found: Situation, probe: Probe, case: Case, kept: list[tuple[Tensor, Tensor]]) -> None:
    """Ask the contract of a case; a violation is marked where it is another property's finding.

    What breaks in a plain call too is not a situation's, what breaks in any layout is not C15's,
    and what breaks in some layouts alone is C15's.
    """
    try:
        _holds(found, probe, case, kept)
    except Violation as violation:
        if not found.is_plain:
            violation.elsewhere = _breaks(probe, case, violation.part)
        elif (laid_out(case) and violation.part != "C14") or found.layouts:
            any_layout = _breaks(probe, straight(case), violation.part)
            violation.elsewhere = any_layout is found.layouts
        raise


def laid_out(case: Case) -> bool:
    """Whether an input is not contiguous, or shares its memory."""
    layouts = {case.x_recon.layout, case.x.layout, case.mask.layout}
    return layouts != {"contiguous"} or bool(case.shared)


def straight(case: Case) -> Case:
    """The case with contiguous inputs."""
    plain = dict.fromkeys(("x_recon__layout", "x__layout", "mask__layout"), "contiguous")
    return case.but(**plain, shared="")


def _breaks(probe: Probe, case: Case, part: str) -> bool:
    """Whether a plain call breaks this part of the contract; or raises, where that is the part."""
    try:
        _holds(PLAIN, probe, case, [], frozenset([part]) if part in PARTS else PARTS)
    except Violation:
        return True
    return False


def _holds(
    found: Situation,
    probe: Probe,
    case: Case,
    kept: list[tuple[Tensor, Tensor]],
    parts: frozenset[str] | None = None,
) -> None:
    """The whole contract of one call, made twice so that what is hidden may differ."""
    probe.case = case
    probe.selected = probe.selected or truth(case).selected > 0
    contract = Contract(
        probe,
        case,
        parts=found.parts if parts is None else parts,
        ordered=found.ordered,
        siblings=found.siblings,
        wrap=found.wrap,
        around=found.around,
    )
    call = found.calls(probe, case, contract)
    hides = contract.parts & HIDING_PARTS
    for built in dict.fromkeys((unpoisoned(case), case) if hides else (unpoisoned(case),)):
        probe.calls += 1
        contract.begin(built)
        inputs = built.build(probe.device)
        untouched = Untouched(inputs._asdict() if "C14" in contract.parts else {})
        try:
            with found.around(), state_kept(contract):
                answer = found.derive(call, inputs, built, contract)
        except (Violation, SuiteError):
            raise
        except RAISED as error:
            if not probe.blames(probe, error):
                raise
            raise Violation(
                f"{type(error).__name__} came out: {_short(error)}",
                got=type(error).__name__,
                wanted="no exception",
                case=case,
                part="raises",
                scene=contract.scene,
            ) from error
        probe.scene = contract.scene
        contract.judge(answer, inputs)
        if changed := untouched.changed():
            what, claim = "an input was modified", claims.untouched()
            contract.fail("C14", what, "; ".join(changed), "as before", claim=claim)
        _keep_or_spoil(answer, case, kept)


def _keep_or_spoil(answer: Any, case: Case, kept: list[tuple[Tensor, Tensor]]) -> None:
    """Results are the caller's: some are kept to be looked at later, others are written over."""
    found = [answer.value, *answer.gradients.values()]
    for tensor in found:
        if not isinstance(tensor, Tensor):
            continue
        if case.salt % 2:
            if len(kept) < 200 and tensor.numel() < 1000:
                kept.append((tensor.detach(), tensor.detach().clone()))
        else:
            with contextlib.suppress(RuntimeError):  # inference tensors and views may refuse it
                tensor.detach().fill_(17)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _simplest(
    found: Situation, probe: Probe, row: Row, case: Case, violation: Violation
) -> Violation:
    """The same finding on the simplest levels on which it is still there."""
    if not found.simplify or not violation.part:
        return violation
    tries = 0
    progress = True
    while progress and tries < 150:
        progress = False
        for simpler in dimensions.simpler(row, offered(probe)):
            tries += 1
            candidate = case_of(simpler, case.salt)
            if found.only is not None and not found.only(candidate):
                continue
            try:
                ask(found, probe, candidate, [])
            except Violation as other:
                if other.elsewhere or other.part != violation.part:
                    continue
                row, violation, progress = simpler, other, True
                break
            except Exception:
                continue
    return violation


def _make_ready(found: Situation) -> None:
    """What torch changes or says when it does a thing for the first time is not the subject's."""
    if not found.fresh:
        import_torch()
    if found.prepare is not None:
        found.prepare()
    with found.around():
        pass


@functools.cache
def import_torch() -> None:
    """Have torch import now what it imports at first use: that sets filters and a variable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = (torch.ones(2, 2),)
        torch.func.jvp(lambda t: torch.where(t > 0, t, 0.0).square().sum(), given, given)
    torch.use_deterministic_algorithms(
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )


# What torch's own batching rules say, whatever the loss.
_OF_VMAP = (
    "An output with one or more elements was resized",
    "There is a performance drop because we have not yet implemented the batching rule",
)


@contextlib.contextmanager
def _compared(found: Situation, probe: Probe, cases: Sequence[tuple[Row, Case]]) -> Iterator[None]:
    """C16: nothing is printed, warned or logged, and no global differs after all the calls."""
    _make_ready(found)
    if not found.quiet:
        yield
        return
    with ambient.restored():
        random.seed(3)
        np.random.seed(4)
        torch.manual_seed(5)
        before = ambient.snapshot()
        with ambient.listening() as heard:
            yield
        changed = ambient.differences(before, ambient.snapshot())
        warned = [w for w in heard["warnings"].split("; ") if not w.startswith(_OF_VMAP)]
        heard["warnings"] = "; ".join(warned)
        lines = heard["stderr"].splitlines()  # where what warns is no Python code
        lines = [line for line in lines if not any(words in line for words in _OF_VMAP)]
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
        _show(heard_of, found, probe, cases)
        raise heard_of


def _show(
    violation: Violation, found: Situation, probe: Probe, cases: Sequence[tuple[Row, Case]]
) -> None:
    """Ask the cases again, one by one: the first after which something is changed or heard."""
    for _, case in cases:
        with ambient.restored():
            before = ambient.snapshot()
            with ambient.listening() as heard, contextlib.suppress(Violation):
                _holds(found, probe, case, [])
            after = ambient.snapshot()
        if ambient.differences(before, after) or any(heard.values()):
            quiet = claims.kept(ambient.moved(before, after)) if before != after else claims.heard()
            violation.case, violation.scene, violation.claim = case, probe.scene, quiet
            return
