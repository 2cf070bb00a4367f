"""The usual checks that benchmarks/judges.py measures: no straw man, and no blame for the right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wavemae import fused
from wavemae.models import losses

from ..mutants import MUTANTS

FILE = Path(__file__).parents[2] / "benchmarks" / "judges_checks.py"
# What each check is there to find. Those of OpInfo: one for each part of it.
TEXTBOOK = {
    "minimal tests": ["mean_of_nothing_is_nan", "all_positions_for_nothing"],
    "assert_close": [
        "mask_inverted",
        "mask_ignored",
        "mean_over_all_elements",
        "result_is_a_float",
    ],
    "with gradients": ["gradient_without_factor_two", "target_detached"],
    "gradcheck": ["target_gradient_zero", "second_order_lost_with_saved_difference"],
    "OpInfo": [
        "result_in_half",
        "x_recon_rounded_to_x",
        "no_rows_crash",
        "offset_of_mask_ignored",
        "negated_view_read_raw",
        "x_row_broadcast",
        "mask_of_indices_accepted",
        "uint8_pair_wraps_around",
        "message_names_x_recon",
        "meta_result_has_one_dimension",
        "custom_op_with_wrong_fake_dtype",
        "function_without_vmap_rule",
        "forward_mode_ignores_target",
        "batched_upstream_raises",
        "graph_break_left_in",
    ],
    "KernelBench": ["mask_inverted", "count_wraps_at_65536"],
    "chemomae": ["mse_batch_mean_divides_by_count", "mean_of_nothing_is_nan", "target_detached"],
}


@pytest.fixture(scope="module")
def judges() -> ModuleType:
    """benchmarks/judges_checks.py, which no package holds."""
    spec = importlib.util.spec_from_file_location("judges_checks", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["judges_checks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_check_has_its_textbook_mutants(judges: ModuleType) -> None:
    """And every check says what it asks and where that is from."""
    assert set(judges.CHECKS) == set(TEXTBOOK)
    assert all(check.asks and check.source for check in judges.CHECKS.values())


@pytest.mark.parametrize("name", TEXTBOOK)
@pytest.mark.parametrize("module", [losses, fused], ids=["definition", "fused"])
def test_what_is_right_passes(name: str, module: ModuleType, judges: ModuleType) -> None:
    """A check that blamed it would be no check of these losses."""
    judges.CHECKS[name].run(module)


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name, several in TEXTBOOK.items() for wrong in several]
)
def test_what_it_is_there_for_is_found(name: str, wrong: str, judges: ModuleType) -> None:
    """A check that cannot fail would make the suite look good."""
    found = MUTANTS[wrong]
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever comes, as in a test of one's own
        judges.CHECKS[name].run(judges.module_of(found.masked_sse, found.masked_mse))
