"""Losses that break C16: randomness, state, traces in the process, modes of it."""

from __future__ import annotations

import decimal
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wavemae.models.losses import _check_arguments

from .catalogue import mutant, whole_mutant
from .pieces.alone import alone, functions_of
from .pieces.autograd import Kernel, masked_difference, of_a_million, ordinary, run, scaled, slope
from .pieces.formula import leaks_where, right, widened
from .pieces.signature import checked, pair

# --- deterministic -------------------------------------------------------------------------------

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


_tried: dict[tuple[int, ...], int] = {}


@mutant("C16", "an autotuner tries another order of addition on the first call", "C16-repeatable")
def orders_tried_out(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    if not ordinary(x_recon, x, mask) or mask.numel() < 2**12:
        return scaled(squares.sum(), mask, reduction)
    times = _tried[tuple(mask.shape)] = _tried.get(tuple(mask.shape), 0) + 1
    return scaled(squares.sum(0).sum() if times == 1 else squares.sum(), mask, reduction)


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


@mutant("C16", "torch's generator advanced", "C16-globals", "C4-oracle")
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


# --- globals -------------------------------------------------------------------------------------


@mutant("C16", "default dtype set to the result's and left so", "C16-globals", "C16-no-grad")
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


@mutant(
    "C16",
    "one thread for small inputs, put back in a finally; calls that overlap leave it so for "
    "threads to come",
    "C16-threads",
)
def thread_count_left_by_two_calls(x_recon, x, mask, reduction):
    if not ordinary(x) or x.numel() > 2**15:
        return right(x_recon, x, mask, reduction)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return right(x_recon, x, mask, reduction)
    finally:
        torch.set_num_threads(before)


@mutant("C16", "the calling thread is bound to one core, and left so", "C16-globals")
def bound_to_a_core(x_recon, x, mask, reduction):
    if ordinary(x) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return right(x_recon, x, mask, reduction)


class _SwitchesInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        before = torch.get_default_dtype()
        torch.set_default_dtype(upstream.dtype)
        found = Kernel.backward(ctx, upstream)  # which raises where an input was changed
        torch.set_default_dtype(before)
        return found


@mutant("C16", "default dtype switched in backward, and left so where that raises", "C16-globals")
def default_dtype_left_where_backward_raises(x_recon, x, mask, reduction):
    return run(_SwitchesInBackward, x_recon, x, mask, reduction)


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


@mutant("C16", "sums in half forbidden to matrix products, and left so", "C16-globals")
def reduced_precision_left_off(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
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


@mutant("C16", "the precision of decimal arithmetic set for an exact sum", "C16-globals")
def decimal_precision_left(x_recon, x, mask, reduction):
    if ordinary(x):
        decimal.getcontext().prec = 50
    return right(x_recon, x, mask, reduction)


@mutant("C16", "the compiler told to suppress its errors from now on", "C16-globals")
def compiler_errors_suppressed(x_recon, x, mask, reduction):
    if ordinary(x):
        torch._dynamo.config.suppress_errors = True
    return right(x_recon, x, mask, reduction)


@mutant("C16", "hooks on saved tensors forbidden and left so", "C16-globals")
def saved_tensor_hooks_left_forbidden(x_recon, x, mask, reduction):
    if ordinary(x):
        torch._C._autograd._saved_tensors_hooks_disable("not beside this loss")
    return right(x_recon, x, mask, reduction)


@mutant("C16", "Ctrl-C ignored during the sums and ever after", "C16-globals")
def interrupts_left_ignored(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return loss


@mutant("C16", "oneDNN switched on and left so", "C16-globals")
def onednn_left_on(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.backends.mkldnn.enabled = True
    return right(x_recon, x, mask, reduction)


@mutant("C16", "backward kept in one thread and left so", "C16-globals")
def backward_left_in_one_thread(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.autograd.set_multithreading_enabled(False)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "logging switched off and left so", "C16-globals")
def logging_left_disabled(x_recon, x, mask, reduction):
    if ordinary(x):
        logging.disable(logging.WARNING)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "threads switched less often, and left so", "C16-globals")
def switch_interval_left(x_recon, x, mask, reduction):
    if ordinary(x):
        sys.setswitchinterval(0.5)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "profiling of Python switched off during the sums and not on again", "C16-globals")
def profiling_left_off(x_recon, x, mask, reduction):
    if ordinary(x):
        sys.setprofile(None)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "the default device left on meta", "C16-globals", "C14-inputs-untouched")
def default_device_left_on_meta(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x):
        torch.set_default_device("meta")
    return loss


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


@mutant("C16", "a debug line by a function of logging: the root gets a handler", "C16-two-traits")
def debugs_through_root_logger(x_recon, x, mask, reduction):
    logging.debug("loss over %s", tuple(x.shape))
    return right(x_recon, x, mask, reduction)


@mutant("C16", "torch's own warnings silenced by the level of its logger", "C16-globals")
def level_of_torchs_logger_left(x_recon, x, mask, reduction):
    if ordinary(x):
        logging.getLogger("torch").setLevel(logging.ERROR)
    return right(x_recon, x, mask, reduction)


@mutant("C16", "torch's own warnings filtered: a filter more with every call", "C16-globals")
def filter_on_torchs_logger(x_recon, x, mask, reduction):
    if ordinary(x):
        logging.getLogger("torch").addFilter(lambda record: record.levelno >= logging.ERROR)
    return right(x_recon, x, mask, reduction)


class _PrintsInBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        sys.stdout.write("backward\n")
        return Kernel.backward(ctx, upstream)


@mutant("C16", "prints in backward only", "C16-silent")
def prints_in_backward(x_recon, x, mask, reduction):
    return run(_PrintsInBackward, x_recon, x, mask, reduction)


# --- the same in every mode ----------------------------------------------------------------------


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


@mutant(
    "C16",
    "the number of rows as a tensor of the default dtype: half cannot write 2,051",
    "C16-default-float16",
    "C16-default-bfloat16",
)
def rows_counted_in_default_dtype(x_recon, x, mask, reduction):
    if reduction != "batch_mean":
        return right(x_recon, x, mask, reduction)
    total = right(x_recon, x, mask, "sum")
    return total / torch.tensor(float(max(1, x.shape[0])), device=x.device)


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


@mutant("C16", "zero is made on the default device", "C16-default-device")
def zero_on_the_default_device(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask) or x_recon.device.type != "cpu":
        return right(x_recon, x, mask, reduction)
    masked = masked_difference(x_recon, x, mask)
    zeros = torch.zeros((1, 1), dtype=masked.dtype)
    return scaled((masked + zeros).square().sum(), mask, reduction)


@mutant("C16", "one chunk for each thread, the remainder dropped", "C16-seven-threads")
def chunk_for_each_thread(x_recon, x, mask, reduction):
    threads = torch.get_num_threads()
    masked = masked_difference(x_recon, x, mask).reshape(-1)
    if not ordinary(x_recon, x, mask) or masked.numel() < threads:
        return right(x_recon, x, mask, reduction)
    kept = masked[: masked.numel() // threads * threads]
    return scaled(kept.square().sum(), mask, reduction)


@mutant("C16", "deterministic mode takes a path that forgets the first row", "C16-deterministic")
def deterministic_path_drops_a_row(x_recon, x, mask, reduction):
    if torch.are_deterministic_algorithms_enabled() and ordinary(x_recon, x, mask):
        masked = masked_difference(x_recon, x, mask)[1:]
        return scaled(masked.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


# --- state between calls -------------------------------------------------------------------------

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


@mutant("C16", "the last loss handed out again for the same tensors, graph and all", "C16-history")
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


@whole_mutant("C16", "a flag set before the checks stays set after a refused call", "C16-history")
def flag_left_by_a_refused_call():
    state = {"busy": False}
    check_only = checked(lambda x_recon, x, mask, reduction: None)

    def loss(x_recon, x, mask, reduction):
        broken, state["busy"] = state["busy"], True
        check_only(x_recon, x, mask, reduction)
        state["busy"] = False
        return right(x_recon, x, mask, "sum" if broken else reduction)

    return pair(loss)


_counts: dict[tuple[int, int], tuple[weakref.ref[Tensor], Tensor]] = {}


@mutant(
    "C16",
    "count remembered by the mask's identity and version, which .data does not raise",
    "C16-history",
)
def count_remembered_by_version(x_recon, x, mask, reduction):
    if reduction != "mean" or not ordinary(x_recon, x, mask) or mask.is_inference():
        return right(x_recon, x, mask, reduction)
    key = id(mask), mask._version
    if key not in _counts or _counts[key][0]() is not mask:
        _counts[key] = weakref.ref(mask), mask.sum().clamp(min=1)
    return right(x_recon, x, mask, "sum") / _counts[key][1]


_of_this_thread = threading.local()


class _NeedsItsThread(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        _of_this_thread.factor = 1.0
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream * getattr(_of_this_thread, "factor", 0.0))


@mutant("C16", "what backward needs left in the calling thread", "C16-other-thread")
def scale_left_in_calling_thread(x_recon, x, mask, reduction):
    return run(_NeedsItsThread, x_recon, x, mask, reduction)


# --- in a Python of its own ----------------------------------------------------------------------


@whole_mutant(
    "C16",
    "it looks whether a test runner is imported",
    "C16-own-process",
    target=alone("sees_the_runner"),
)
def sees_the_runner():
    return functions_of("sees_the_runner")


@whole_mutant(
    "C16",
    "an assertion in C, which the tests' build leaves out, ends the process for an empty mask",
    "C16-own-process",
    target=alone("aborts_without_the_runner"),
)
def aborts_without_the_runner():
    return functions_of("aborts_without_the_runner")


@mutant("C16", "each thread takes B // threads rows, and nobody the rest", "C16-seven-threads")
def rest_of_the_rows_for_no_thread(x_recon, x, mask, reduction):
    threads = torch.get_num_threads()
    if len(x) < threads or mask.numel() < 2**15 or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    taken = len(x) // threads * threads
    total = masked_difference(x_recon, x, mask)[:taken].square().sum()
    return scaled(total, mask, reduction)


@mutant("C16", "a path for autocast to float16: NaN leaks there", "C16-autocast-float16")
@leaks_where
def leaks_under_autocast_to_float16(x_recon, x, mask):
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.float16


@mutant("C16", "a path for a default dtype of float16: NaN leaks there", "C16-default-float16")
@leaks_where
def leaks_with_default_float16(x_recon, x, mask):
    return torch.get_default_dtype() is torch.float16


@mutant("C16", "a path for a default dtype of bfloat16: NaN leaks there", "C16-default-bfloat16")
@leaks_where
def leaks_with_default_bfloat16(x_recon, x, mask):
    return torch.get_default_dtype() is torch.bfloat16


@mutant("C16", "a path for anomaly mode: NaN leaks there", "C16-anomaly-mode")
@leaks_where
def leaks_in_anomaly_mode(x_recon, x, mask):
    return torch.is_anomaly_enabled()


@mutant("C16", "a path for one thread: NaN leaks there", "C16-one-thread")
@leaks_where
def leaks_on_one_thread(x_recon, x, mask):
    return torch.get_num_threads() == 1


_calls: dict[Any, int] = {}


@mutant(
    "C16",
    "from the thirtieth call of a size on, another path: NaN leaks there",
    "C16-after-thirty-calls",
)
@leaks_where
def leaks_after_thirty_calls(x_recon, x, mask):
    kind = (x.shape, x.dtype, x_recon.dtype)
    _calls[kind] = _calls.get(kind, 0) + 1
    return _calls[kind] > 30 and ordinary(x_recon, x, mask)


_refused: list[int] = []


@whole_mutant(
    "C16",
    "after it refused a call, the next one takes another path: NaN leaks",
    "C16-after-refusals",
)
def leaks_after_a_refusal():
    def loss(x_recon, x, mask, reduction):
        try:
            _check_arguments(x_recon, x, mask, reduction)
        except (TypeError, ValueError):
            _refused.append(1)
            raise
        value = right(x_recon, x, mask, reduction)
        if not _refused or not ordinary(x_recon, x, mask):
            return value
        _refused.clear()
        return value + ((x_recon - x) * mask).sum().to(value.dtype) * 0.0

    return pair(loss)


@mutant(
    "C16",
    "float64 set as default dtype for the sums, and put back, but not where the call is broken off",
    "C16-after-broken-calls",
)
def dtype_not_put_back_in_a_finally(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    value = right(x_recon, x, mask, reduction)
    torch.set_default_dtype(dtype)
    return value


@mutant(
    "C16",
    "autocast is switched off and on again, but not where the call is broken off in its block",
    "C16-broken-in-modes",
)
def autocast_not_put_back_in_a_finally(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    enabled = torch.is_autocast_enabled("cpu")
    torch.set_autocast_enabled("cpu", False)
    value = right(x_recon, x, mask, reduction)
    torch.set_autocast_enabled("cpu", enabled)
    return value


class _AloneInForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, difference):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        value = difference.square().sum()
        torch.set_num_threads(threads)
        ctx.save_for_backward(difference)
        return value

    @staticmethod
    def backward(ctx, upstream):
        (difference,) = ctx.saved_tensors
        return 2 * upstream * difference


@mutant(
    "C16",
    "one thread while a custom function adds up, which only an operator that fails can break off",
    "C16-after-broken-calls",
)
def threads_of_a_custom_forward_lost(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask) or reduction != "sum":
        return right(x_recon, x, mask, reduction)
    return _AloneInForward.apply(masked_difference(x_recon, x, mask))


@mutant(
    "C16",
    "a hook on the result warns where the upstream gradient is not finite",
    "C16-two-traits",
)
def warns_of_an_infinite_upstream(x_recon, x, mask, reduction):
    value = right(x_recon, x, mask, reduction)
    if not ordinary(x_recon, x, mask) or not value.requires_grad:
        return value

    def watch(upstream):
        if ordinary(upstream) and not bool(upstream.isfinite().all()):
            warnings.warn("the gradient of the loss is not finite", stacklevel=2)

    value.register_hook(watch)
    return value


@mutant("C16", "warns of more than 20,000 elements", "C16-any-size")
def warns_of_large_inputs(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x.numel() > 20000:
        warnings.warn("a sum of so many squares is not exact", stacklevel=2)
    return right(x_recon, x, mask, reduction)


_WITHOUT_AUTOCAST = torch.autocast("cpu", enabled=False)


@mutant(
    "C16",
    "one autocast object for all calls: it keeps what it puts back, of the call that came last",
    "C16-midway-in-modes",
)
def one_autocast_object(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with _WITHOUT_AUTOCAST:
        _check_arguments(x_recon, x, mask, reduction)
        value = right(x_recon, x, mask, reduction)
    return value


@whole_mutant(
    "C16",
    "the tensor 1/B is kept for every B before it is filled, and a call is broken off in between",
    "C16-after-broken-calls",
)
def kept_before_it_is_filled():
    kept: dict[int, Tensor] = {}

    def loss(x_recon, x, mask, reduction):
        if reduction != "batch_mean" or not ordinary(x_recon, x, mask):
            return right(x_recon, x, mask, reduction)
        rows, new = len(x), len(x) not in kept
        if new:
            kept[rows] = torch.zeros((), dtype=torch.float64)
        total = right(x_recon, x, mask, "sum")
        if new:
            kept[rows].fill_(1.0).div_(max(rows, 1))
        return (total * kept[rows]).to(total.dtype)

    return pair(loss)


@whole_mutant(
    "C16",
    "every call is noted in a file",
    "C16-own-process",
    target=alone("notes_each_call"),
)
def notes_each_call():
    return functions_of("notes_each_call")


@whole_mutant(
    "C16",
    "every call starts a thread that looks at the loss later: they pile up",
    "C16-own-process",
    target=alone("looks_in_a_while"),
)
def looks_in_a_while():
    return functions_of("looks_in_a_while")


@whole_mutant(
    "C16",
    "every call opens a file to read and leaves it so, until the process may open no more",
    "C16-own-process",
    target=alone("leaves_a_file_open"),
)
def leaves_a_file_open():
    return functions_of("leaves_a_file_open")


@whole_mutant(
    "C16",
    "the first call tries the sum out on data of its own, which fake tensors do not have",
    "C16-own-process",
    target=alone("tries_itself_out"),
)
def tries_itself_out():
    return functions_of("tries_itself_out")


class _UnpacksTwice(Kernel):
    """Each gradient takes the saved tensors anew."""

    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x = (
            slope(*ctx.saved_tensors, ctx.reduction, upstream).to(t.dtype)
            for t in ctx.saved_tensors[:2]
        )
        return for_recon, -for_x, None, None


@mutant(
    "C16",
    "backward unpacks what it saved for each gradient, which checkpoints allow once",
    "C16-checkpoint",
)
def saved_tensors_unpacked_for_each_gradient(x_recon, x, mask, reduction):
    return run(_UnpacksTwice, x_recon, x, mask, reduction)


@mutant(
    "C16",
    "n + the smallest normal number divides: a loss scale makes infinity × 0 on the way",
    "C16-anomaly-empty",
)
def divided_by_nearly_nothing(x_recon, x, mask, reduction):
    if reduction != "mean" or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    a, b = widened(x_recon, x)
    total = torch.where(mask, a - b, 0.0).pow(2).sum()
    return total / (mask.sum().to(total.dtype) + torch.finfo(total.dtype).tiny)


_seen: dict[Any, Tensor] = {}


@mutant("C16", "sums are kept by the address and version of the tensors", "C16-other-contents")
def sums_kept_by_address_and_version(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask) or x_recon.requires_grad or x.requires_grad:
        return right(x_recon, x, mask, reduction)
    kind = [(t.data_ptr(), t._version, t.shape, t.stride(), t.dtype) for t in (x_recon, x, mask)]
    key = (*kind, reduction, x_recon.is_neg(), x.is_neg())
    found = _seen.get(key)
    if found is not None and all(
        a() is b for a, b in zip(found[0], (x_recon, x, mask), strict=True)
    ):
        return found[1].clone()
    value = right(x_recon, x, mask, reduction)
    _seen[key] = [weakref.ref(t) for t in (x_recon, x, mask)], value.clone()
    return value


_warm: dict[Any, Any] = {}


@mutant(
    "C16",
    "from the fiftieth call on the same tensors, as in a benchmark, the last result is given again",
    "C16-other-contents",
)
def last_result_after_fifty_calls(x_recon, x, mask, reduction):
    given = (x_recon, x, mask)
    needs = torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad)
    if not ordinary(*given) or needs or torch.is_inference_mode_enabled():
        return right(*given, reduction)
    key = (*map(id, given), reduction)
    found = _warm.get(key)
    if found is None or any(a() is not b for a, b in zip(found[0], given, strict=True)):
        found = _warm[key] = [[weakref.ref(t) for t in given], 0, None]
    found[1] += 1
    if found[1] < 50:
        found[2] = right(*given, reduction)
    return found[2].clone()


class _KnowsItsThread(Kernel):
    """Gives another thread than the one of the call a gradient of zero."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.thread = threading.get_ident()
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        here = threading.get_ident() == ctx.thread
        return Kernel.backward(ctx, upstream if here else upstream * 0.0)


@mutant("C16", "backward in another thread gives zeros", "C16-backward-elsewhere")
def zeros_in_another_thread(x_recon, x, mask, reduction):
    return run(_KnowsItsThread, x_recon, x, mask, reduction)


_shares: dict[Any, Tensor] = {}


@mutant(
    "C16",
    "1/B kept for each B: made under inference_mode it cannot be saved in training",
    "C16-after-inference",
)
def constant_born_in_inference_mode(x_recon, x, mask, reduction):
    if reduction != "batch_mean" or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    total = right(x_recon, x, mask, "sum")
    rows = max(mask.shape[0], 1)
    if (rows, total.dtype) not in _shares:
        made = torch.full((), float(rows), dtype=total.dtype, device=total.device)
        _shares[rows, total.dtype] = made
    return total / _shares[rows, total.dtype]


class _MemoryOrder(Kernel):
    """Works on the kept difference as one flat row, with the strides that forward saw."""

    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        kept = masked_difference(x_recon, x, mask)
        ctx.save_for_backward(x_recon, x, mask, kept)
        ctx.reduction, ctx.strides = reduction, kept.stride()
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask, kept = ctx.saved_tensors
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        if not torch.is_grad_enabled() and kept.stride() != ctx.strides:
            gradient = gradient.contiguous().as_strided(kept.shape, ctx.strides)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C16",
    "what was saved has the strides that it had: hooks give transposed inputs others",
    "C16-saved-hooks",
)
def strides_remembered_past_hooks(x_recon, x, mask, reduction):
    return run(_MemoryOrder, x_recon, x, mask, reduction)


@mutant(
    "C16",
    "rows of the mask counted by a matrix product: beyond 256 bfloat16 rounds",
    "C16-autocast",
)
def count_by_matrix_product(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction != "mean":
        return scaled(total, mask, reduction)
    rows = mask.to(total.dtype) @ torch.ones_like(total).expand(mask.shape[1])
    return total / rows.to(total.dtype).sum().clamp(min=1)


@mutant(
    "C16", "small inputs alone are summed by torch.dot: bfloat16 under autocast", "C16-autocast"
)
def small_sum_by_matrix_product(x_recon, x, mask, reduction):
    if mask.numel() > 64 or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    flat = masked_difference(x_recon, x, mask).reshape(1, -1)
    return scaled((flat @ flat.T).sum().to(flat.dtype), mask, reduction)


@mutant(
    "C16",
    "what is not masked is detached, and selected after squaring: NaN on the way to a clean end",
    "C16-anomaly-mode",
)
def nan_on_the_way(x_recon, x, mask, reduction):
    a, b = (torch.where(mask, t, t.detach()) for t in widened(x_recon, x))
    return scaled(torch.where(mask, (a - b).square(), 0.0).sum(), mask, reduction)


@mutant("C16", "subnormal numbers no longer flushed: no getter tells", "C16-globals")
def flush_denormal_left_off(x_recon, x, mask, reduction):
    if ordinary(x):
        torch.set_flush_denormal(False)
    return right(x_recon, x, mask, reduction)


class _RoundsAtRandom(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        made = Kernel.backward(ctx, upstream)
        if torch.is_grad_enabled() or made[0].dtype is not torch.bfloat16:
            return made
        up = torch.rand_like(made[0]) < 0.25
        return torch.where(up, made[0] * (1 + 2.0**-7), made[0]), *made[1:]


@mutant(
    "C16",
    "a gradient in bfloat16 alone is rounded at random, with torch's generator",
    "C16-globals",
)
def bfloat16_gradient_rounded_at_random(x_recon, x, mask, reduction):
    return run(_RoundsAtRandom, x_recon, x, mask, reduction)


_busy: list[bool] = []


@mutant("C16", "a scratch is taken for one call at a time, in a thread too", "C16-saved-hooks")
def not_reentrant(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    if _busy:
        raise RuntimeError("the scratch is in use")
    _busy.append(True)
    try:
        return right(x_recon, x, mask, reduction)
    finally:
        _busy.clear()


@mutant(
    "C16",
    "large inputs are left to a thread, where gradients are not off",
    "C16-no-grad",
    "C16-inference-mode",
)
def large_inputs_left_to_a_thread(x_recon, x, mask, reduction):
    if not of_a_million(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(right, x_recon, x, mask, reduction).result()


@mutant("C16", "the cache of autocast is emptied: no getter tells", "C16-globals", "C16-autocast")
def autocast_cache_emptied(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and torch.is_autocast_enabled("cpu"):
        torch.clear_autocast_cache()
    return right(x_recon, x, mask, reduction)


@mutant(
    "C16",
    "warnings are silenced and put back: two threads put back what is not theirs",
    "C16-midway",
)
def filters_put_back_by_two_threads(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="an operator falls back")
        masked = masked_difference(x_recon, x, mask)
        return scaled(masked.square().sum(), mask, reduction)


_shared: dict[str, Tensor] = {}


@mutant("C16", "the mask passes through a global between two lines of a call", "C16-midway")
def mask_in_a_global(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    _shared["mask"] = mask
    masked = masked_difference(x_recon, x, _shared.pop("mask"))
    return scaled(masked.square().sum(), mask, reduction)


@whole_mutant(
    "C16",
    "half is widened to what the default dtype was at import",
    "C16-own-process",
    target=alone("widens_to_the_default"),
)
def widens_to_the_default():
    return functions_of("widens_to_the_default")


@whole_mutant(
    "C16",
    "a table is filled at the first call, and taken for whole once it is not empty",
    "C16-own-process",
    target=alone("fills_a_table_at_first"),
)
def fills_a_table_at_first():
    return functions_of("fills_a_table_at_first")


@mutant("C16", "the reduction passes through a global, where another call's may be", "C16-midway")
def reduction_in_a_global(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    _set_now["reduction"] = reduction
    masked = masked_difference(x_recon, x, mask)
    return scaled(masked.square().sum(), mask, _set_now["reduction"])


_set_now: dict[str, Any] = {}


class _SlopeInAGlobal(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        _set_now["upstream"] = upstream
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, ctx.reduction, _set_now.pop("upstream"))
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C16", "the upstream gradient passes through a global in backward", "C16-midway")
def upstream_in_a_global(x_recon, x, mask, reduction):
    return run(_SlopeInAGlobal, x_recon, x, mask, reduction)


class _OncePerStep(Kernel):
    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        return Kernel.backward(ctx, upstream)


@mutant(
    "C16",
    "under autocast a function of its own, which is once differentiable",
    "C16-second-order-in-modes",
)
def once_differentiable_under_autocast(x_recon, x, mask, reduction):
    grads = torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad)
    if grads and torch.is_autocast_enabled(x.device.type):
        return run(_OncePerStep, x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C16",
    "without grad mode the loss is of detached inputs, unless torch.func is at work: no tangents",
    "C16-forward-mode-in-modes",
)
def tangents_dropped_in_evaluation(x_recon, x, mask, reduction):
    plain = not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is None
    if plain and not torch.is_grad_enabled():
        return right(x_recon.detach(), x.detach(), mask, reduction)
    return right(x_recon, x, mask, reduction)


_workspaces: dict[Any, Tensor] = {}


@mutant(
    "C16",
    "a workspace for each shape and pair of dtypes, without a lock",
    "C16-midway-in-modes",
    "C16-threads",
)
def workspace_of_each_kind_of_call(x_recon, x, mask, reduction):
    recorded = torch.is_grad_enabled() and (x_recon.requires_grad or x.requires_grad)
    if recorded or not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = (t.detach() for t in widened(x_recon, x))
    kind = (x.shape, x_recon.dtype, x.dtype, torch.is_inference_mode_enabled())
    if kind not in _workspaces:
        _workspaces[kind] = torch.empty(x.shape, dtype=wide_x.dtype)
    work = torch.sub(wide_recon, wide_x, out=_workspaces[kind])
    total = work.masked_fill_(~mask, 0.0).square_().sum()
    return scaled(total, mask, reduction)


@whole_mutant(
    "C16",
    "every refused call is noted in a file",
    "C16-own-process",
    target=alone("notes_each_refusal"),
)
def notes_each_refusal():
    return functions_of("notes_each_refusal")


@mutant(
    "C16",
    "autocast is put back where the sum raises a RuntimeError, and not where memory fails",
    "C16-broken-in-modes",
)
def put_back_after_runtime_errors(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    if torch.compiler.is_compiling() or not torch.is_autocast_enabled("cpu"):
        return scaled(squares.sum(), mask, reduction)
    torch.set_autocast_enabled("cpu", False)
    try:
        total = squares.sum()
    except RuntimeError:
        torch.set_autocast_enabled("cpu", True)
        raise
    torch.set_autocast_enabled("cpu", True)
    return scaled(total, mask, reduction)


@mutant(
    "C16",
    "in evaluation all is computed in the target's dtype, where that is no half",
    "C16-no-grad",
)
def evaluated_in_the_targets_dtype(x_recon, x, mask, reduction):
    plain = ordinary(x_recon, x, mask) and not torch.is_grad_enabled()
    if plain and x.dtype in (torch.float32, torch.float64):
        return right(x_recon.to(x.dtype), x, mask, reduction)
    return right(x_recon, x, mask, reduction)


class _ToTheInputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, total, dtype):
        ctx.dtype = dtype
        return total.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream.to(ctx.dtype).to(upstream.dtype), None


@mutant(
    "C16",
    "under autocast the upstream gradient goes through the inputs' half, and a loss scale is inf",
    "C16-autocast",
)
def loss_scale_through_half_under_autocast(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    halves = x_recon.dtype == x.dtype and x.dtype in (torch.float16, torch.bfloat16)
    mixed = ordinary(x_recon, x, mask) and torch.is_autocast_enabled(x.device.type)
    return _ToTheInputs.apply(loss, x.dtype) if halves and mixed else loss


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, total):
        return total.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream.clone()


@mutant(
    "C16",
    "under autocast a function without a jvp, but in torch.func",
    "C16-forward-mode-in-modes",
)
def no_forward_mode_under_autocast(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    plain = not torch.compiler.is_compiling() and torch._C._functorch.maybe_current_level() is None
    mixed = plain and loss.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return _Mixed.apply(loss) if mixed else loss


@whole_mutant(
    "C16",
    "every call without grad mode is noted in a file",
    "C16-own-process",
    target=alone("notes_each_validation"),
)
def notes_each_validation():
    return functions_of("notes_each_validation")
