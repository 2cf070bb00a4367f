"""Cases build what they say, print programs that run, and survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from wavemae.properties import Case, Lattice, Mask, Operand, Palette, Spike
from wavemae.properties.inputs.layouts import LAYOUTS, strides
from wavemae.properties.inputs.masks import MASK_PATTERNS
from wavemae.properties.inputs.strategies import cases
from wavemae.properties.judge.bits import same_bits

LARGE = Case(
    "masked_sse",
    None,
    (9, 11),
    Operand("float16", Palette(3, (0.5, 1.5)), "transposed"),
    Operand("float64", Spike(0.0, 2.0, -1), outside=float("nan")),
    Mask("ragged", 4),
    grads=("x",),
    upstream=-2.5,
)


ANY = (*LAYOUTS, strides(3, 2), strides(9, 1))


def run(program: str) -> dict[str, Any]:
    """The names that a reproducer leaves behind, with the default subject's functions in scope."""
    names: dict[str, Any] = {}
    exec(program, names)
    return names


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(cases(tier="hard", layouts=ANY, grads=((), ("x_recon",), ("x_recon", "x"))))
def test_repr_pastes_and_runs(case: Case) -> None:
    """The program makes tensors of the same bits, strides and flags, and a loss."""
    names = run(case.script("from wavemae.models.losses import masked_sse, masked_mse"))
    for name, tensor in case.build()._asdict().items():
        assert same_bits(names[name], tensor)
        assert names[name].stride() == tensor.stride() or tensor.numel() == 0 or 1 in tensor.shape
        assert names[name].requires_grad == tensor.requires_grad
    assert names["loss"].shape == ()


def test_repr_of_a_large_case_names_its_recipe() -> None:
    """Nobody pastes a hundred numbers: above 64 elements the program holds the recipe."""
    program = LARGE.script("from wavemae.models.losses import masked_sse")
    assert len(program) < 2000
    names = run(program)
    assert all(same_bits(names[n], t) for n, t in LARGE.build()._asdict().items())


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(cases(tier="extreme", layouts=ANY))
def test_json_rebuilds_the_case(case: Case) -> None:
    """Hex floats: nothing is rounded on the way."""
    assert Case.from_dict(json.loads(json.dumps(case.to_dict()))) == case


def test_json_rebuilds_recipes_and_edits() -> None:
    """Recipes, poison and single edits travel too; NaN is compared through the tensors."""
    case = LARGE.but(x_recon__edits=((3, float("inf")),))
    again = Case.from_dict(json.loads(json.dumps(case.to_dict())))
    assert all(same_bits(a, b) for a, b in zip(case.build(), again.build(), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS[:5])
def test_layout_keeps_the_values(layout: str) -> None:
    """The dense values are the same in every memory layout, and most layouts are not contiguous."""
    plain = Case(shape=(3, 4), mask=Mask("bernoulli", 2))
    other = plain.but(x__layout=layout, x_recon__layout=layout, mask__layout=layout)
    for a, b in zip(plain.build(), other.build(), strict=True):
        assert same_bits(a, b)
        assert b.is_contiguous() == (layout in ("contiguous", "offset"))
        assert b.storage_offset() > 0 or layout not in ("offset", "strided_columns", "strided_rows")


def test_traps_lie_between_the_values() -> None:
    """Whoever reads strided memory as if it were dense reads NaN, or True in a mask."""
    inputs = Case(
        shape=(2, 3),
        x=Operand(layout="strided_columns"),
        mask=Mask("empty", layout="strided_columns"),
    ).build()
    assert torch.tensor(inputs.x.untyped_storage().tolist(), dtype=torch.uint8).numel() == 2 * 7 * 4
    whole = torch.as_strided(inputs.x, (14,), (1,), 0)
    assert int(whole.isnan().sum()) == 14 - 6
    assert int(torch.as_strided(inputs.mask, (14,), (1,), 0).sum()) == 14 - 6


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("full", 12),
        ("empty", 0),
        ("first", 1),
        ("last", 1),
        ("one", 1),
        ("all_but_one", 11),
        ("one_row", 4),
        ("one_column", 3),
    ],
)
def test_mask_pattern_selects(pattern: str, selected: int) -> None:
    """Patterns of known size have it."""
    assert int(Case(shape=(3, 4), mask=Mask(pattern, 7)).build().mask.sum()) == selected


def test_ragged_masks_have_unequal_rows() -> None:
    """A mean of row means differs from the mean only where rows differ."""
    counts = Case(shape=(8, 9), mask=Mask("ragged", 1)).build().mask.sum(dim=1)
    assert len(set(counts.tolist())) > 3


def test_unknown_names_are_refused() -> None:
    """A misspelt pattern or layout says what there is."""
    assert "sparse" in MASK_PATTERNS
    with pytest.raises(ValueError, match="mask pattern must be one of"):
        Case(mask=Mask("blocky")).build()
    with pytest.raises(ValueError, match="layout must be one of"):
        Case(x=Operand(layout="sparse")).build()


def test_lattice_values_are_multiples_of_an_eighth() -> None:
    """So that sums are exact whatever their order."""
    values = Lattice(5).values(1000)
    assert (values * 8 == (values * 8).round()).all()
    assert -8 <= values.min() < -7
    assert 7 < values.max() <= 8
