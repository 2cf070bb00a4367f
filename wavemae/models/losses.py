"""Masked reconstruction losses: the squared error on the positions that were hidden.

A masked autoencoder hides part of each spectrum and is scored only on what it had to guess
(He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022). This file is that score
and nothing else. It needs torch only, so it can be copied alone into another code base.

The contract it keeps is CONTRACT.md of the wavemae project; names such as C8 refer to its clauses.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Reduction", "masked_mse", "masked_sse"]

Reduction = Literal["sum", "mean", "batch_mean"]

_REDUCTIONS = get_args(Reduction)
_VALUE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def masked_sse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "batch_mean"
) -> Tensor:
    r"""Sum of squared errors over the masked positions, per sample of the batch by default.

    With :math:`S = \sum_{(b, l)\,:\,\text{mask}_{bl}} (\text{x\_recon}_{bl} - \text{x}_{bl})^2`,
    B the batch size and n the number of True in the mask:

    ================  ===================  ===============================================
    ``reduction``     result               use it when
    ================  ===================  ===============================================
    ``"sum"``         S                    you normalise yourself: over micro-batches, over
                                           ranks, by a count of your own
    ``"mean"``        S / n, or 0 if n=0   the loss should not depend on how much is masked
    ``"batch_mean"``  S / B, or 0 if B=0   every sample should weigh by how much of it is
                                           masked; the usual SSE of one spectrum
    ================  ===================  ===============================================

    :func:`masked_mse` computes the same; only its default reduction differs.

    Args:
        x_recon: reconstruction, shape (B, L); float16, bfloat16, float32 or float64.
        x: target, shape (B, L); one of the same dtypes, not necessarily that of ``x_recon``.
        mask: bool, shape (B, L). True means masked, that is hidden from the model and counted
            here. A model that hands out what it could see wants ``mask = ~visible``.
        reduction: ``"sum"``, ``"mean"`` or ``"batch_mean"``; by keyword only.

    Returns:
        0-d tensor on the inputs' device. Its dtype is the promotion of ``x_recon.dtype``,
        ``x.dtype`` and float32: half inputs are widened before they are subtracted, so nothing
        overflows at 65504 and no count sticks at 2048. Never negative. Exactly +0.0 when nothing is
        masked, B = 0 and L = 0 included.

    Raises:
        TypeError: an argument is not a tensor, is not a dense (strided) one, or has another dtype;
            ``reduction`` is not a string.
        ValueError: a tensor is not 2-D, shapes or devices differ (nothing is ever broadcast), or
            ``reduction`` is an unknown string. All checks come before any arithmetic.

    Gradient:
        :math:`\partial / \partial \text{x\_recon} = 2\,(\text{x\_recon} - \text{x}) \cdot
        \text{mask} \cdot s` with s = 1, 1/n or 1/B, and the exact negation for ``x``, each in its
        input's dtype. Zero outside the mask, whatever stands there, NaN and Inf included; zero and
        still connected to the graph when nothing is masked. NaN and Inf *inside* the mask are never
        hidden. Differentiable twice, in forward mode, and under ``torch.func``.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 3.0]])
        >>> x_recon = torch.tensor([[1.5, float("nan"), 5.0]])
        >>> visible = torch.tensor([[False, True, False]])
        >>> masked_sse(x_recon, x, ~visible)
        tensor(4.2500)
    """
    return _reduce_squared_error(x_recon, x, mask, reduction)


def masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """Mean of squared errors over the masked positions by default.

    The same function as :func:`masked_sse` with another default: see there for the formula of each
    reduction, the arguments, the result's dtype, what is raised, and the gradient.

    With ``reduction="mean"`` the count is that of the whole batch, not of each sample: a sample
    with more masked positions weighs more. A mask without any True gives 0, not 0/0.

    Args:
        x_recon: reconstruction, shape (B, L); float16, bfloat16, float32 or float64.
        x: target, shape (B, L); one of the same dtypes.
        mask: bool, shape (B, L); True means masked and counted (``mask = ~visible``).
        reduction: ``"sum"``, ``"mean"`` or ``"batch_mean"``; by keyword only.

    Returns:
        0-d tensor; dtype and device as for :func:`masked_sse`.

    Raises:
        TypeError, ValueError: as :func:`masked_sse`.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 3.0]])
        >>> x_recon = torch.tensor([[1.5, float("nan"), 5.0]])
        >>> mask = torch.tensor([[True, False, True]])
        >>> masked_mse(x_recon, x, mask)
        tensor(2.1250)
    """
    return _reduce_squared_error(x_recon, x, mask, reduction)


def _reduce_squared_error(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
    _check_arguments(x_recon, x, mask, reduction)
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    difference = x_recon.to(dtype) - x.to(dtype)
    # Selecting between subtraction and square keeps NaN and Inf out: the backward of `where`
    # replaces the gradient, and that of a subtraction never multiplies by an operand (C8, C12).
    total = torch.where(mask, difference, 0.0).square().sum()
    if reduction == "mean":
        return total / mask.sum().clamp(min=1)
    if reduction == "batch_mean":
        return total / max(x.shape[0], 1)
    return total


def _check_arguments(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: Reduction) -> None:
    """Refuse whatever is outside C2 (TypeError: kind; ValueError: shape, device, reduction)."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    for name, tensor in named.items():
        wanted, way_out = "a torch.Tensor", f"torch.as_tensor({name})"
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{name} must be {wanted}, got {type(tensor).__name__}; convert it with {way_out}"
            )
        if tensor.layout != torch.strided or tensor.is_nested:
            kind = "nested" if tensor.is_nested else tensor.layout
            raise TypeError(
                f"{name} must be a dense tensor (torch.strided), got layout {kind}; "
                f"convert it, for example with {name}.to_dense()"
            )
    for name in ("x_recon", "x"):
        if named[name].dtype not in _VALUE_DTYPES:
            raise TypeError(
                f"{name} must be float16, bfloat16, float32 or float64, got {named[name].dtype}; "
                f"convert it, for example with {name}.float()"
            )
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask must be bool (True = masked = counted), got {mask.dtype}; convert it with "
            "mask.bool(), or pass ~visible if you hold what is visible"
        )
    for name, tensor in named.items():
        if tensor.ndim != 2:
            raise ValueError(
                f"{name} must have shape (B, L), got {tuple(tensor.shape)}; "
                f"bring it to 2-D, for example with {name}.reshape(B, L)"
            )
    for name, tensor in named.items():
        if tensor.shape != x_recon.shape:
            raise ValueError(
                f"{name} must have the shape of x_recon, {tuple(x_recon.shape)}, got "
                f"{tuple(tensor.shape)}; nothing is broadcast, expand {name} first if you mean it"
            )
        if tensor.device != x_recon.device:
            raise ValueError(
                f"{name} must be on the device of x_recon, {x_recon.device}, got {tensor.device}; "
                f"move it with {name}.to(x_recon.device)"
            )
    if not isinstance(reduction, str):
        raise TypeError(
            f"reduction must be a string, got {type(reduction).__name__} ({reduction!r}); "
            "pass 'sum', 'mean' or 'batch_mean'"
        )
    if reduction not in _REDUCTIONS:
        raise ValueError(
            f"reduction must be 'sum', 'mean' or 'batch_mean', got {reduction!r}; for values per "
            "position compute (x_recon - x).square()[mask] yourself"
        )
