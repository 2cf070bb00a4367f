"""linalg.vector_norm of 2²⁴ equal float32 values: its square is 2 % off."""

import sys
from fractions import Fraction

import torch

x = torch.full((2**24,), 0.1)
exact = 2**24 * Fraction(x[0].item()) ** 2
norm = torch.linalg.vector_norm(x)
off = float(abs(Fraction(norm.item()) ** 2 - exact) / exact * 2**24)
print(f"vector_norm(x)² is off by {off:.0f} unit roundoffs, {off / 2**24:.1%}")
sys.exit(not off > 256)
