"""The same seed draws the same inputs, whatever else the process has loaded."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from wavemae.properties import Subject, conduct
from wavemae.properties.inputs.effort import PROFILES

from wavemae.models.losses import masked_mse


def test_a_thin_grid_draws_from_all_of_a_grid() -> None:
    """Every case of a long grid is asked under some seed, and the first one under every seed."""
    grid: Any = list(range(79))
    seeds = [dataclasses.replace(PROFILES["quick"], seed=seed) for seed in range(40)]
    drawn: list[list[Any]] = [list(effort.some_of(grid)) for effort in seeds]
    assert all(found[0] == 0 and found == sorted(set(found)) for found in drawn)
    assert {case for found in drawn for case in found} == set(grid)
    assert max(map(len, drawn)) <= 41


# What Hypothesis would draw from a module of the user's, unless told not to.
CONSTANTS = "\n".join(f"c{k} = {k * 1.0625}; n{k} = {k}" for k in range(200))


def inputs_of(identifier: str) -> list[Any]:
    """All values that a property calls its subject with."""
    seen: list[Any] = []

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
        seen.append([t.tolist() for t in (x_recon, x, mask)])
        return masked_mse(x_recon, x, mask, reduction=reduction)

    assert conduct(Subject("spy", masked_mse=loss), identifier, "default").state == "pass"
    return seen


def test_constants_of_a_project_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module full of numbers, imported in between, changes no case."""
    before = inputs_of("C6-extremes")
    (tmp_path / "full_of_numbers.py").write_text(CONSTANTS)
    spec = importlib.util.spec_from_file_location(
        "full_of_numbers", tmp_path / "full_of_numbers.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "full_of_numbers", module)
    spec.loader.exec_module(module)
    assert inputs_of("C6-extremes") == before
