"""Losses that break C2: good arguments refused, or taken for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .catalogue import Loss, mutant, whole_mutant
from .pieces.autograd import ordinary
from .pieces.formula import leaks_where, right
from .pieces.signature import guarded, pair


def refusing(wrong: Callable[[Tensor, Tensor, Tensor], bool], message: str) -> tuple[Loss, Loss]:
    """The definition, but good arguments are refused where `wrong` says so."""

    def loss(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Any:
        result = guarded(x_recon, x, mask, reduction)
        if wrong(x_recon, x, mask):
            raise ValueError(message)
        return result

    return pair(loss)


# --- good arguments refused ----------------------------------------------------------------------


@whole_mutant("C2", "bfloat16 is refused in x", "C2-dtypes")
def bfloat16_x_refused():
    return refusing(lambda x_recon, x, mask: x.dtype == torch.bfloat16, "x must be a float tensor")


@whole_mutant("C2", "float64 is refused in x_recon", "C2-dtypes")
def float64_x_recon_refused():
    return refusing(lambda x_recon, x, mask: x_recon.dtype == torch.float64, "x_recon is float64")


@whole_mutant("C2", "two dtypes are refused", "C2-dtypes")
def mixed_dtypes_refused():
    return refusing(lambda x_recon, x, mask: x_recon.dtype != x.dtype, "dtypes differ")


@whole_mutant("C2", "B = 0 is refused", "C5-result")
def batch_of_none_refused():
    return refusing(lambda x_recon, x, mask: len(mask) == 0, "empty batch")


@whole_mutant(
    "C2", "NaN anywhere is refused, outside the mask too (seen in PyPOTS)", "C4-oracle", "C5-result"
)
def nan_anywhere_refused():
    return refusing(
        lambda x_recon, x, mask: bool(x_recon.isnan().any() or x.isnan().any()), "input has NaN"
    )


@whole_mutant("C2", "subclasses of Tensor are refused, Parameter too", "C2-subclasses")
def parameter_refused():
    return refusing(
        lambda x_recon, x, mask: not all(type(t) is Tensor for t in (x_recon, x, mask)),
        "expected a torch.Tensor",
    )


def _unlike(x_recon: Tensor, x: Tensor, mask: Tensor) -> bool:
    """Whether two of them are of different subclasses of Tensor."""
    plain = (Tensor, torch.nn.Parameter)
    return len({type(t) for t in (x_recon, x, mask) if type(t) not in plain}) > 1


@whole_mutant("C2", "a subclass of the other inputs' subclass is refused", "C2-subclasses")
def unlike_subclasses_refused():
    return refusing(_unlike, "expected inputs of one class")


@whole_mutant("C2", "a target that requires grad is refused, as in old mse_loss", "C11-extremes")
def x_that_requires_grad_refused():
    return refusing(lambda x_recon, x, mask: x.requires_grad, "x must not require grad")


# --- taken for something else --------------------------------------------------------------------


@mutant("C2", "a target that is a parameter is taken for frozen", "C11-oracle")
def parameter_target_detached(x_recon, x, mask, reduction):
    if isinstance(x, torch.nn.Parameter):
        x = x.detach()
    return right(x_recon, x, mask, reduction)


@mutant("C2", "a mask that is no plain Tensor is multiplied with, so NaN leaks", "C2-subclass-mask")
@leaks_where
def subclass_of_mask_multiplied(x_recon, x, mask):
    return type(mask) is not Tensor and type(x) is Tensor and ordinary(x_recon, x, mask)


@mutant("C2", "what is neither Tensor nor Parameter is gathered, as a DTensor is", "C2-subclasses")
def subclass_taken_for_dtensor(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask):
        known = (Tensor, torch.nn.Parameter)
        x_recon, x, mask = (t if type(t) in known else t.full_tensor() for t in (x_recon, x, mask))
    return right(x_recon, x, mask, reduction)
