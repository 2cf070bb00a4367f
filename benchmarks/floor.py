"""The floor: every input byte read and every gradient byte written, by library calls.

Time ÷ floor says how much is left to gain. Values do not matter here, bytes do: each tensor is
taken as 64-bit integers, which torch sums and subtracts as fast as memory delivers them, whatever
the dtype.

- forward: the inputs are read once, as the sums of `x_recon`, of `x` and of `mask`;
- forward + backward: the same, and then once more, with the gradient written: `x_recon` − `x` to
  fresh memory as large as the gradient, and the sum of `mask`.

Two calls cannot do with less, as long as nothing large is kept between them: the loss has to be
known before the upstream gradient is, and the count of `mask` before the gradient. Keeping a
gradient in advance, to be scaled later, would read the inputs once, and hold as many bytes from
forward to backward. `one_pass` shows what that could save at best: the inputs read once and the
gradient written, as if loss and gradient were one call. It is in the tables for comparison.
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


def one_pass(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """The inputs read once and the gradient written: what no pair of calls can reach."""
    _words(mask).sum()
    gradient = torch.empty_like(x_recon)
    return torch.sub(_words(x_recon), _words(x), out=_words(gradient))


def _read_twice_and_write(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    _read(x_recon, x, mask)
    return one_pass(x_recon, x, mask)


def floor(phase: Phase) -> Step:
    """The floor of a phase, to be timed as an implementation is."""
    return _read if phase == "forward" else _read_twice_and_write
