"""Covering arrays, situations, and who is told of what they find."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from wavemae.properties import PROPERTIES, Case, Claims, Subject, SuiteError, conduct
from wavemae.properties.clauses.renamed import RENAMED
from wavemae.properties.clauses.situations import SITUATIONS
from wavemae.properties.doors.causes import causes
from wavemae.properties.doors.report import Cell, Table
from wavemae.properties.inputs import covering, dimensions
from wavemae.properties.inputs.dimensions import ARRAYS, Offered, levels_of, together
from wavemae.properties.inputs.rows import case_of, rows, scattered, strided
from wavemae.properties.judge import ambient
from wavemae.properties.judge.broken import broken_calls
from wavemae.properties.judge.contract import truth
from wavemae.properties.judge.oracle import sum_of_squares
from wavemae.properties.judge.situation import Situation
from wavemae.properties.run.engine import effort

from wavemae.models.losses import masked_mse, masked_sse


def test_arrays_are_made_of_the_levels_that_there_are() -> None:
    """`python -m wavemae.properties.inputs.covering` was run after the last change of a level."""
    assert covering.stale() == []


@pytest.mark.parametrize("array", ARRAYS)
def test_every_two_levels_meet(array: str) -> None:
    """Any two levels that may stand together do so in every variant, and no others do."""
    levels = levels_of(array)
    for variant in range(dimensions.VARIANTS.get(array, 1)):
        found = rows(array, variant, Offered())
        assert all(together(row) for row in found)
        for a, b in itertools.combinations(levels, 2):
            have = {(repr(row[a]), repr(row[b])) for row in found}
            for p, q in itertools.product(levels[a], levels[b]):
                assert (repr(p), repr(q)) in have or not together({a: p, b: q})


@pytest.mark.parametrize("array", dimensions.TRIPLES)
def test_every_three_levels_meet_in_the_deep_profile(array: str) -> None:
    """Any three levels that may stand together do so, where some row can have them at all."""
    levels = levels_of(array)
    found = rows(array, 0, Offered(), 3)
    for names in itertools.combinations(levels, 3):
        have = {tuple(repr(row[name]) for name in names) for row in found}
        for picked in itertools.product(*(levels[name] for name in names)):
            if together(dict(zip(names, picked, strict=True))):
                assert tuple(map(repr, picked)) in have


@pytest.mark.parametrize(
    "offered",
    [
        Offered(functions=("masked_sse",)),
        Offered(reductions=("mean",)),
        Offered(dtypes=("float64",)),
        Offered(gradients=False),
    ],
    ids=["one function", "one reduction", "one dtype", "no gradients"],
)
def test_only_what_is_offered_is_asked(offered: Offered) -> None:
    """What a subject does not offer stands in no row."""
    arrays = [rows(array, 0, offered) for array in ARRAYS]
    for row in itertools.chain(*arrays, scattered(offered, 0, 50), strided(offered, 0)):
        case = case_of(row, 0)
        assert case.function in offered.functions
        assert case.effective_reduction in offered.reductions
        assert {case.x_recon.dtype, case.x.dtype} <= set(offered.dtypes)
        assert offered.gradients or not case.grads


_UNDRAWN = [i for i in SITUATIONS if PROPERTIES[i].cases is None and not PROPERTIES[i].empty]


@pytest.mark.parametrize("identifier", _UNDRAWN)
def test_a_few_cases_show_something(identifier: str) -> None:
    """Under no seed does the quick profile pick masks alone that select nothing."""
    for seed in range(20):
        cases = SITUATIONS[identifier].cases(Offered(), effort("quick", seed))
        assert any(truth(case).selected for _, case in cases), seed


def test_of_slow_cases_quick_asks_two_of_which_one_selects_something() -> None:
    """Whatever cases a situation is about, if any of them selects anything."""
    for number in range(40):

        def only(case: Case, number: int = number) -> bool:
            return truth(case).selected == 0 or (case.salt + number) % 4 == 0

        found = Situation("slow", array="small", simplify=False, only=only)
        asked = found.cases(Offered(), effort("quick", number))
        assert len(asked) == 2
        assert any(truth(case).selected for _, case in asked), number


def test_cases_travel() -> None:
    """Every case of the first array goes through JSON, and its program builds equal tensors."""
    for number, row in enumerate(rows("full", 0, Offered())):
        case = case_of(row, number)
        assert type(case).from_dict(case.to_dict()).constructor() == case.constructor()
        program: dict[str, Any] = {}
        exec(case.script(call=False), program)
        built = case.build()
        for name, tensor in built._asdict().items():
            made = program[name]
            assert made.dtype == tensor.dtype
            assert made.shape == tensor.shape
            assert made.requires_grad == tensor.requires_grad
            assert torch.equal(
                made.detach().resolve_neg().nan_to_num(nan=7.0),
                tensor.detach().resolve_neg().nan_to_num(nan=7.0),
            )


def test_poison_is_hidden() -> None:
    """What stands outside the mask of a case shows at no masked position, whatever the layout."""
    for number, row in enumerate(rows("full", 0, Offered())):
        case = case_of(row, number)
        plain = case_of({**row, "outside": "as drawn"}, number)
        for given, kept in zip(case.build()[:2], plain.build()[:2], strict=True):
            mask = case.build().mask
            assert torch.equal(
                given.detach().resolve_neg()[mask].nan_to_num(nan=7.0),
                kept.detach().resolve_neg()[mask].nan_to_num(nan=7.0),
            )


def _leaks_under(condition: Any) -> Any:
    """A loss that multiplies by the mask where `condition()` holds, and is right elsewhere."""

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        right = masked_mse(x_recon, x, mask, reduction=reduction)  # type: ignore[arg-type]
        return right + ((x_recon - x) * mask).sum() * 0 if condition() else right

    return Subject("leaks", masked_mse=loss)


def _parts_seen_elsewhere(subject: Subject, *identifiers: str) -> list[str]:
    """The parts that break in these properties, each of which says that it does so elsewhere."""
    found = [conduct(subject, identifier).violation for identifier in identifiers]
    parts = [violation.part for violation in found if violation is not None and violation.elsewhere]
    assert len(parts) == len(identifiers)
    return parts


def test_a_mistake_of_one_situation_is_its_own() -> None:
    """NaN that leaks under autocast alone fails C16 there, as C8, and no plain call."""
    subject = _leaks_under(lambda: torch.is_autocast_enabled("cpu"))
    assert conduct(subject, "C8-excluded-value").state == "pass"
    found = conduct(subject, "C16-autocast").violation
    assert found is not None
    assert (found.part, found.elsewhere) == ("C8", "")


def test_a_mistake_of_plain_calls_is_told_once() -> None:
    """NaN that leaks everywhere fails C8; the situations in which it shows say that."""
    subject = _leaks_under(lambda: True)
    found = conduct(subject, "C8-excluded-value").violation
    assert found is not None
    assert not found.elsewhere
    _parts_seen_elsewhere(subject, "C16-autocast", "C13-retain-graph", "C19-grad")


def test_what_is_heard_of_plain_calls_is_told_once() -> None:
    """A warning for a gradient that is not finite is a finding of C16, wherever it is heard."""

    def watch(upstream: Tensor) -> None:
        if not upstream.is_meta and not bool(upstream.isfinite().all()):
            warnings.warn("not finite", stacklevel=2)

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        found = masked_mse(x_recon, x, mask, reduction=reduction)  # type: ignore[arg-type]
        if found.requires_grad:
            found.register_hook(watch)
        return found

    subject = Subject("watches", masked_mse=loss)
    owner = conduct(subject, "C16-two-traits").violation
    assert owner is not None
    assert not owner.elsewhere
    others = "C14-inputs-untouched", "C13-retain-graph", "C16-deterministic"
    assert _parts_seen_elsewhere(subject, *others) == ["C16"] * 3


def test_what_is_compiled_whole_is_not_blamed_where_calls_are_broken_off() -> None:
    """Under a dispatch mode torch runs no compiled code, and says so of a whole graph."""
    loss = torch.compile(masked_mse, backend="eager", fullgraph=True, dynamic=True)
    x = torch.ones(2, 3, requires_grad=True)
    loss(x, x.detach() + 1, x.detach() > 0)
    torch.compiler.reset()
    before = ambient.snapshot()
    broken_calls(loss, x, x.detach() + 1, x.detach() > 0)
    assert ambient.differences(before, ambient.snapshot()) == []
    torch.compiler.reset()


def test_a_failing_case_is_simplified() -> None:
    """What is left of a failing case is what the mistake needs."""
    found = conduct(_leaks_under(lambda: True), "C8-excluded-value").violation
    assert found is not None
    case = found.case
    assert case.x_recon.layout == case.x.layout == case.mask.layout == "contiguous"
    assert case.x_recon.dtype == case.x.dtype == "float32"
    assert case.shape[0] * case.shape[1] <= 20


def test_also_needs_an_owner() -> None:
    """A finding of plain calls is "also" where some row has it, and else a FAIL of its own."""
    table = Table(["a", "b"], {})
    table.add("a", Cell("C8-excluded-value", "FAIL", part="C8"))
    table.add("a", Cell("C16-autocast", "FAIL", part="C8", elsewhere=True))
    table.add("b", Cell("C16-autocast", "FAIL", part="C8", elsewhere=True))
    table.add("b", Cell("C19-grad", "FAIL", part="C8", elsewhere=True))
    table.settle()
    assert [cell.state for cell in table.cells["a"].values()] == ["FAIL", "also"]
    assert [cell.state for cell in table.cells["b"].values()] == ["FAIL", "also"]
    assert table.violated("a") == table.violated("b") == ["C8"]
    (cause,) = causes(table.cells["a"].values())
    assert [cell.identifier for cell in cause.cells] == ["C8-excluded-value", "C16-autocast"]


def test_an_expected_failure_covers_what_it_shows_in() -> None:
    """Where a clause is expected to fail, the situations in which it shows are no FAIL."""
    table = Table(["a"], {})
    table.add("a", Cell("C8-excluded-value", "xfail", part="C8"))
    table.add("a", Cell("C16-autocast", "FAIL", part="C8", elsewhere=True))
    table.add("a", Cell("C16-no-grad", "FAIL", part="C9", elsewhere=True))
    table.settle()
    assert [cell.state for cell in table.cells["a"].values()] == ["xfail", "also", "FAIL"]


@pytest.mark.parametrize("identifier", RENAMED)
def test_old_ids_name_the_new(identifier: str) -> None:
    """An expected failure under an id of before is answered with today's."""
    assert identifier not in PROPERTIES
    assert set(RENAMED[identifier]) <= set(PROPERTIES)
    subject = Subject("old", masked_sse, masked_mse, expected_failures={identifier: "some reason"})
    with pytest.raises(SuiteError, match=RENAMED[identifier][0]):
        conduct(subject, "C1-keywords", "quick")


@pytest.mark.parametrize("identifier", [*SITUATIONS][::4])  # all take half a minute
def test_a_situation_without_claims_is_not_asked(identifier: str) -> None:
    """A subject that promises values in one dtype alone is judged for those, or not at all."""
    little = Claims(
        dtypes=("float64",),
        reductions=("mean",),
        gradients=False,
        transforms=False,
        compile=False,
        strict_inputs=False,
    )

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        assert x_recon.dtype == x.dtype == torch.float64
        assert reduction == "mean"
        return masked_mse(x_recon.detach(), x.detach(), mask)

    subject = Subject("little", masked_mse=loss, claims=little)
    assert conduct(subject, identifier, "quick").state in ("pass", "not claimed", "skipped")


def test_sums_are_exact() -> None:
    """Sums of squares by integers are those of fractions, at sizes and magnitudes of any kind."""
    from fractions import Fraction

    import numpy as np

    chance = np.random.default_rng(0)
    for number in range(300):
        size = int(chance.integers(1, 20))
        kinds = (
            chance.standard_normal(size),
            chance.standard_normal(size).astype(np.float32) * 2.0 ** chance.integers(-140, 120),
            chance.integers(-64, 64, size) / 8,
            chance.standard_normal(size) * 10.0 ** chance.integers(-300, 300),
            5e-324 * chance.integers(0, 9, size),
        )
        a, b = (np.asarray(kinds[number % 5], np.float64), np.asarray(kinds[number % 5][::-1]))
        pairs = zip(a.tolist(), np.asarray(b, np.float64).tolist(), strict=True)
        wanted = sum((Fraction(p) - Fraction(q)) ** 2 for p, q in pairs)
        assert sum_of_squares(a, np.asarray(b, np.float64)) == wanted
