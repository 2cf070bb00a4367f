"""The definition's arithmetic through torch.compile, as a subject with the limits that this has."""

from __future__ import annotations

import torch
from torch import Tensor
from wavemae.properties import Claims, Subject

from wavemae.models.losses import Reduction, _check_arguments, _reduce_squared_error

_compiled = torch.compile(_reduce_squared_error, backend="aot_eager", dynamic=True)


def _masked_mse(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    _check_arguments(x_recon, x, mask, reduction)
    result: Tensor = _compiled(x_recon, x, mask, reduction)
    return result


COMPILED = Subject(
    "compiled",
    masked_mse=_masked_mse,
    # Each rank would compile anew, for each placement; what AOT autograd makes has no jvp, and no
    # second derivative.
    claims=Claims(distributed=False, forward_mode=False, second_order=False),
    expected_failures={
        **dict.fromkeys(("C2-subclasses", "C2-subclass-mask"), "AOT autograd takes no subclass"),
        "C17-meta": "AOT autograd gives meta tensors no gradients",
    },
)
