"""wavemae.fused under the property suite, briefly; `tox run -e verify` spends more."""

from __future__ import annotations

from typing import Any

from wavemae.properties import Subject, parametrize_with_properties

from wavemae import fused

SUBJECT = Subject("fused", fused.masked_sse, fused.masked_mse)


@parametrize_with_properties(SUBJECT, profile="quick")
def test_contract(subject: Subject, prop: Any) -> None:
    """Every clause, in the quick profile."""
    prop(subject)
