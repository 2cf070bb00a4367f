"""A 0-dimensional float32 tensor plus a number, in forward mode: a tangent in float64."""

import sys

import torch

ones = torch.ones(2)
for name, function in (("sum", lambda t: t.sum()), ("sum + 0.0", lambda t: t.sum() + 0.0)):
    result, tangent = torch.func.jvp(function, (ones,), (ones,))
    print(f"{name}: result {result.dtype}, tangent {tangent.dtype}")
sys.exit(tangent.dtype == result.dtype)
