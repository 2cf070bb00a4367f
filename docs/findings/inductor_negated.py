"""torch.compile with inductor reads a lazily negated input without its negation."""

import sys

import torch

negated = torch.complex(torch.zeros(3), -torch.ones(3)).conj().imag  # ones, negated lazily
compiled = torch.compile(lambda t: t + 1)(negated)
print(f"t + 1 is {(negated + 1).tolist()}, compiled {compiled.tolist()}")
sys.exit(compiled.tolist() != [0.0, 0.0, 0.0])
