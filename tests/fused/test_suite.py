"""wavemae.fused under the property suite, briefly; `tox run -e verify` spends more."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor
from wavemae.properties import Claims, Subject, parametrize_with_properties

from wavemae import fused
from wavemae.fused import cpu, native
from wavemae.models.losses import Reduction


def masked_sse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
) -> Tensor:
    """`wavemae.fused.masked_sse` where nothing native is built."""
    return fused._loss(x_recon, x, mask, reduction, lambda device: cpu)


def masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """`wavemae.fused.masked_mse` where nothing native is built."""
    return fused._loss(x_recon, x, mask, reduction, lambda device: cpu)


NATIVE = Subject(
    "fused, native", fused.masked_sse, fused.masked_mse, claims=Claims(roundoffs=native.ROUNDOFFS)
)
OPERATORS = Subject("fused, torch operators", masked_sse, masked_mse)


@parametrize_with_properties(NATIVE, OPERATORS, profile="quick")
def test_contract(subject: Subject, prop: Any) -> None:
    """Every clause, in the quick profile; the native part is held to what it claims."""
    if subject is NATIVE and not native.is_available():
        pytest.skip(native.status())
    prop(subject)
