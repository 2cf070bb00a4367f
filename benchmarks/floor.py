"""The floor: every input byte read once and every gradient byte written once, by library calls.

No implementation can do with less traffic, so time ÷ floor says how much is left to gain. Values
do not matter here, bytes do: each tensor is taken as 64-bit integers, which torch sums and
subtracts as fast as memory delivers them, whatever the dtype.

- forward: the sum of `x_recon`, the sum of `x`, the sum of `mask`;
- forward + backward: `x_recon` − `x` written to fresh memory as large as the gradient, which is the
  only pass over them, and the sum of `mask`.

The second is below what two separate calls can reach, as autograd's backward has to read the
inputs, or something saved as large, a second time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .workloads import Phase, Step


def _words(tensor: Tensor) -> Tensor:
    """A contiguous tensor's bytes as 64-bit integers; their number must be a multiple of 8."""
    return tensor.detach().view(-1).view(torch.int64)


def _read(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    _words(x_recon).sum()
    _words(x).sum()
    return _words(mask).sum()


def _read_and_write(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    _words(mask).sum()
    gradient = torch.empty_like(x_recon)
    return torch.sub(_words(x_recon), _words(x), out=_words(gradient))


def floor(phase: Phase) -> Step:
    """The floor of a phase, to be timed as an implementation is."""
    return _read if phase == "forward" else _read_and_write
