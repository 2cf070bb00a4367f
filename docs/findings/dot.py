"""torch.dot of 2²⁴ equal float32 values: thousands of roundoffs off, where torch.sum is not."""

import sys
from fractions import Fraction

import torch

x = torch.full((2**24,), 0.1)
exact = 2**24 * Fraction(x[0].item()) ** 2


def roundoffs(got):
    """How many unit roundoffs of float32 the number is off."""
    return float(abs(Fraction(got.item()) - exact) / exact * 2**24)


dot, total = roundoffs(torch.dot(x, x)), roundoffs(x.square().sum())
print(f"torch.dot(x, x) is off by {dot:.0f} unit roundoffs, x.square().sum() by {total:.0f}")
sys.exit(not (dot > 256 > total))
