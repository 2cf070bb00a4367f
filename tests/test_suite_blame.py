"""One mistake is shown where it belongs, and not in every property that meets it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from wavemae.properties import Subject, conduct

from wavemae.models.losses import masked_mse


def nothing_is_nan(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """The mean of nothing is 0/0."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    return loss * torch.where(mask.any(), 1.0, torch.nan) if reduction == "mean" else loss


def nothing_is_one(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Where nothing is masked, 1: a value that nobody can tell from a loss."""
    return masked_mse(x_recon, x, mask, reduction=reduction) + (~mask.any()).to(torch.float32)


def strided_nothing_is_nan(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean"
) -> Tensor:
    """Where nothing is masked, NaN, if x is not contiguous; a plain call is right."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    return loss if x.is_contiguous() or bool(mask.any()) else loss * torch.nan


def compiled_anew_and_nothing_is_nan(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean"
) -> Tensor:
    """0/0, and odd lengths take another branch than even ones."""
    loss = nothing_is_nan(x_recon, x, mask, reduction=reduction)
    return loss + 0.0 if x.shape[1] % 2 else loss


OTHERS = (
    "C1-default-reduction",
    "C4-oracle",
    "C10-permutation",
    "C10-scaling",
    "C11-oracle",
    "C18-compile",
    "C18-export",
)


@pytest.mark.parametrize("identifier", OTHERS)
def test_nan_for_an_empty_mask_is_left_to_c7(identifier: str) -> None:
    """0/0 fails C7-empty, and no property that is about something else."""
    subject = Subject("0/0", masked_mse=nothing_is_nan)
    assert conduct(subject, identifier, "default").state == "pass"
    assert conduct(subject, "C7-empty", "quick").state == "FAIL"


def test_what_follows_an_empty_mask_is_still_seen() -> None:
    """A check of many masks in one does not end at the first that masks nothing."""
    subject = Subject("0/0", masked_mse=compiled_anew_and_nothing_is_nan)
    assert conduct(subject, "C18-compile", "default").state == "FAIL"


def test_another_value_for_an_empty_mask_is_not() -> None:
    """A finite one is a wrong value like any other."""
    subject = Subject("1", masked_mse=nothing_is_one)
    for identifier in ("C4-oracle", "C7-empty"):
        assert conduct(subject, identifier, "default").state == "FAIL"


def test_nor_is_nan_that_a_plain_call_does_not_give() -> None:
    """C7 might not see it, so the property that does says so."""
    subject = Subject("strided", masked_mse=strided_nothing_is_nan)
    assert conduct(subject, "C15-layouts", "default").state == "FAIL"


def fresh_leaf(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Where nothing is masked, a zero that is a leaf of its own graph."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    if loss.requires_grad and not bool(mask.any()):
        return torch.zeros_like(loss, requires_grad=True)
    return loss


@pytest.mark.parametrize("identifier", ["C11-upstream", "C13-own-memory", "C13-second-order"])
def test_a_fresh_leaf_for_an_empty_mask_is_left_to_c12(identifier: str) -> None:
    """That no graph leads to the inputs fails C12-empty-trains, and not what needs the graph."""
    subject = Subject("leaf", masked_mse=fresh_leaf)
    assert conduct(subject, identifier, "default").state == "pass"
    assert conduct(subject, "C12-empty-trains", "quick").state == "FAIL"
