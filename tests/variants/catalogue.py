"""What the variants share: their register, and the arithmetic that each changes in one respect."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from wavemae.properties import Claims

from wavemae.models.losses import _check_arguments

Loss = Callable[..., Tensor]

VARIANTS: dict[str, tuple[Loss, Loss]] = {}
CLAIMS: dict[str, Claims] = {}  # of each; its docstring says why, where it is not everything


def variant(arithmetic: Any = None, **claims: Any) -> Any:
    """Register `loss(x_recon, x, mask, reduction)`, run behind the definition's own checks."""
    if arithmetic is None:
        return functools.partial(variant, **claims)

    def sse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "batch_mean") -> Tensor:
        _check_arguments(x_recon, x, mask, reduction)
        found: Tensor = arithmetic(x_recon, x, mask, reduction)
        return found

    def mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        return sse(x_recon, x, mask, reduction=reduction)

    _add(arithmetic.__name__, (sse, mse), claims)
    return arithmetic


def whole_variant(make: Any = None, **claims: Any) -> Any:
    """Register a function that returns its own (masked_sse, masked_mse), checks included."""
    if make is None:
        return functools.partial(whole_variant, **claims)
    _add(make.__name__, make(), claims)
    return make


def _add(name: str, functions: tuple[Loss, Loss], claims: dict[str, Any]) -> None:
    if name in VARIANTS:
        raise ValueError(f"two variants are called {name}")
    VARIANTS[name], CLAIMS[name] = functions, Claims(**claims)


def result_dtype(x_recon: Tensor, x: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)


def widened(x_recon: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    dtype = result_dtype(x_recon, x)
    return x_recon.to(dtype), x.to(dtype)


def masked_difference(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    wide_recon, wide_x = widened(x_recon, x)
    return torch.where(mask, wide_recon - wide_x, 0.0)


def divided(total: Tensor, mask: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return total / mask.sum().clamp(min=1)
    if reduction == "batch_mean":
        return total / max(mask.shape[0], 1)
    return total


def whole(*tensors: Tensor) -> list[Tensor]:
    """DTensors gathered, so that what flattens or counts can take them; others as they are."""
    return [t.full_tensor() if hasattr(t, "full_tensor") else t for t in tensors]


def plainly() -> bool:
    """Where torch takes no Function with a forward-mode rule, or gives 0 for it: pushed twice."""
    depth = torch._C._functorch.maybe_current_level() or 0
    return torch.compiler.is_compiling() or depth > 1


def transformed() -> bool:
    """Where torch takes no Function that has nothing but a backward."""
    depth = torch._C._functorch.maybe_current_level() or 0
    return torch.compiler.is_compiling() or depth > 0 or pushed()


def pushed() -> bool:
    """In compiled code and forward mode, for a Function that has a rule for vmap."""
    return torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level >= 0


def formula_where(unable: Callable[[], bool]) -> Callable[[Loss], Loss]:
    """Makes a loss of a sum `total(x_recon, x, mask)`; where `unable()`, it is the formula's."""

    def made(total: Loss) -> Loss:
        @functools.wraps(total)
        def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
            given = whole(x_recon, x, mask)
            formula = masked_difference(*given).square().sum() if unable() else total(*given)
            return divided(formula, given[2], reduction)

        return loss

    return made
