"""The Triton kernels where only a GPU can try them; the rest of CUDA is in losses/test_amp.py."""

from __future__ import annotations

import pytest
import torch

from wavemae import fused


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_properties(0).total_memory < 16 * 2**30,
    reason="needs a GPU with 16 GiB that CUDA drives",
)
@pytest.mark.parametrize("strided", [False, True])
def test_more_elements_than_32_bits_can_number(strided: bool) -> None:
    """A masked position beyond 2³¹ elements is read, and its gradient written, where it is."""
    columns = 2**30 + 24
    x_recon = torch.zeros(2, columns, dtype=torch.bfloat16, device="cuda")
    mask = torch.zeros(2, columns, dtype=torch.bool, device="cuda")
    if strided:
        x_recon, mask = x_recon[:, :-8], mask[:, :-8]
    x_recon[1, -1], mask[1, -1] = 3.0, True
    x = torch.zeros((), dtype=torch.bfloat16, device="cuda").expand(x_recon.shape)
    x_recon.requires_grad_()
    loss = fused.masked_mse(x_recon, x, mask)
    (gradient,) = torch.autograd.grad(loss, x_recon)
    assert loss.item() == 9.0
    assert gradient[1, -1].item() == 6.0
    assert gradient.count_nonzero().item() == 1
