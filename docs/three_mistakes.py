"""A masked loss as it is often written, with three mistakes; `wavemae verify` finds them.

NaN outside the mask comes through, since NaN × 0 is NaN; an empty mask gives 0/0; and nothing is
refused, so that what is not alike broadcasts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The squared differences where the mask is True: their mean, or sum, or sum per sample."""
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    squares = (x_recon.to(dtype) - x.to(dtype)).square() * mask
    parts = {"sum": 1, "mean": mask.sum(), "batch_mean": x.shape[0]}
    return squares.sum() / parts[reduction]
