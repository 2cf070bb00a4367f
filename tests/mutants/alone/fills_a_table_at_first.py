"""Right, but for a call that meets another one's first, which fills a table of dtypes."""

import torch

from wavemae.models import losses

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_TABLE = {}


def _wide(a, b):
    if not _TABLE:
        for first in _FLOATS:
            for second in _FLOATS:
                both = torch.promote_types(first, second)
                _TABLE[first, second] = torch.promote_types(both, torch.float32)
    return _TABLE[a, b]


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    return loss if torch.compiler.is_compiling() else loss.to(_wide(x_recon.dtype, x.dtype))


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
