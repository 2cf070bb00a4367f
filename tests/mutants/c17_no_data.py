"""Losses that break C17: what must not depend on data. All are right in eager mode."""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .catalogue import mutant
from .pieces.autograd import Kernel, masked_difference, ordinary, scaled
from .pieces.formula import difference, normalise, reduce, right, widened
from .pieces.sizes import LARGE


@mutant("C17", "count fetched with .item()", "C17-meta", "C17-fake")
def count_by_item(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction == "mean":
        return total / max(mask.sum().item(), 1)
    return scaled(total, mask, reduction)


@mutant("C17", "early exit for an empty mask: bool(mask.any()) waits for the device", "C17-meta")
def early_exit_if_nothing_masked(x_recon, x, mask, reduction):
    if not mask.any():
        return masked_difference(x_recon, x, mask).sum().abs()
    return right(x_recon, x, mask, reduction)


@mutant(
    "C17",
    "early exit for an empty mask in batches of more than 64 elements only",
    "C17-no-host-sync",
)
def early_exit_for_large_inputs(x_recon, x, mask, reduction):
    if mask.numel() > 64 and not bool(mask.any()):
        return masked_difference(x_recon, x, mask).sum().abs()
    return right(x_recon, x, mask, reduction)


@mutant("C17", "fast path for a full mask: bool(mask.all())", "C17-meta")
def fast_path_for_full_mask(x_recon, x, mask, reduction):
    if mask.all():
        wide_recon, wide_x = widened(x_recon, x)
        return scaled((wide_recon - wide_x).square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C17",
    "boolean index before subtracting: the size of the result depends on the mask",
    "C17-meta",
)
def indexed_before_subtracting(x_recon, x, mask, reduction):
    wide_recon, wide_x = widened(x_recon[mask], x[mask])
    return scaled((wide_recon - wide_x).square().sum(), mask, reduction)


@mutant(
    "C17",
    "boolean index from a million positions on, where leaving out what is not masked pays",
    "C17-meta",
    "C17-fake",
    "C17-no-host-sync",
)
def indexed_if_large(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or mask.numel() < 2**20:
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    return scaled((wide_recon - wide_x)[mask].square().sum(), mask, reduction)


@mutant("C17", "positions looked up with nonzero", "C17-meta")
def gathered_by_nonzero(x_recon, x, mask, reduction):
    rows, columns = mask.nonzero(as_tuple=True)
    wide_recon, wide_x = widened(x_recon[rows, columns], x[rows, columns])
    return scaled((wide_recon - wide_x).square().sum(), mask, reduction)


@mutant("C17", "masked_select before subtracting, for half inputs only", "C17-meta")
def masked_select_in_half(x_recon, x, mask, reduction):
    if x_recon.dtype not in (torch.float16, torch.bfloat16):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon.masked_select(mask), x.masked_select(mask))
    return scaled((wide_recon - wide_x).square().sum(), mask, reduction)


@mutant("C17", "torch.equal asks whether there is anything to do", "C17-meta")
def equal_inputs_looked_for(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.equal(x_recon, x.to(x_recon.dtype)):
        return loss * 1.0
    return loss


@mutant("C17", "result asked for NaN before it is returned", "C17-meta")
def result_checked_for_nan(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.isnan(loss):
        return loss * 1.0
    return loss


@mutant("C17", "largest half value looked at to choose the dtype of the sum", "C17-meta")
def half_range_looked_at(x_recon, x, mask, reduction):
    if x_recon.dtype == torch.float16 and x_recon.numel() and x_recon.abs().max() > 60000:
        return right(x_recon.float(), x, mask, reduction)
    return right(x_recon, x, mask, reduction)


class _ThroughNumpy(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        loss = Kernel.forward(ctx, x_recon, x, mask, reduction)
        difference = masked_difference(x_recon, x, mask).cpu().numpy().astype("float64")
        total = torch.from_numpy((difference**2).sum(keepdims=True)).sum().to(loss.device)
        return scaled(total.to(loss.dtype), mask, reduction)


@mutant("C17", "summed by NumPy: host only, and nothing to trace", "C17-meta")
def summed_by_numpy(x_recon, x, mask, reduction):
    return _ThroughNumpy.apply(x_recon, x, mask, reduction)


@mutant("C17", "summed by math.fsum over a list", "C17-meta")
def summed_over_a_list(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    rows = masked_difference(x_recon, x, mask).detach().square().tolist()
    exact = math.fsum(value for row in rows for value in row if math.isfinite(value))
    return loss + 0.0 * min(exact, 1.0)


@mutant("C17", "sum moved to the host and back", "C17-meta")
def summed_on_the_host(x_recon, x, mask, reduction):
    return scaled(right(x_recon, x, mask, "sum").cpu().to(x.device), mask, reduction)


@mutant("C17", "rows split by their counts, fetched as a list", "C17-meta")
def rows_split_by_count(x_recon, x, mask, reduction):
    counts = mask.sum(1).tolist()
    squares = masked_difference(x_recon, x, mask).square()
    rows = [squares[row].sum() for row, count in enumerate(counts) if count]
    total = torch.stack(rows).sum() if rows else squares.sum()
    return scaled(total, mask, reduction)


@mutant("C17", "device refused unless it is cpu or cuda: no meta tensors", "C17-meta")
def unknown_device_refused(x_recon, x, mask, reduction):
    if x.device.type not in ("cpu", "cuda"):
        raise NotImplementedError(f"no kernel for {x.device.type}")
    return right(x_recon, x, mask, reduction)


@mutant("C17", "result built on the default device: meta in, cpu out", "C17-meta")
def result_on_default_device(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if loss.is_meta:
        return torch.zeros((), dtype=loss.dtype)
    return loss


@mutant("C17", "meta inputs give the dtype of x_recon, not that of the result", "C17-meta")
def meta_result_has_input_dtype(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss.to(x_recon.dtype) if loss.is_meta else loss


@mutant("C17", "meta inputs give shape (1,)", "C17-meta")
def meta_result_has_one_dimension(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    return loss.reshape(1) if loss.is_meta else loss


class _AsksUpstream(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        if upstream == 1.0:
            upstream = torch.ones_like(upstream)
        return Kernel.backward(ctx, upstream)


@mutant("C17", "backward asks whether the upstream gradient is 1 (Liger)", "C17-meta")
def backward_asks_for_upstream(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    if forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return _AsksUpstream.apply(x_recon, x, mask, reduction)


class _SkipsEmptyBackward(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if not mask.any():
            return torch.zeros_like(x_recon), torch.zeros_like(x), None, None
        return Kernel.backward(ctx, upstream)


@mutant("C17", "backward skips its work when bool(mask.any()) is False", "C17-meta")
def backward_looks_at_mask(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    if forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return _SkipsEmptyBackward.apply(x_recon, x, mask, reduction)


@torch.library.custom_op("wavemae_mutants::float_fake", mutates_args=())
def _op_float_fake(difference: Tensor) -> Tensor:
    return difference.square().sum()


_op_float_fake.register_fake(lambda difference: difference.new_empty((), dtype=torch.float32))
_op_float_fake.register_autograd(
    lambda ctx, upstream: 2.0 * ctx.saved_tensors[0] * upstream,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


@mutant("C17", "a custom operator whose fake rule says float32 for float64", "C17-meta")
def custom_op_with_wrong_fake_dtype(x_recon, x, mask, reduction):
    if torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return scaled(_op_float_fake(masked_difference(x_recon, x, mask)), mask, reduction)


# --- in some calls only --------------------------------------------------------------------------


@mutant("C17", "early exit for an empty mask in evaluation only", "C17-meta")
def early_exit_in_evaluation(x_recon, x, mask, reduction):
    if not torch.is_grad_enabled() and not mask.any():
        return masked_difference(x_recon, x, mask).sum().abs()
    return right(x_recon, x, mask, reduction)


@mutant("C17", "early exit for an empty mask on the CPU, where nothing waits", "C17-no-host-sync")
def early_exit_on_the_cpu(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if ordinary(x_recon, x, mask) and not loss.requires_grad and not mask.any():
        return torch.zeros_like(loss)
    return loss


@mutant("C17", "large inputs are compacted before they are subtracted", "C17-meta")
def large_inputs_compacted(x_recon, x, mask, reduction):
    if mask.numel() >= LARGE:
        x_recon, x = x_recon[mask], x[mask]
        squares = torch.sub(*widened(x_recon, x)).square()
        return scaled(squares.sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C17", "large inputs are compacted where they lie on a CPU, a fake one too", "C17-fake")
def large_cpu_inputs_compacted(x_recon, x, mask, reduction):
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return large_inputs_compacted(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


class _AsksUpstreamIfLarge(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        known = ctx.saved_tensors[2].numel() >= LARGE and not torch.is_grad_enabled()
        if known and upstream == 0:
            return *(torch.zeros_like(t) for t in ctx.saved_tensors[:2]), None, None
        return Kernel.backward(ctx, upstream)


def _applied(kernel, x_recon, x, mask, reduction):
    """The kernel on real, meta and fake tensors, but under no transform."""
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    if forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return kernel.apply(x_recon, x, mask, reduction)


@mutant("C17", "backward of large inputs asks for the upstream gradient", "C17-meta")
def large_backward_asks_for_upstream(x_recon, x, mask, reduction):
    return _applied(_AsksUpstreamIfLarge, x_recon, x, mask, reduction)


class _AsksUpstreamOnCpu(Kernel):
    @staticmethod
    def backward(ctx, upstream):
        known = upstream.device.type == "cpu" and not torch.is_grad_enabled()
        if known and upstream == 0:
            return *(torch.zeros_like(t) for t in ctx.saved_tensors[:2]), None, None
        return Kernel.backward(ctx, upstream)


@mutant("C17", "backward asks for the upstream gradient on a CPU, a fake one too", "C17-fake")
def cpu_backward_asks_for_upstream(x_recon, x, mask, reduction):
    return _applied(_AsksUpstreamOnCpu, x_recon, x, mask, reduction)


class _SlopeReadsBack(torch.autograd.Function):
    """2 d · upstream, whose own backward looks whether there is anything to do."""

    @staticmethod
    def forward(ctx, d, upstream):
        ctx.save_for_backward(d, upstream)
        return 2 * d * upstream

    @staticmethod
    def backward(ctx, v):
        d, upstream = ctx.saved_tensors
        if torch._C._functorch.maybe_current_level() is None and not v.any():
            return torch.zeros_like(d), torch.zeros_like(upstream)
        return 2 * v * upstream, (2 * d * v).sum()


class _SumOfSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx, d):
        ctx.save_for_backward(d)
        return d.square().sum()

    @staticmethod
    def backward(ctx, upstream):
        (d,) = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return 2 * d * upstream
        return _SlopeReadsBack.apply(d, upstream)


@mutant(
    "C17",
    "second order reads back whether its vector is zero",
    "C17-meta",
    "C17-fake",
    "C17-no-host-sync",
)
def second_order_reads_back(x_recon, x, mask, reduction):
    forward_mode = forward_ad._current_level >= 0
    if (
        forward_mode
        or torch.compiler.is_compiling()
        or torch._C._functorch.maybe_current_level() is not None
        or hasattr(x_recon, "device_mesh")
    ):
        return right(x_recon, x, mask, reduction)
    masked = difference(x_recon, x, mask)
    return normalise(_SumOfSquares.apply(masked), mask, reduction)


@mutant("C17", "float32 on every device but two: float64 is thought to be missing", "C17-fake")
def no_float64_elsewhere(x_recon, x, mask, reduction):
    if x.device.type in ("cpu", "cuda", "meta"):
        return right(x_recon, x, mask, reduction)
    masked = torch.where(mask, x_recon.float() - x.float(), 0.0)
    return reduce(masked, mask, reduction)


_ZERO = torch.tensor(0.0)


@mutant(
    "C17", "what fills the unmasked is a tensor that the import made, and no fake one", "C17-fake"
)
def filler_made_by_the_import(x_recon, x, mask, reduction):
    if hasattr(x_recon, "device_mesh"):
        return right(x_recon, x, mask, reduction)
    a, b = widened(x_recon, x)
    return reduce(torch.where(mask, a - b, _ZERO), mask, reduction)


@mutant("C17", "on the CPU a full mask, looked up by NumPy, takes a short cut", "C17-no-host-sync")
def full_mask_looked_up_by_numpy(x_recon, x, mask, reduction):
    plain = ordinary(x_recon, x, mask) and type(mask) is Tensor and mask.device.type == "cpu"
    if not (plain and mask.numpy().all()):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    return scaled((wide_recon - wide_x).square().sum(), mask, reduction)


@mutant(
    "C17",
    "in deterministic mode the masked elements are taken out, whose number depends on data",
    "C17-no-host-sync",
    "C17-meta",
    "C17-fake",
)
def taken_out_in_deterministic_mode(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None:
        return right(x_recon, x, mask, reduction)
    if forward_ad._current_level >= 0 or not torch.are_deterministic_algorithms_enabled():
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    return scaled((wide_recon[mask] - wide_x[mask]).square().sum(), mask, reduction)


@mutant(
    "C17", "on the CPU a full mask, looked up in its memory, takes a short cut", "C17-no-host-sync"
)
def full_mask_looked_up_in_memory(x_recon, x, mask, reduction):
    plain = ordinary(x_recon, x, mask) and type(mask) is Tensor and mask.device.type == "cpu"
    if not (plain and mask.is_contiguous() and mask.numel()):
        return right(x_recon, x, mask, reduction)
    if 0 in ctypes.string_at(mask.data_ptr(), mask.numel()):
        return right(x_recon, x, mask, reduction)
    wide_recon, wide_x = widened(x_recon, x)
    return scaled((wide_recon - wide_x).square().sum(), mask, reduction)
