"""Inductor's float64 sum on the CPU: one accumulator in each lane, however many terms.

With --patched the condition in its code generator is widened first.
"""

import inspect
import sys
import textwrap
from fractions import Fraction

import torch
from torch._inductor.codegen import cpp

if "--patched" in sys.argv:
    source = textwrap.dedent(inspect.getsource(cpp.CppKernel.need_use_acc_helper))
    there = dict(vars(cpp))
    exec(source.replace("dtype == torch.float:", "dtype in (torch.float, torch.double):"), there)
    cpp.CppKernel.need_use_acc_helper = there["need_use_acc_helper"]

torch.set_num_threads(1)
x = torch.full((2**22,), 0.1, dtype=torch.float64)
exact = 2**22 * Fraction(x[0].item()) ** 2


def roundoffs(got):
    """How many unit roundoffs of float64 the number is off."""
    return float(abs(Fraction(got.item()) - exact) / exact * 2**53)


with torch._inductor.config.patch(fx_graph_cache=False):  # it does not know of the patch
    compiled = roundoffs(torch.compile(lambda t: t.square().sum())(x))
eager = roundoffs(x.square().sum())
print(f"compiled, the sum is off by {compiled:.0f} unit roundoffs, eager by {eager:.0f}")
sys.exit(not compiled > 4096)
