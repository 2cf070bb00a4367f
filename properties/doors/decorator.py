"""Door 2: the suite inside a user's own test file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ..clauses.registry import PROPERTIES
from ..run.engine import conduct, effort, explain, validate
from ..subject import Subject


@dataclass(frozen=True)
class BoundProperty:
    """A property with its profile, seed and device. Call it with a subject to run it.

    Raises what pytest understands: a failure with the whole explanation, a skip where the subject
    does not claim what the property needs or this machine lacks it, an xfail where it is expected
    to fail.
    """

    id: str
    profile: str
    seed: int
    device: str

    def __call__(self, subject: Subject) -> None:
        outcome = conduct(subject, self.id, self.profile, self.seed, self.device)
        if outcome.state in ("not claimed", "skipped"):
            pytest.skip(outcome.reason)
        if outcome.state == "xfail":
            pytest.xfail(outcome.reason)
        if outcome.state != "pass":
            test = os.environ.get("PYTEST_CURRENT_TEST", self.id).rpartition(" ")[0]
            again = f"pytest {shlex.quote(test)}" if test else f"pytest -k {self.id}"
            pytest.fail(explain(subject, outcome, self.id, again), pytrace=False)


def parametrize_with_properties(
    *subjects: Subject, profile: str = "default", seed: int = 0, device: str = "cpu"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a test with every property of the suite, for one or more subjects.

    The test takes `subject` and `prop` and calls `prop(subject)`::

        @parametrize_with_properties(Subject("mine", masked_mse=my_masked_mse))
        def test_contract(subject, prop):
            prop(subject)

    Args:
        subjects: what to test; each sees the same inputs.
        profile: "quick", "default" or "deep".
        seed: another seed draws other inputs; 0 is the fixed one.
        device: where the inputs are built, "cpu" or "cuda".

    Raises:
        ValueError: no subject was given.
        SuiteError: the profile, or the id of an expected failure, is unknown.
    """
    if not subjects:
        raise ValueError("parametrize_with_properties needs at least one Subject")
    effort(profile)
    for subject in subjects:
        validate(subject)
    parameters = [
        pytest.param(subject, BoundProperty(identifier, profile, seed, device))
        for subject in subjects
        for identifier in PROPERTIES
    ]
    ids = [f"{subject.name}-{identifier}" for subject in subjects for identifier in PROPERTIES]
    return pytest.mark.parametrize(("subject", "prop"), parameters, ids=ids)
