"""Door 2: the decorator in a user's own test file."""

from __future__ import annotations

from typing import Any

import pytest
from wavemae.properties import PROPERTIES, Subject, SuiteError, parametrize_with_properties

pytest_plugins = ["pytester"]

FILE = """
from wavemae.models import losses
from wavemae.properties import Claims, Subject, parametrize_with_properties

def wrong(x_recon, x, mask, *, reduction="mean"):
    return losses.masked_mse(x_recon, x, mask, reduction=reduction) * 2

@parametrize_with_properties(
    Subject("mine", losses.masked_sse, losses.masked_mse),
    Subject("wrong", masked_mse=wrong, expected_failures={"C6-offset": "twice the value"}),
    Subject("plain", masked_mse=losses.masked_mse, claims=Claims(gradients=False)),
    profile="quick",
)
def test_contract(subject, prop):
    prop(subject)
"""


def test_decorator_runs_the_suite(pytester: pytest.Pytester) -> None:
    """Pass, failure with its explanation, expected failure and missing claim, one test each."""
    pytester.makepyfile(FILE)
    result = pytester.runpytest_subprocess("-q", "-k", "C6-offset or C4-oracle or C11-negation")
    result.assert_outcomes(passed=6, failed=1, xfailed=1, skipped=1)
    result.stdout.fnmatch_lines(["*C4-oracle: The value is right*", "*wanted*"])


def test_decorator_has_a_parameter_for_each_property() -> None:
    """Ids name the subject and the property."""
    subject = Subject("mine", masked_mse=lambda *_, **__: None)

    def test_contract(subject: Subject, prop: Any) -> None:
        prop(subject)

    mark = parametrize_with_properties(subject)(test_contract).pytestmark[0]  # type: ignore[attr-defined]
    assert mark.kwargs["ids"] == [f"mine-{identifier}" for identifier in PROPERTIES]


def test_decorator_refuses_what_makes_no_sense() -> None:
    """No subject, an unknown profile, an unknown id."""
    subject = Subject("mine", masked_mse=lambda *_, **__: None)
    with pytest.raises(ValueError, match="at least one Subject"):
        parametrize_with_properties()
    with pytest.raises(SuiteError, match="profile must be one of"):
        parametrize_with_properties(subject, profile="fast")
    odd = Subject("mine", masked_mse=print, expected_failures={"C0-nothing": "x"})
    with pytest.raises(SuiteError, match="C0-nothing"):
        parametrize_with_properties(odd)
    with pytest.raises(ValueError, match="has no reason"):
        Subject("mine", masked_mse=print, expected_failures={"C4-oracle": " "})
    with pytest.raises(ValueError, match="neither masked_sse nor masked_mse"):
        Subject("mine")
