"""Whether the installed wavemae has its native part, and that adds up: for builds of wheels."""

from __future__ import annotations

import torch

from wavemae import fused
from wavemae.models import losses


def main() -> None:
    """Exit 1 if the native part is missing or wrong."""
    print(fused.native.status())
    if not fused.native.is_available():
        raise SystemExit(1)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x_recon = (torch.arange(300_000) % 17).to(dtype).view(300, 1000)
        x = (torch.arange(300_000) % 13).to(dtype).view(1000, 300).t()
        mask = torch.arange(300_000).view(300, 1000) % 3 > 0
        found = fused.masked_sse(x_recon, x, mask, reduction="sum")
        wanted = losses.masked_sse(x_recon, x, mask, reduction="sum")
        if not torch.equal(found, wanted):
            raise SystemExit(f"{dtype}: {found.item()} instead of {wanted.item()}")


if __name__ == "__main__":
    main()
