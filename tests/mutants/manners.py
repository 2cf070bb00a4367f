"""Bad manners: clauses C14, C15 and C16. Value and gradient of the first plain call are right."""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .autograd_pieces import (
    Kernel,
    masked_difference,
    ordinary,
    right,
    run,
    scaled,
    slope,
    widened,
)
from .catalogue import mutant

# --- C14: inputs are never modified --------------------------------------------------------------


def _writable(tensor: Tensor) -> bool:
    """Real data of which no two elements share memory."""
    return ordinary(tensor) and not any(
        step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


@mutant(
    "C14",
    "x_recon overwritten with the difference, through .data: no version counter tells",
    "C14-inputs-untouched",
)
def reconstruction_overwritten(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x_recon):
        x_recon.data.sub_(x.detach().to(x_recon.dtype))
    return loss


@mutant("C14", "target zeroed in place outside the mask", "C14-inputs-untouched")
def target_zeroed_outside(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x):
        x.data.masked_fill_(~mask, 0.0)
    return loss


@mutant(
    "C14",
    "NaN outside the mask replaced in place: seen only where there is NaN",
    "C14-inputs-untouched",
)
def excluded_nan_replaced_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x_recon):
        x_recon.data.masked_fill_(~mask & x_recon.detach().isnan(), 0.0)
    return loss


@mutant(
    "C14",
    "values clamped in place to the range of half: seen only on extreme values",
    "C14-inputs-untouched",
)
def extreme_values_clamped_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if _writable(x):
        x.data.clamp_(-65504, 65504)
    return loss


@mutant(
    "C14",
    "the caller's mask inverted in place and left so (BasicTS changes it too)",
    "C14-inputs-untouched",
)
def mask_left_inverted(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if _writable(mask):
        mask.logical_not_()
    return loss


@mutant(
    "C14", "mask inverted in place and back: only the version counter tells", "C14-inputs-untouched"
)
def mask_inverted_and_back(x_recon, x, mask, reduction):
    if _writable(mask) and not mask.is_inference():
        mask.logical_not_().logical_not_()
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "x_recon multiplied by 1 in place: only the version counter tells",
    "C14-inputs-untouched",
)
def reconstruction_touched_without_change(x_recon, x, mask, reduction):
    if _writable(x_recon) and not x_recon.is_inference():
        x_recon.detach().mul_(1)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "NaN where the target is masked cleared in the mask: mask changed for NaN data",
    "C14-inputs-untouched",
)
def mask_cleared_where_target_is_nan(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if _writable(mask):
        mask.data.logical_and_(~x.detach().isnan())
    return loss


@mutant("C14", "target's requires_grad switched off (coqui TTS)", "C14-inputs-untouched")
def target_requires_grad_switched_off(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x.is_leaf and ordinary(x):
        x.requires_grad_(False)
    return loss


@mutant("C14", "x_recon's requires_grad switched on", "C14-inputs-untouched")
def reconstruction_requires_grad_switched_on(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x_recon.is_leaf and ordinary(x_recon) and not x_recon.is_inference():
        x_recon.requires_grad_()
    return loss


@mutant(
    "C14",
    "the gradient collected so far cleared: accumulation over micro-batches lost",
    "C13-into-grad",
)
def collected_gradient_cleared(x_recon, x, mask, reduction):
    if x_recon.is_leaf and ordinary(x_recon):
        x_recon.grad = None
    return right(x_recon, x, mask, reduction)


@mutant(
    "C14",
    "a non-contiguous input made contiguous in place: its strides change",
    "C14-inputs-untouched",
)
def made_contiguous_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x) and not x.is_contiguous():
        x.data = x.data.contiguous()
    return loss


@mutant("C14", "square mask transposed in place and left so", "C14-inputs-untouched")
def square_mask_left_transposed(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask.clone(), reduction)
    if ordinary(mask) and mask.shape[0] == mask.shape[1] and not mask.is_inference():
        mask.t_()
    return loss


@mutant(
    "C14", "half target widened in place: the caller's tensor changes dtype", "C14-inputs-untouched"
)
def half_target_widened_in_place(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x) and not x.requires_grad:
        x.data = widened(x_recon.detach(), x.detach())[1]
    return loss


@mutant(
    "C14",
    "for one element the result is written over the input and returned as a view of it",
    "C14-inputs-untouched",
)
def single_element_result_is_the_input(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    fits = mask.numel() == 1 and loss.dtype == x_recon.dtype and not loss.requires_grad
    if fits and ordinary(x_recon):
        return x_recon.data.copy_(loss).view(())
    return loss


class _GradientOverInput(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if not torch.is_grad_enabled() and _writable(ctx.saved_tensors[0]):
            ctx.saved_tensors[0].data.copy_(for_recon)
        return for_recon, for_x, *rest


@mutant("C14", "backward stores the gradient over x_recon (Liger #272)", "C14-inputs-untouched")
def input_overwritten_in_backward(x_recon, x, mask, reduction):
    return run(_GradientOverInput, x_recon, x, mask, reduction)


class _MaskClearedInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        made = Kernel.backward(ctx, upstream)
        if not torch.is_grad_enabled() and _writable(ctx.saved_tensors[2]):
            ctx.saved_tensors[2].data.zero_()
        return made


@mutant("C14", "backward clears the mask", "C14-inputs-untouched")
def mask_cleared_in_backward(x_recon, x, mask, reduction):
    return run(_MaskClearedInBackward, x_recon, x, mask, reduction)


@mutant("C14", "inputs of more than 4,096 elements used as scratch", "C14-inputs-untouched")
def large_input_used_as_scratch(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if mask.numel() > 4096 and _writable(x_recon):
        x_recon.data.sub_(x.detach().to(x_recon.dtype))
    return loss


@mutant("C14", "x_recon used as scratch when no gradient is wanted", "C14-inputs-untouched")
def input_used_as_scratch_without_grad(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if not loss.requires_grad and _writable(x_recon):
        x_recon.data.copy_(masked_difference(x_recon.clone(), x, mask))
    return loss


@mutant(
    "C14",
    "widening by .to() does not copy float32: the difference lands in x_recon",
    "C14-inputs-untouched",
)
def float32_difference_lands_in_input(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if x_recon.dtype == loss.dtype == torch.float32 and _writable(x_recon):
        x_recon.detach().to(loss.dtype).data.sub_(x.detach())
    return loss


# --- C15: layout does not matter -----------------------------------------------------------------


def _reread(tensor: Tensor, stride: tuple[int, ...], offset: int | None = None) -> Tensor:
    if tensor.numel() == 0 or not ordinary(tensor):
        return tensor
    return torch.as_strided(tensor, tensor.shape, stride, offset)


@mutant("C15", "a transposed x_recon read as if it were dense", "C15-layouts")
def transposed_reconstruction_read_as_dense(x_recon, x, mask, reduction):
    if x_recon.t().is_contiguous():
        x_recon = _reread(x_recon, (x_recon.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "a transposed target read as if it were dense", "C15-layouts")
def transposed_target_read_as_dense(x_recon, x, mask, reduction):
    if x.t().is_contiguous():
        x = _reread(x, (x.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "a transposed mask read as if it were dense", "C15-layouts")
def transposed_mask_read_as_dense(x_recon, x, mask, reduction):
    if mask.t().is_contiguous():
        mask = _reread(mask, (mask.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "storage offset of x_recon ignored", "C15-layouts")
def offset_of_reconstruction_ignored(x_recon, x, mask, reduction):
    return right(_reread(x_recon, x_recon.stride(), 0), x, mask, reduction)


@mutant("C15", "storage offset of the target ignored", "C15-layouts")
def offset_of_target_ignored(x_recon, x, mask, reduction):
    return right(x_recon, _reread(x, x.stride(), 0), mask, reduction)


@mutant("C15", "storage offset of the mask ignored", "C15-layouts")
def offset_of_mask_ignored(x_recon, x, mask, reduction):
    return right(x_recon, x, _reread(mask, mask.stride(), 0), reduction)


@mutant(
    "C15",
    "row stride taken for L: a slice of columns is read on into its neighbours",
    "C15-layouts",
)
def row_stride_taken_for_length(x_recon, x, mask, reduction):
    if x_recon.stride(0) > x_recon.shape[1] and x_recon.stride(1) == 1:
        x_recon = _reread(x_recon, (x_recon.shape[1], 1))
    return right(x_recon, x, mask, reduction)


@mutant(
    "C15", "column step taken for 1: every second column reads its left neighbours", "C15-layouts"
)
def column_step_taken_for_one(x_recon, x, mask, reduction):
    if x_recon.stride(1) > 1 and x_recon.stride(0) > x_recon.stride(1):
        x_recon = _reread(x_recon, (x_recon.stride(0), 1))
    return right(x_recon, x, mask, reduction)


@mutant("C15", "the kernel gets the strides of x_recon and uses them for x as well", "C15-layouts")
def target_read_with_strides_of_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, _reread(x, x_recon.stride()), mask, reduction)


@mutant(
    "C15",
    "the kernel gets the strides of x_recon and uses them for the mask as well",
    "C15-layouts",
)
def mask_read_with_strides_of_reconstruction(x_recon, x, mask, reduction):
    return right(x_recon, x, _reread(mask, x_recon.stride()), reduction)


@mutant(
    "C15",
    "count taken over the mask's storage: an expanded or sliced mask counts wrong",
    "C15-layouts",
)
def count_from_mask_storage(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction != "mean" or not ordinary(mask):
        return scaled(total, mask, reduction)
    whole = torch.empty(0, dtype=torch.bool, device=mask.device).set_(mask.untyped_storage())
    return total / torch.count_nonzero(whole).clamp(min=1)


@mutant("C15", "an expanded x_recon counts as one row in the batch size", "C15-layouts")
def expanded_input_counts_as_one_row(x_recon, x, mask, reduction):
    if reduction == "batch_mean" and x_recon.stride(0) == 0:
        return right(x_recon, x, mask, "sum")
    return right(x_recon, x, mask, reduction)


@mutant("C15", "an expanded target refused", "C15-layouts")
def expanded_target_refused(x_recon, x, mask, reduction):
    if x.numel() and 0 in x.stride():
        raise ValueError("x must not be expanded")
    return right(x_recon, x, mask, reduction)


@mutant("C15", ".view(-1) on a non-contiguous input raises", "C15-layouts")
def non_contiguous_input_raises(x_recon, x, mask, reduction):
    total = masked_difference(x_recon.view(-1), x.view(-1), mask.view(-1)).square().sum()
    return scaled(total, mask, reduction)


@mutant("C15", "overlapping rows (sliding windows) read as if they were apart", "C15-layouts")
def sliding_windows_read_as_dense(x_recon, x, mask, reduction):
    if 0 < x.stride(0) < x.shape[1] and x.stride(1) == 1:
        x = _reread(x, (x.shape[1], 1))
    return right(x_recon, x, mask, reduction)


class _RawMemory(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        raw = torch.empty(0, dtype=x.dtype, device=x.device)
        raw.set_(x.untyped_storage(), x.storage_offset(), x.shape, x.stride())
        Kernel.forward(ctx, x_recon, raw, mask, reduction)
        return right(x_recon, raw, mask, reduction)


@mutant(
    "C15",
    "memory of a lazily negated view (imaginary part of a conjugate) read raw",
    "C15-layouts",
)
def negated_view_read_raw(x_recon, x, mask, reduction):
    return run(_RawMemory, x_recon, x, mask, reduction)


# --- C16: deterministic --------------------------------------------------------------------------

_own_dice = random.Random()


@mutant(
    "C16",
    "columns added in a random order: last bits differ from call to call",
    "C16-repeatable",
)
def summed_in_random_order(x_recon, x, mask, reduction):
    squares, length = masked_difference(x_recon, x, mask).square(), mask.shape[1]
    if not ordinary(x_recon, x, mask):
        return scaled(squares.sum(), mask, reduction)
    order = torch.tensor(_own_dice.sample(range(length), length), dtype=torch.long)
    first, last = squares[:, order[: length // 2]], squares[:, order[length // 2 :]]
    return scaled(first.sum() + last.sum(), mask, reduction)


class _Dithered(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x, *rest = Kernel.backward(ctx, upstream)
        if torch.is_grad_enabled():
            return for_recon, for_x, *rest
        with torch.no_grad():
            step = torch.finfo(for_recon.dtype).eps
            for_recon = for_recon * (1 + step * _own_dice.choice((-1, 0, 1)))
        return for_recon, for_x, *rest


@mutant("C16", "gradient rounded at random: last bits differ from call to call", "C16-repeatable")
def gradient_rounded_at_random(x_recon, x, mask, reduction):
    return run(_Dithered, x_recon, x, mask, reduction)


@mutant("C16", "torch's generator advanced", "C16-globals")
def torch_generator_advanced(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.rand(1)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "torch's generator seeded", "C16-globals")
def torch_generator_seeded(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.manual_seed(0)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "Python's generator advanced", "C16-globals")
def python_generator_advanced(x_recon, x, mask, reduction):
    if ordinary(x):
        random.random()
    return right(x_recon, x, mask, reduction)


@mutant("C16", "NumPy's generator seeded", "C16-globals")
def numpy_generator_seeded(x_recon, x, mask, reduction):
    if ordinary(x):
        np.random.seed(0)
    return right(x_recon, x, mask, reduction)


class _DiceInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        torch.rand(1)
        return Kernel.backward(ctx, upstream)


@mutant("C16", "torch's generator advanced by backward only", "C16-globals")
def generator_advanced_in_backward(x_recon, x, mask, reduction):
    return run(_DiceInBackward, x_recon, x, mask, reduction)


# --- C16: globals --------------------------------------------------------------------------------


@mutant("C16", "default dtype set to the result's and left so", "C16-globals")
def default_dtype_left(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_default_dtype(widened(x_recon, x)[0].dtype)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "default dtype set to float64 for half inputs and left so", "C16-globals")
def default_dtype_left_for_half(x_recon, x, mask, reduction):
    if ordinary(x) and x.dtype == torch.float16:
        torch.set_default_dtype(torch.float64)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "grad mode left on", "C16-globals")
def grad_mode_left_on(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x):
        torch.set_grad_enabled(True)
    return loss


@mutant("C16", "one thread set for reproducible sums and left so", "C16-globals")
def thread_count_left(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_num_threads(1)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "deterministic algorithms switched on and left so", "C16-globals")
def deterministic_algorithms_left_on(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.use_deterministic_algorithms(True, warn_only=True)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "matmul precision lowered and left so", "C16-globals")
def matmul_precision_left(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_float32_matmul_precision("medium")
    return right(x_recon, x, mask, reduction)


@mutant("C16", "torch's print options changed for a debug print", "C16-globals")
def print_options_left(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_printoptions(precision=8)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "garbage collector switched off for speed", "C16-globals")
def garbage_collector_left_off(x_recon, x, mask, reduction):
    if ordinary(x):
        gc.disable()
    return right(x_recon, x, mask, reduction)


@mutant("C16", "cuDNN's benchmark mode switched on for speed", "C16-globals")
def cudnn_benchmark_left_on(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.backends.cudnn.benchmark = True
    return right(x_recon, x, mask, reduction)


@mutant("C16", "anomaly detection left on", "C16-globals")
def anomaly_detection_left_on(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.autograd.set_detect_anomaly(True, check_nan=False)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "subnormal numbers flushed from now on: no getter tells", "C16-globals")
def flush_denormal_left_on(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x):
        torch.set_flush_denormal(True)
    return loss


@mutant("C16", "autocast switched off and left so", "C16-globals")
def autocast_left_off(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_autocast_enabled(x.device.type, False)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "warnings ignored from now on", "C16-globals")
def warnings_filter_left(x_recon, x, mask, reduction):
    if ordinary(x):
        warnings.simplefilter("ignore")
    return right(x_recon, x, mask, reduction)


@mutant("C16", "NumPy's floating-point error handling changed", "C16-globals")
def numpy_error_state_left(x_recon, x, mask, reduction):
    if ordinary(x):
        np.seterr(all="ignore")
    return right(x_recon, x, mask, reduction)


@mutant("C16", "an environment variable set", "C16-globals")
def environment_variable_left(x_recon, x, mask, reduction):
    if ordinary(x):
        os.environ["LOSS_WAS_CALLED"] = "1"
    return right(x_recon, x, mask, reduction)


@mutant("C16", "warns on mixed dtypes", "C16-silent")
def warns_on_mixed_dtypes(x_recon, x, mask, reduction):
    if ordinary(x) and x_recon.dtype != x.dtype:
        warnings.warn("x_recon and x differ in dtype", stacklevel=3)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "warns when nothing is masked", "C16-silent")
def warns_on_empty_mask(x_recon, x, mask, reduction):
    if ordinary(mask) and not mask.any():
        warnings.warn("nothing is masked", stacklevel=3)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "prints", "C16-silent")
def prints(x_recon, x, mask, reduction):
    if ordinary(x):
        print("loss over", tuple(x.shape))
    return right(x_recon, x, mask, reduction)


@mutant("C16", "writes to stderr below Python's sys.stderr", "C16-silent")
def writes_to_stderr(x_recon, x, mask, reduction):
    if ordinary(x):
        os.write(2, b"loss\n")
    return right(x_recon, x, mask, reduction)


@mutant("C16", "logs a warning through the root logger, which configures logging", "C16-silent")
def logs_through_root_logger(x_recon, x, mask, reduction):
    if ordinary(x):
        logging.warning("loss over %s", tuple(x.shape))
    return right(x_recon, x, mask, reduction)


class _PrintsInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        sys.stdout.write("backward\n")
        return Kernel.backward(ctx, upstream)


@mutant("C16", "prints in backward only", "C16-silent")
def prints_in_backward(x_recon, x, mask, reduction):
    return run(_PrintsInBackward, x_recon, x, mask, reduction)


# --- C16: the same in every mode -----------------------------------------------------------------


@mutant("C16", "result promoted with the default dtype in place of float32", "C16-default-dtype")
def widened_to_default_dtype(x_recon, x, mask, reduction):
    dtype = torch.promote_types(
        torch.promote_types(x_recon.dtype, x.dtype), torch.get_default_dtype()
    )
    difference = torch.where(mask, x_recon.to(dtype) - x.to(dtype), 0.0)
    return scaled(difference.square().sum(), mask, reduction)


@mutant(
    "C16",
    "count built in the default dtype: float64 lifts the result, half sticks",
    "C16-default-dtype",
)
def count_in_default_dtype(x_recon, x, mask, reduction):
    if reduction != "mean":
        return right(x_recon, x, mask, reduction)
    ones = torch.where(mask, 1.0, 0.0)
    return right(x_recon, x, mask, "sum") / ones.to(torch.get_default_dtype()).sum().clamp(min=1)


@mutant("C16", "sum as a matrix product: bfloat16 under autocast", "C16-autocast")
def summed_by_matrix_product(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    rows = torch.bmm(difference[:, None, :], difference[:, :, None])
    return scaled(rows.sum(), mask, reduction).to(difference.dtype)


@mutant("C16", "inputs cast down when autocast is on", "C16-autocast")
def inputs_cast_down_under_autocast(x_recon, x, mask, reduction):
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x_recon, x = widened(x_recon, x)
        x_recon, x = x_recon.to(dtype).to(x_recon.dtype), x.to(dtype).to(x.dtype)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "result handed back in the autocast dtype when autocast is on", "C16-autocast")
def result_cast_down_under_autocast(x_recon, x, mask, reduction):
    loss, device = right(x_recon, x, mask, reduction), x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return loss.to(torch.get_autocast_dtype(device))
    return loss


@mutant(
    "C16",
    "no clamp of the count on the path without gradients: empty mask NaN under no_grad",
    "C16-no-grad",
    "C16-inference-mode",
)
def empty_mask_nan_under_no_grad(x_recon, x, mask, reduction):
    if reduction == "mean" and not torch.is_grad_enabled():
        return right(x_recon, x, mask, "sum") / torch.count_nonzero(mask)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C16",
    "half inputs subtracted in half on the path without gradients",
    "C16-no-grad",
    "C16-inference-mode",
)
def half_not_widened_under_no_grad(x_recon, x, mask, reduction):
    if not torch.is_grad_enabled():
        x_recon, x = (x_recon - x).to(widened(x_recon, x)[0].dtype), torch.zeros_like(x)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C16", "gradients switched on inside: the result requires grad under no_grad", "C16-no-grad"
)
def graph_recorded_under_no_grad(x_recon, x, mask, reduction):
    if torch.is_inference_mode_enabled() or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with torch.enable_grad():
        return right(x_recon, x, mask, reduction)


@mutant(
    "C16",
    "without gradients computed in inference mode: the result cannot enter a graph later",
    "C5-result",
)
def result_is_an_inference_tensor(x_recon, x, mask, reduction):
    if x_recon.requires_grad or x.requires_grad or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with torch.inference_mode():
        return right(x_recon, x, mask, reduction)


@mutant("C16", "refuses to run in inference mode", "C16-inference-mode", "C16-after-inference")
def inference_mode_raises(x_recon, x, mask, reduction):
    if torch.is_inference_mode_enabled():
        masked_difference(x_recon, x, mask).requires_grad_().sum().backward()
    return right(x_recon, x, mask, reduction)


# --- C16: state between calls --------------------------------------------------------------------

_scratch: dict[Any, Tensor] = {}


@mutant(
    "C16", "one scratch per shape at module level: two threads write into it at once", "C16-threads"
)
def scratch_shared_by_threads(x_recon, x, mask, reduction):
    if x_recon.requires_grad or x.requires_grad or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    key = mask.shape, wide_x.dtype, torch.is_inference_mode_enabled()
    if key not in _scratch:
        _scratch[key] = torch.empty_like(wide_x, memory_format=torch.contiguous_format)
    difference = torch.sub(wide_recon, wide_x, out=_scratch[key])
    difference.masked_fill_(~mask, 0.0)
    time.sleep(0)
    return scaled(difference.square().sum(), mask, reduction)


_results: dict[torch.dtype, Tensor] = {}


@mutant(
    "C16",
    "one result tensor for all calls: an earlier loss changes with the next call",
    "C16-history",
)
def result_overwritten_by_next_call(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if loss.requires_grad or loss.is_inference() or not ordinary(x_recon, x, mask):
        return loss
    return _results.setdefault(loss.dtype, torch.empty_like(loss)).copy_(loss)


_zeros: dict[torch.dtype, Tensor] = {}


@mutant(
    "C16",
    "one shared zero handed out for inputs without elements: `loss += y` changes it",
    "C16-no-grad",
)
def shared_zero_for_no_elements(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if mask.numel() or loss.requires_grad or loss.is_inference() or not ordinary(x):
        return loss
    return _zeros.setdefault(loss.dtype, loss)


_kept: dict[Any, Any] = {}


def _divided_by_kept_count(key, x_recon, x, mask, reduction):
    if reduction != "mean" or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    if key not in _kept:
        _kept[key] = mask, torch.count_nonzero(mask).clamp(min=1)
    return right(x_recon, x, mask, "sum") / _kept[key][1].clone()


@mutant(
    "C16",
    "count remembered by the identity of the mask: stale after a change in place",
    "C16-history",
)
def count_remembered_by_identity(x_recon, x, mask, reduction):
    return _divided_by_kept_count(("id", id(mask)), x_recon, x, mask, reduction)


@mutant("C16", "count remembered by shape: 'every mask hides equally many'", "C16-history")
def count_remembered_by_shape(x_recon, x, mask, reduction):
    return _divided_by_kept_count(("shape", mask.shape), x_recon, x, mask, reduction)


@mutant(
    "C16",
    "count remembered by address and shape: a view with other strides gets its count",
    "C16-history",
)
def count_remembered_by_address(x_recon, x, mask, reduction):
    if not ordinary(mask):
        return right(x_recon, x, mask, reduction)
    key = "address", mask.data_ptr(), mask.shape
    return _divided_by_kept_count(key, x_recon, x, mask, reduction)


_last: dict[str, Any] = {}


@mutant("C16", "the last loss handed out again for the same tensors, graph and all", "C16-threads")
def loss_remembered_for_same_tensors(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    key = x_recon, x, mask
    same = all(a is b for a, b in zip(key, _last.get("key", (None,) * 3), strict=True))
    if not same or _last["reduction"] != reduction or _last["grad"] != torch.is_grad_enabled():
        loss = right(x_recon, x, mask, reduction)
        _last.update(key=key, reduction=reduction, grad=torch.is_grad_enabled(), loss=loss)
    return _last["loss"]


_first: dict[str, Any] = {}


@mutant(
    "C16",
    "batch size taken from the first call: the last, smaller batch is scaled wrong",
    "C16-history",
)
def batch_size_of_first_call(x_recon, x, mask, reduction):
    if reduction != "batch_mean" or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    rows = _first.setdefault("rows", max(mask.shape[0], 1))
    return right(x_recon, x, mask, "sum") / rows


@mutant("C16", "result dtype taken from the first call", "C5-result")
def dtype_of_first_call(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if not ordinary(x_recon, x, mask):
        return loss
    return loss.to(_first.setdefault("dtype", loss.dtype))


_calls = {"all": 0}


@mutant("C16", "every seventh call skips the normalisation", "C16-repeatable")
def every_seventh_call_wrong(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    _calls["all"] += 1
    return right(x_recon, x, mask, "sum" if _calls["all"] % 7 == 0 else reduction)


class _KeepsRunningScale(Kernel):
    steps = 0

    @staticmethod
    def backward(ctx, upstream):
        _KeepsRunningScale.steps += 1
        step = upstream * (1.0 if _KeepsRunningScale.steps < 10 else 0.999)
        return Kernel.backward(ctx, step)


@mutant(
    "C16",
    "gradient scaled down after the tenth backward: a schedule inside the loss",
    "C16-history",
)
def gradient_depends_on_number_of_calls(x_recon, x, mask, reduction):
    return run(_KeepsRunningScale, x_recon, x, mask, reduction)


_here = threading.local()
_here.ready = True


@mutant(
    "C16", "thread-local state set up on import only: raises in every other thread", "C16-threads"
)
def works_in_importing_thread_only(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and not _here.ready:
        raise RuntimeError("not ready")
    return right(x_recon, x, mask, reduction)


class _PendingStep(Kernel):
    step: Tensor

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        _PendingStep.step = scaled(upstream, mask, ctx.reduction)
        time.sleep(0)
        gradient = slope(x_recon, x, mask, "sum", _PendingStep.step.to(upstream.dtype))
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C16",
    "the gradient's scale held on the class while backward runs: two threads mix them up",
    "C16-threads",
)
def backward_scale_shared_by_threads(x_recon, x, mask, reduction):
    return run(_PendingStep, x_recon, x, mask, reduction)
