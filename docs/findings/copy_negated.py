"""copy_ between float16 and float32 drops a lazy negation: the sign is wrong."""

import sys

import torch

value = torch.tensor([1.0], dtype=torch.float16)
negated = torch.complex(value, -value).conj().imag  # 1, negated lazily
got = torch.zeros(1).copy_(negated)
print(f"{negated.item()} copied into float32 is {got.item()}")
sys.exit(got.item() != -negated.item())
