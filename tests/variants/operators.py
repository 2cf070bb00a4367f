"""Right by way of operators that few would take."""

from __future__ import annotations

from typing import Any

import torch
import torch._dynamo  # a custom operator's first call imports it, which sets globals
from torch import Tensor

from .catalogue import divided, masked_difference, result_dtype, variant, whole, widened

# The file may be imported under two names, and torch takes an operator once.
_NAMESPACE = __name__.replace(".", "_")
_OPERATORS = getattr(torch.ops, _NAMESPACE)


@variant(transforms=False)  # torch.func has no rules for foreach
def foreach_lists_of_one(x_recon, x, mask, reduction):
    """Lists of one tensor each; the square is of a difference and its negated twin."""
    x_recon, x, mask = whole(x_recon, x, mask)
    wide_recon, wide_x = widened(x_recon, x)
    both = torch._foreach_sub([wide_recon, wide_x], [wide_x, wide_recon])
    plus, minus = (torch.where(mask, difference, 0.0) for difference in both)
    (square,) = torch._foreach_mul([plus], torch._foreach_neg([minus]))
    return divided(square.sum(), mask, reduction)


@torch.library.custom_op(f"{_NAMESPACE}::squared_error", mutates_args=())
def _squared_error(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    return masked_difference(x_recon, x, mask).square().sum()


@_squared_error.register_fake
def _(x_recon, x, mask):
    return x_recon.new_empty((), dtype=result_dtype(x_recon, x))


def _pull(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    x_recon, x, mask = ctx.saved_tensors
    slope = torch.where(mask, 2.0 * masked_difference(x_recon, x, mask) * upstream, 0.0)
    return slope.to(x_recon.dtype, copy=True), (-slope).to(x.dtype), None


_squared_error.register_autograd(
    _pull, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs)
)


@variant(forward_mode=False, transforms=False)  # a custom operator has no forward-mode rule
def custom_operator(x_recon, x, mask, reduction):
    """One operator to autograd and to compilers, with a backward and a fake rule."""
    x_recon, x, mask = whole(x_recon, x, mask)
    return divided(_squared_error(x_recon, x, mask), mask, reduction)


_library = torch.library.Library(_NAMESPACE, "FRAGMENT")
_library.define("composite_squared_error(Tensor x_recon, Tensor x, Tensor mask) -> Tensor")


@torch.library.impl(_library, "composite_squared_error", "CompositeImplicitAutograd")
def _composite(x_recon, x, mask):
    return masked_difference(x_recon, x, mask).square().sum()


@variant
def composite_operator(x_recon, x, mask, reduction):
    """An operator of a library of its own that torch takes apart wherever it is met."""
    x_recon, x, mask = whole(x_recon, x, mask)
    found = _OPERATORS.composite_squared_error(x_recon, x, mask)
    return divided(found, mask, reduction)


@variant
def lazily_negated_result(x_recon, x, mask, reduction):
    """The imaginary part of a conjugate, so that `.numpy()` refuses it; it is right nonetheless."""
    x_recon, x, mask = whole(x_recon, x, mask)
    loss = divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    if torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(loss):
        return loss
    return torch.complex(torch.zeros_like(loss), -loss).conj().imag


@variant
def view_of_all_three(x_recon, x, mask, reduction):
    """All three reductions in one memory, and a view of the one that was asked for."""
    x_recon, x, mask = whole(x_recon, x, mask)
    total = masked_difference(x_recon, x, mask).square().sum()
    names = ("sum", "mean", "batch_mean")
    return torch.stack([divided(total, mask, name) for name in names])[names.index(reduction)]


@variant
def masked_package(x_recon, x, mask, reduction):
    """torch.masked's sum, of a difference that is selected before."""
    x_recon, x, mask = whole(x_recon, x, mask)
    difference = masked_difference(x_recon, x, mask)
    return divided(torch.masked.sum(difference * difference, mask=mask), mask, reduction)


HALVES_AND_FLOAT32 = ("float16", "bfloat16", "float32")


# zdotc adds in an order that nobody promises, and products of a complex infinity are NaN.
# Mapped, it is a product of complex numbers, which makes NaN of an infinity.
@variant(dtypes=("float32",), gradients=False, transforms=False)
def complex_inner_product(x_recon, x, mask, reduction):
    """vdot of complex numbers in double precision, whose imaginary parts are zero."""
    x_recon, x, mask = whole(x_recon, x, mask)
    difference = masked_difference(x_recon, x, mask).double().reshape(-1)
    numbers = torch.complex(difference, torch.zeros_like(difference))
    return divided(torch.vdot(numbers, numbers).real, mask, reduction).to(x.dtype)


@variant(dtypes=HALVES_AND_FLOAT32)  # float64 has no wider one for its running sum
def last_of_a_running_sum(x_recon, x, mask, reduction):
    """A cumulative sum in float64, of which the last number is taken."""
    x_recon, x, mask = whole(x_recon, x, mask)
    squares = masked_difference(x_recon, x, mask).square().reshape(-1)
    running = torch.nn.functional.pad(squares, (1, 0)).cumsum(0, dtype=torch.float64)
    return divided(running[-1], mask, reduction).to(squares.dtype)


# float64 has no wider one for what falls into one bin; searchsorted warns of what vmap lays out.
@variant(dtypes=HALVES_AND_FLOAT32, transforms=False)
def binned_by_magnitude(x_recon, x, mask, reduction):
    """Squares of like magnitude are added first: searched among edges, scattered into bins."""
    x_recon, x, mask = whole(x_recon, x, mask)
    squares = masked_difference(x_recon, x, mask).square().reshape(-1).double()
    edges = 10.0 ** torch.arange(-40, 40, 8, dtype=torch.float64, device=squares.device)
    bins = torch.searchsorted(edges, squares.detach())
    sums = squares.new_zeros(len(edges) + 1).scatter_add(0, bins, squares)
    return divided(sums.sum(), mask, reduction).to(result_dtype(x_recon, x))
