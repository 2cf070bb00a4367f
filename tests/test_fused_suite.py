"""wavemae.fused under the property suite, briefly; `tox run -e verify` spends more."""

from __future__ import annotations

from wavemae.properties import Property, Subject, parametrize_with_properties

from wavemae import fused

SUBJECT = Subject("fused", fused.masked_sse, fused.masked_mse)


@parametrize_with_properties(SUBJECT, profile="quick")
def test_contract(subject: Subject, prop: Property) -> None:
    """Every clause, in the quick profile."""
    prop(subject)
