"""TorchMetrics' MeanMetric: "disable" drops every weight; a number is written into the inputs."""

import sys

import torch
from torchmetrics import MeanMetric

value, weight = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 0.0])
disabled = MeanMetric(nan_strategy="disable")(value, weight).item()
print(f"'disable', weights 1, 0, 0 of 1, 2, 3: {disabled}, where 1 is right")
value, weight = torch.tensor([float("nan"), 2.0]), torch.tensor([0.0, 1.0])
replaced = MeanMetric(nan_strategy=0.0)(value, weight).item()
print(f"0.0, weights 0, 1 of nan, 2: {replaced}, where 2 is right; {value=}, {weight=} after it")
sys.exit(not (disabled == 2 and replaced == 1 and weight.tolist() == [1, 1]))
