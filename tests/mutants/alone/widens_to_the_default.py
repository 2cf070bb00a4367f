"""Right, but half is widened to the default dtype that stood when this file was imported."""

import torch

from wavemae.models import losses

_WIDE = torch.get_default_dtype()


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    loss = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    return (
        loss if torch.compiler.is_compiling() else loss.to(torch.promote_types(loss.dtype, _WIDE))
    )


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    return masked_sse(x_recon, x, mask, reduction=reduction)
