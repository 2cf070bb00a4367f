"""Checks as asserts that raise the right errors: gone under `python -O`."""

import torch


def _refuse(error: Exception) -> bool:
    raise error


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    if __debug__:
        for name, t in (("x_recon", x_recon), ("x", x), ("mask", mask)):
            isinstance(t, torch.Tensor) or _refuse(TypeError(f"{name} is {t!r}, no tensor"))
            t.layout is torch.strided or _refuse(TypeError(f"{name} is {t.layout}, not strided"))
        for name, t in (("x_recon", x_recon), ("x", x)):
            kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
            t.dtype in kinds or _refuse(TypeError(f"{name} is {t.dtype}: call {name}.float()"))
        mask.dtype is torch.bool or _refuse(TypeError(f"mask is {mask.dtype}: mask.bool()"))
        shape = tuple(x_recon.shape)
        for name, t in (("x_recon", x_recon), ("x", x), ("mask", mask)):
            t.ndim == 2 or _refuse(ValueError(f"{name} has shape {tuple(t.shape)}, not (B, L)"))
        for name, t in (("x", x), ("mask", mask)):
            tuple(t.shape) == shape or _refuse(
                ValueError(f"{name} has shape {tuple(t.shape)}, x_recon {shape}: make them alike")
            )
            t.device == x_recon.device or _refuse(ValueError(f"{name} is on {t.device}"))
        (isinstance(reduction, str) and reduction in ("sum", "mean", "batch_mean")) or _refuse(
            ValueError(f"reduction {reduction!r} is not 'sum', 'mean' or 'batch_mean'")
        )
    kind = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    difference = (x_recon.to(kind) - x.to(kind)).masked_fill(~mask, 0)
    total = difference.square().sum()
    if reduction == "mean":
        return total / mask.sum().clamp(min=1)
    return total / max(1, x.shape[0]) if reduction == "batch_mean" else total


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
