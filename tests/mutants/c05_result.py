"""Losses that break C5: dtype and shape of the result, and where halves are widened."""

from __future__ import annotations

import torch

from .catalogue import mutant, whole_mutant
from .pieces.autograd import ordinary
from .pieces.formula import difference, inputs_dtype, normalise, reduce, right, widened
from .pieces.signature import checked, pair

# --- one function or one reduction of it ---------------------------------------------------------


@whole_mutant(
    "C5", "masked_sse: the sum forgets to widen half inputs", "C5-half-range", "C5-upcast-first"
)
def sse_sum_of_halves_not_widened():
    def sse(x_recon, x, mask, reduction):
        if reduction == "sum":
            masked = torch.where(mask, x_recon - x, 0.0)
            return masked.square().sum().to(widened(x_recon, x)[0].dtype)
        return right(x_recon, x, mask, reduction)

    return pair(checked(sse), checked(right))


@whole_mutant(
    "C5", "masked_mse: the mean in float64, and left there", "C5-result", "C4-functions-agree"
)
def mse_mean_in_float64():
    def mse(x_recon, x, mask, reduction):
        value = right(x_recon, x, mask, reduction)
        return value.double() if reduction == "mean" else value

    return pair(checked(right), checked(mse))


# --- dtype and shape of the result, and where halves are widened ---------------------------------


@mutant("C5", "half inputs give a half result", "C5-result")
def result_in_half(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).to(inputs_dtype(x_recon, x))


@mutant("C5", "the result is always float64", "C5-result", "C5-half-range")
def result_always_float64(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).double()


@mutant("C5", "the result is always float32", "C5-result")
def result_always_float32(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).float()


@mutant(
    "C5", "the result has the dtype of x_recon, widened to float32", "C5-result", "C10-symmetric"
)
def result_dtype_from_x_recon(x_recon, x, mask, reduction):
    dtype = torch.promote_types(x_recon.dtype, torch.float32)
    return right(x_recon, x, mask, reduction).to(dtype)


@mutant("C5", "the result has the dtype of x, widened to float32", "C5-result")
def result_dtype_from_x(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).to(torch.promote_types(x.dtype, torch.float32))


@mutant("C5", "the result has shape (1,)", "C5-result", "C20-two-ranks")
def result_of_shape_one(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).reshape(1)


@mutant(
    "C5", "the result is a Python float", "C5-result", "C10-zero", "C18-compile", "C20-two-ranks"
)
def result_is_a_float(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, reduction).item()


@mutant(
    "C5", "squared by a complex product: the result is complex", "C5-result", "C4-functions-agree"
)
def result_is_complex(x_recon, x, mask, reduction):
    value = right(x_recon, x, mask, reduction)
    return torch.complex(value, torch.zeros_like(value))


@mutant("C5", "all arithmetic in the promotion of the inputs, without float32", "C5-result")
def promoted_without_float32(x_recon, x, mask, reduction):
    return reduce(torch.where(mask, x_recon - x, 0.0), mask, reduction)


@mutant("C5", "widened after the subtraction", "C5-half-range")
def widened_after_subtraction(x_recon, x, mask, reduction):
    dtype = widened(x_recon, x)[0].dtype
    return reduce(torch.where(mask, x_recon - x, 0.0).to(dtype), mask, reduction)


@mutant(
    "C5", "float16 is widened, bfloat16 was forgotten: its difference is rounded", "C5-half-range"
)
def bfloat16_not_widened(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    if inputs_dtype(x_recon, x) == torch.bfloat16:
        masked = torch.where(mask, x_recon - x, 0.0).to(masked.dtype)
    return reduce(masked, mask, reduction)


@mutant("C5", "the sum is kept in half (seen in ChemoMAE; pytorch #44350)", "C5-half-range")
def sum_in_half(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return normalise(total.to(inputs_dtype(x_recon, x)).to(total.dtype), mask, reduction)


@mutant(
    "C5", "x is converted to the dtype of x_recon first: wrong where x is wider", "C5-half-range"
)
def x_rounded_to_x_recon(x_recon, x, mask, reduction):
    return reduce(difference(x_recon, x.to(x_recon.dtype).to(x.dtype), mask), mask, reduction)


@mutant(
    "C5",
    "x_recon is converted to the dtype of x first: wrong where x_recon is wider",
    "C5-half-range",
)
def x_recon_rounded_to_x(x_recon, x, mask, reduction):
    return reduce(difference(x_recon.to(x.dtype).to(x_recon.dtype), x, mask), mask, reduction)


@mutant("C5", "the count sticks in half at 256 or 2,048 (seen in pytorch #92164)", "C5-count")
def count_in_half(x_recon, x, mask, reduction):
    count = mask.sum(dtype=inputs_dtype(x_recon, x)).clamp(min=1)
    return reduce(difference(x_recon, x, mask), mask, reduction, count=count)


@mutant("C5", "the factor 1/n or 1/B is rounded to the inputs' dtype", "C5-half-range")
def factor_in_half(x_recon, x, mask, reduction):
    masked = difference(x_recon, x, mask)
    one = torch.ones((), dtype=masked.dtype, device=masked.device)
    factor = normalise(one, mask, reduction).to(inputs_dtype(x_recon, x))
    return masked.square().sum() * factor


# --- inference tensors ---------------------------------------------------------------------------


@mutant(
    "C5",
    "inference inputs make an inference result, outside inference_mode too",
    "C5-inference-inputs",
)
def inference_inputs_infect_the_result(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with torch.inference_mode(x_recon.is_inference()):
        return right(x_recon, x, mask, reduction)


# --- an ordinary tensor --------------------------------------------------------------------------


@mutant(
    "C5",
    "the result is one of several views of a tensor: autograd lets nobody change it in place",
    "C5-changed-in-place",
)
def one_of_several_views(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    loss = right(x_recon, x, mask, reduction)
    return torch.stack([loss, loss.detach()]).unbind()[0]
