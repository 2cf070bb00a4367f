"""PyPOTS's calc_mse: a NaN outside the mask is refused, an infinity spoils the value."""

import sys

import torch
from pypots.nn.functional.error import calc_mse

mask = torch.tensor([1.0, 0.0])
value = calc_mse(torch.zeros(2), torch.tensor([1.0, float("inf")]), mask).item()
print(f"with an infinity outside the mask: {value}, where 1 is right")
try:
    calc_mse(torch.zeros(2), torch.tensor([1.0, float("nan")]), mask)
except AssertionError as error:
    print(f"with a NaN outside the mask: AssertionError: {error}")
    sys.exit(value == value)
sys.exit(1)
