"""A view of a lazily negated primal, in forward mode: an internal assertion of torch."""

import sys

import torch

negated = torch.complex(torch.zeros(2), -torch.ones(2)).conj().imag  # ones, negated lazily
for name, primal in (("resolved", negated.resolve_neg()), ("negated", negated)):
    try:
        print(f"{name}:", torch.func.jvp(lambda t: t[0], (primal,), (torch.ones(2),)))
    except RuntimeError as error:
        print(f"{name}: RuntimeError: {str(error).splitlines()[0][:120]}")
        sys.exit("INTERNAL ASSERT" not in str(error))
sys.exit(1)
