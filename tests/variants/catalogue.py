"""Right implementations in other styles: the suite must find nothing wrong with any of them.

They differ from the definition in the order of the sums, in where the mask comes in, in how the
gradient is made, in what the callables are, in the words and classes of their errors. A check that
fails one of them asks for more than the contract does.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from wavemae.models.losses import _check_arguments, masked_mse, masked_sse

Loss = Callable[..., Tensor]
Arithmetic = Callable[[Tensor, Tensor, Tensor, str], Tensor]

VARIANTS: dict[str, tuple[Loss, Loss]] = {}


def variant(arithmetic: Arithmetic) -> Arithmetic:
    """Register `loss(x_recon, x, mask, reduction)`, run behind the definition's own checks."""

    def sse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "batch_mean") -> Tensor:
        _check_arguments(x_recon, x, mask, reduction)
        return arithmetic(x_recon, x, mask, reduction)

    def mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        return sse(x_recon, x, mask, reduction=reduction)

    _add(arithmetic.__name__, sse, mse)
    return arithmetic


def whole_variant(make: Callable[[], tuple[Loss, Loss]]) -> Callable[[], tuple[Loss, Loss]]:
    """Register a function that returns its own (masked_sse, masked_mse), checks included."""
    _add(make.__name__, *make())
    return make


def _add(name: str, sse: Loss, mse: Loss) -> None:
    if name in VARIANTS:
        raise ValueError(f"two variants are called {name}")
    VARIANTS[name] = sse, mse


def _result_dtype(x_recon: Tensor, x: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x_recon.dtype, x.dtype), torch.float32)


def _widened(x_recon: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    dtype = _result_dtype(x_recon, x)
    return x_recon.to(dtype), x.to(dtype)


def _masked_difference(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    wide_recon, wide_x = _widened(x_recon, x)
    return torch.where(mask, wide_recon - wide_x, 0.0)


def _divided(total: Tensor, mask: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return total / mask.sum().clamp(min=1)
    if reduction == "batch_mean":
        return total / max(mask.shape[0], 1)
    return total


# --- where the mask comes in ---------------------------------------------------------------------


@variant
def inputs_filled_before_subtraction(x_recon, x, mask, reduction):
    """Both inputs set to 0 outside the mask, then subtracted."""
    wide_recon, wide_x = _widened(x_recon, x)
    difference = torch.where(mask, wide_recon, 0.0) - torch.where(mask, wide_x, 0.0)
    return _divided(difference.square().sum(), mask, reduction)


@variant
def inputs_filled_before_upcast(x_recon, x, mask, reduction):
    """Selected in the input's own dtype, widened afterwards."""
    kept_recon = torch.where(mask, x_recon, torch.zeros_like(x_recon))
    wide_recon, wide_x = _widened(kept_recon, torch.where(mask, x, torch.zeros_like(x)))
    return _divided((wide_recon - wide_x).square().sum(), mask, reduction)


@variant
def difference_filled_with_masked_fill(x_recon, x, mask, reduction):
    """masked_fill with the inverted mask in place of where."""
    wide_recon, wide_x = _widened(x_recon, x)
    difference = (wide_recon - wide_x).masked_fill(~mask, 0.0)
    return _divided((difference * difference).sum(), mask, reduction)


@variant
def cleared_by_assignment(x_recon, x, mask, reduction):
    """d[~mask] = 0, which torch turns into a fill: nothing is read back."""
    elsewhere = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
    if elsewhere or type(mask) is not Tensor:  # vmap and DTensor have no rule for it
        return difference_filled_with_masked_fill(x_recon, x, mask, reduction)
    wide_recon, wide_x = _widened(x_recon, x)
    difference = wide_recon - wide_x
    difference[~mask] = 0.0
    return _divided(difference.square().sum(), mask, reduction)


@variant
def filled_before_and_cleared_after(x_recon, x, mask, reduction):
    """Selected twice, before the subtraction and after the squaring."""
    difference = _masked_difference(x_recon, x, mask)
    return _divided(torch.where(mask, difference.pow(2), 0.0).sum(), mask, reduction)


@variant
def other_fill_value(x_recon, x, mask, reduction):
    """Outside the mask both inputs are set to the same number that is not 0."""
    wide_recon, wide_x = _widened(x_recon, x)
    difference = wide_recon.masked_fill(~mask, 3.0) - wide_x.masked_fill(~mask, 3.0)
    return _divided(difference.square().sum(), mask, reduction)


@variant
def mse_loss_on_filled_inputs(x_recon, x, mask, reduction):
    """torch's own mse_loss, on inputs filled outside the mask."""
    wide_recon, wide_x = _widened(x_recon, x)
    kept = torch.where(mask, wide_recon, 0.0), torch.where(mask, wide_x, 0.0)
    return _divided(functional.mse_loss(*kept, reduction="sum"), mask, reduction)


# --- how it is summed ----------------------------------------------------------------------------


@variant
def accumulated_in_float64(x_recon, x, mask, reduction):
    """Everything in float64, rounded once at the end."""
    dtype = _result_dtype(x_recon, x)
    difference = torch.where(mask, x_recon.double() - x.double(), 0.0)
    return _divided(difference.square().sum(), mask, reduction).to(dtype)


@variant
def rows_then_total(x_recon, x, mask, reduction):
    """One sum per row, then the sum of those."""
    squares = _masked_difference(x_recon, x, mask).square()
    return _divided(squares.sum(dim=1).sum(), mask, reduction)


@variant
def columns_then_total(x_recon, x, mask, reduction):
    """One sum per column, then the sum of those, in float64."""
    squares = _masked_difference(x_recon, x, mask).square()
    total = squares.sum(dim=0, dtype=torch.float64).sum().to(squares.dtype)
    return _divided(total, mask, reduction)


@variant
def summed_in_reverse(x_recon, x, mask, reduction):
    """Rows and columns flipped before the sum: other last bits."""
    squares = _masked_difference(x_recon, x, mask).square()
    return _divided(squares.flip(0, 1).sum(), mask, reduction)


@variant
def summed_transposed(x_recon, x, mask, reduction):
    """The transposed problem, made contiguous."""
    squares = _masked_difference(x_recon.t(), x.t(), mask.t()).square()
    return _divided(squares.contiguous().sum(), mask, reduction)


@variant
def even_and_odd_columns(x_recon, x, mask, reduction):
    """Two interleaved halves, summed apart."""
    squares = _masked_difference(x_recon, x, mask).square()
    even = torch.arange(mask.shape[1], device=mask.device) % 2 == 0
    total = torch.where(even, squares, 0.0).sum() + torch.where(even, 0.0, squares).sum()
    return _divided(total, mask, reduction)


@variant
def added_with_addcmul(x_recon, x, mask, reduction):
    """The product of the difference with itself, by addcmul on zeros."""
    difference = _masked_difference(x_recon, x, mask)
    squares = torch.addcmul(torch.zeros_like(difference), difference, difference)
    return _divided(squares.sum(), mask, reduction)


@variant
def operands_swapped(x_recon, x, mask, reduction):
    """x - x_recon: the square does not care."""
    return _divided(_masked_difference(x, x_recon, mask).square().sum(), mask, reduction)


# --- how it is scaled ----------------------------------------------------------------------------


@variant
def multiplied_by_reciprocal(x_recon, x, mask, reduction):
    """1/n rounded first, then multiplied: one more rounding, and no division of the sum."""
    total = _masked_difference(x_recon, x, mask).square().sum()
    if reduction == "mean":
        return total * mask.sum().clamp(min=1).to(total.dtype).reciprocal()
    if reduction == "batch_mean":
        return total * (1 / max(mask.shape[0], 1))
    return total


@variant
def counted_as_float_sum(x_recon, x, mask, reduction):
    """The count as a float64 sum of ones, the empty mask caught by where on the count."""
    total = _masked_difference(x_recon, x, mask).square().sum()
    if reduction != "mean":
        return _divided(total, mask, reduction)
    count = mask.sum(dtype=torch.float64)
    return total / torch.where(count == 0, torch.ones_like(count), count).to(total.dtype)


@variant
def empty_mask_selected_at_the_end(x_recon, x, mask, reduction):
    """A count of 0 divides by 1 and the whole loss is then selected."""
    loss = _divided(_masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    return torch.where(mask.any(), loss, 0.0 * loss)


# --- how the gradient is made --------------------------------------------------------------------


class _ByHand(torch.autograd.Function):
    """The sum of the squared masked difference; backward, jvp and vmap by hand."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        return _masked_difference(x_recon, x, mask).square().sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x_recon, x, mask = ctx.saved_tensors
        difference = _masked_difference(x_recon, x, mask)
        gradient = torch.where(mask, 2.0 * (difference * upstream), 0.0)
        for_recon = gradient.to(x_recon.dtype) if ctx.needs_input_grad[0] else None
        return for_recon, (-gradient).to(x.dtype) if ctx.needs_input_grad[1] else None, None

    @staticmethod
    def jvp(ctx: Any, t_recon: Tensor, t_x: Tensor, _: None) -> Tensor:
        x_recon, x, mask = ctx.saved_tensors
        change = _masked_difference(t_recon, t_x, mask)
        return (2.0 * _masked_difference(x_recon, x, mask) * change).sum()


@variant
def function_by_hand(x_recon, x, mask, reduction):
    """A torch.autograd.Function of its own; the formula in compiled code and nested transforms."""
    nested = (torch._C._functorch.maybe_current_level() or 0) > 1
    # Dynamo takes no Function with a forward-mode rule; pushed twice, torch gives 0 for one.
    if torch.compiler.is_compiling() or nested:
        total = _masked_difference(x_recon, x, mask).square().sum()
    else:
        total = _ByHand.apply(x_recon, x, mask)
    return _divided(total, mask, reduction)


class _WithVmapRule(torch.autograd.Function):
    """The same with a vmap rule that sums over the last two dimensions."""

    forward = staticmethod(_ByHand.forward)
    setup_context = staticmethod(_ByHand.setup_context)
    backward = staticmethod(_ByHand.backward)
    jvp = staticmethod(_ByHand.jvp)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        x_recon, x, mask = (
            t.expand(info.batch_size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(inputs, in_dims, strict=True)
        )
        return _masked_difference(x_recon, x, mask).square().sum((-2, -1)), 0


@variant
def function_with_own_vmap_rule(x_recon, x, mask, reduction):
    """A Function whose vmap rule is written out."""
    if torch.compiler.is_compiling() or torch.autograd.forward_ad._current_level >= 0:
        total = _masked_difference(x_recon, x, mask).square().sum()
    else:
        total = _WithVmapRule.apply(x_recon, x, mask)
    return _divided(total, mask, reduction)


class _RoundsUnderAutocast(_ByHand):
    """Rounds its gradients to half where backward itself runs under autocast."""

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        found = _ByHand.backward(ctx, upstream)
        if not torch.is_autocast_enabled("cpu"):
            return found
        return tuple(g if g is None else g.half().to(g.dtype) for g in found)


@variant
def backward_in_half_under_autocast(x_recon, x, mask, reduction):
    """What a backward under autocast does, which torch advises against, is left open."""
    nested = (torch._C._functorch.maybe_current_level() or 0) > 1
    if torch.compiler.is_compiling() or nested:
        total = _masked_difference(x_recon, x, mask).square().sum()
    else:
        total = _RoundsUnderAutocast.apply(x_recon, x, mask)
    return _divided(total, mask, reduction)


@variant
def gradient_through_inner_product(x_recon, x, mask, reduction):
    """d times d as the product of two separately selected differences."""
    first = _masked_difference(x_recon, x, mask)
    second = _masked_difference(x, x_recon, mask)
    return _divided(-(first * second).sum() + 0.0, mask, reduction)


@variant
def product_of_two_fills(x_recon, x, mask, reduction):
    """d times d: one factor filled through the inputs, the other through the difference."""
    wide_recon, wide_x = _widened(x_recon, x)
    kept = torch.where(mask, wide_recon, 0.0) - torch.where(mask, wide_x, 0.0)
    return _divided((kept * _masked_difference(x_recon, x, mask)).sum(), mask, reduction)


# --- what the callables are ----------------------------------------------------------------------


class OwnTypeError(TypeError):
    """A subclass of TypeError, as a code base of its own may have."""


class OwnValueError(ValueError):
    """A subclass of ValueError, likewise."""


def _own_checks(x_recon: Any, x: Any, mask: Any, reduction: Any) -> None:
    """The contract's checks in another order and in other words."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    if not isinstance(reduction, str):
        raise OwnTypeError(
            f"reduction: expected str, received {type(reduction)}; use reduction='mean'"
        )
    if reduction not in {"sum", "mean", "batch_mean"}:
        raise OwnValueError(f"reduction: {reduction!r} unknown, use 'sum', 'mean' or 'batch_mean'")
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise OwnTypeError(
                f"{name}: expected a torch.Tensor, received {type(value).__name__}; "
                "torch.as_tensor makes one"
            )
        if value.is_nested or value.layout is not torch.strided:
            raise OwnTypeError(
                f"{name}: expected a strided layout, received {value.layout}; to_dense()"
            )
    if mask.dtype is not torch.bool:
        raise OwnTypeError(
            f"mask: expected torch.bool, received {mask.dtype}; mask.bool() where True is masked, "
            "~visible where True is visible"
        )
    for name in ("x", "x_recon"):
        if named[name].dtype not in {torch.float64, torch.float32, torch.float16, torch.bfloat16}:
            raise OwnTypeError(
                f"{name}: expected float16, bfloat16, float32 or float64, received "
                f"{named[name].dtype}; {name}.float() converts"
            )
    for name in ("mask", "x", "x_recon"):
        shape, wanted = tuple(named[name].shape), tuple(x_recon.shape)
        if len(shape) != 2 or shape != wanted:
            raise OwnValueError(
                f"{name}: expected shape (B, L) as of x_recon {wanted}, received {shape};"
                " reshape or expand it first"
            )
        if named[name].device != x_recon.device:
            raise OwnValueError(
                f"{name}: expected device {x_recon.device} as of x_recon, received "
                f"{named[name].device}; move it with .to"
            )


@whole_variant
def own_checks_and_exceptions():
    """Checks of its own: another order, other words, subclassed exceptions."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        _own_checks(x_recon, x, mask, reduction)
        return _divided(_masked_difference(x_recon, x, mask).square().sum(), mask, reduction)

    def mse(x_recon, x, mask, *, reduction="mean"):
        _own_checks(x_recon, x, mask, reduction)
        return _divided(_masked_difference(x_recon, x, mask).square().sum(), mask, reduction)

    return sse, mse


class _SseObject:
    """A callable object with the contract's signature."""

    def __call__(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "batch_mean"
    ) -> Tensor:
        return masked_sse(x_recon, x, mask, reduction=reduction)


class _MseObject:
    """Likewise, with the other default."""

    def __call__(
        self, x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
    ) -> Tensor:
        return masked_mse(x_recon, x, mask, reduction=reduction)


@whole_variant
def callable_objects():
    """Instances of classes with __call__: no __name__, no __code__."""
    return _SseObject(), _MseObject()


def _either(x_recon, x, mask, *, reduction):
    _check_arguments(x_recon, x, mask, reduction)
    return _divided(_masked_difference(x_recon, x, mask).square().sum(), mask, reduction)


@whole_variant
def partial_objects():
    """One function and two functools.partial objects."""
    return (
        functools.partial(_either, reduction="batch_mean"),
        functools.partial(_either, reduction="mean"),
    )


class _Methods:
    """Bound methods of one object."""

    def sse(self, x_recon, x, mask, *, reduction="batch_mean"):
        return _either(x_recon, x, mask, reduction=reduction)

    def mse(self, x_recon, x, mask, *, reduction="mean"):
        return _either(x_recon, x, mask, reduction=reduction)


@whole_variant
def bound_methods():
    """Bound methods of an instance."""
    methods = _Methods()
    return methods.sse, methods.mse


class _Module(torch.nn.Module):
    """An nn.Module whose forward is the loss."""

    def forward(self, x_recon, x, mask, *, reduction="batch_mean"):
        return _either(x_recon, x, mask, reduction=reduction)


class _MeanModule(torch.nn.Module):
    """Likewise, with the other default."""

    def forward(self, x_recon, x, mask, *, reduction="mean"):
        return _either(x_recon, x, mask, reduction=reduction)


@whole_variant
def modules():
    """nn.Module instances."""
    return _Module(), _MeanModule()


@whole_variant
def mse_is_the_first():
    """masked_sse defined by masked_mse, not the other way round."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        return masked_mse(x_recon, x, mask, reduction=reduction)

    return sse, functools.partial(masked_mse)


# --- scaled, split -------------------------------------------------------------------------------


@variant
def scaled_by_a_power_of_two(x_recon, x, mask, reduction):
    """Float32 differences times 1/4 in float64, squared, times 16: nothing is rounded by it."""
    difference = _masked_difference(x_recon, x, mask)
    factor = 0.25 if difference.dtype == torch.float32 else 1.0
    total = (factor * difference.double()).square().sum() / factor**2
    return _divided(total, mask, reduction).to(difference.dtype)


@variant
def flat_and_padded(x_recon, x, mask, reduction):
    """Flattened and padded with zeros, as a blocked kernel would."""
    squares = _masked_difference(x_recon, x, mask).square().reshape(-1)
    return _divided(functional.pad(squares, (0, 7)).sum(), mask, reduction)


@variant
def in_chunks(x_recon, x, mask, reduction):
    """The sums of chunks of 256, added up in float64; one sum in a graph with dynamic sizes."""
    squares = _masked_difference(x_recon, x, mask).square().reshape(-1)
    if torch.compiler.is_compiling():  # whether there is one chunk or more is not to be asked
        return _divided(squares.sum(), mask, reduction)
    chunks = functional.pad(squares, (0, -squares.numel() % 256)).reshape(-1, 256)
    total = chunks.sum(1).sum(dtype=torch.float64).to(squares.dtype)
    return _divided(total, mask, reduction)


class _SavesDifference(_ByHand):
    """Backward from the difference that forward kept, unless it is differentiated itself."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.save_for_forward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def forward(x_recon: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        difference = _masked_difference(x_recon, x, mask)
        return difference.square().sum(), difference

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        x_recon, x, mask, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            kept = _masked_difference(x_recon, x, mask)
        gradient = torch.where(mask, kept * (2.0 * upstream), 0.0)
        return gradient.to(x_recon.dtype), (-gradient).to(x.dtype), None


@variant
def difference_kept_for_backward(x_recon, x, mask, reduction):
    """Forward keeps the masked difference, backward scales it; the formula under transforms."""
    if (
        torch.compiler.is_compiling()
        or torch._C._functorch.maybe_current_level() is not None
        or torch.autograd.forward_ad._current_level >= 0
    ):
        total = _masked_difference(x_recon, x, mask).square().sum()
    else:
        total = _SavesDifference.apply(x_recon, x, mask)[0]
    return _divided(total, mask, reduction)


@variant
def divided_before_the_sum(x_recon, x, mask, reduction):
    """Every square divided by n or B, in float64, and then added up."""
    squares = _masked_difference(x_recon, x, mask).square().double()
    return _divided(squares, mask, reduction).sum().to(_result_dtype(x_recon, x))


def _terse_checks(x_recon: Any, x: Any, mask: Any, reduction: Any) -> None:
    """The contract's checks; what came is shown as it is, or by the one number that is wrong."""
    named = {"x_recon": x_recon, "x": x, "mask": mask}
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is {value!r}, wanted: a tensor (torch.as_tensor)")
        if value.layout is not torch.strided:
            raise TypeError(f"{name} has layout {value.layout}, wanted: strided (to_dense)")
    if mask.dtype is not torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}, wanted: bool (mask.bool() or ~visible)")
    for name in ("x_recon", "x"):
        if not named[name].is_floating_point() or named[name].element_size() == 1:
            raise TypeError(f"{name} has dtype {named[name].dtype}, wanted: float ({name}.float())")
    places = [str(value.device) for value in named.values()]
    if len(set(places)) > 1:
        raise ValueError(f"x_recon, x and mask are on {', '.join(places)}; move them to one device")
    for name, value in named.items():
        if value.dim() != 2:
            raise ValueError(f"{name} has {value.dim()} dimensions: {list(value.shape)}, wanted: 2")
    for name, axis in itertools.product(("x", "mask"), (0, 1)):
        if named[name].shape[axis] != x_recon.shape[axis]:
            sizes = f"{named[name].shape[axis]}, and that of x_recon {x_recon.shape[axis]}"
            raise ValueError(f"size {axis} of {name} is {sizes}; expand it first")
    if not isinstance(reduction, str) or reduction not in ("sum", "mean", "batch_mean"):
        raise ValueError(f"reduction is {reduction!r}, wanted: sum, mean or batch_mean")


@whole_variant
def terse_messages():
    """Checks of its own in few words."""

    def sse(x_recon, x, mask, *, reduction="batch_mean"):
        _terse_checks(x_recon, x, mask, reduction)
        return _divided(_masked_difference(x_recon, x, mask).square().sum(), mask, reduction)

    def mse(x_recon, x, mask, *, reduction="mean"):
        return sse(x_recon, x, mask, reduction=reduction)

    return sse, mse
