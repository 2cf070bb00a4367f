"""A masked loss in NumPy as a subject: it has no gradients, and says so.

`wavemae verify docs/numpy_loss.py:SUBJECT` runs the suite on it.
"""

from __future__ import annotations

import numpy as np
import torch
from wavemae.properties import Claims, Subject


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    """Σ over the mask of (x_recon − x)², divided as `reduction` says, computed by NumPy."""
    dtype = torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)
    a, b = (t.detach().resolve_neg().to(dtype).numpy() for t in (x_recon, x))
    selected = mask.numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(np.square(a[selected] - b[selected]))
    divisor = {"sum": 1, "mean": max(1, selected.sum()), "batch_mean": max(1, len(selected))}
    return torch.tensor(total / divisor[reduction], dtype=dtype, device=x.device)


SUBJECT = Subject(
    "NumPy",
    masked_mse=masked_mse,  # one function is enough
    claims=Claims(
        gradients=False,
        transforms=False,
        compile=False,
        data_independent=False,  # the data goes through NumPy
        distributed=False,
        strict_inputs=False,  # what is no pair of equal shapes is NumPy's business
        devices=("cpu",),
    ),
    imports="from numpy_loss import masked_mse",
)
