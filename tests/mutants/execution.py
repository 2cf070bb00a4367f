"""Wrong executions: clauses C17, C18 and C19. In plain eager mode all of them are right."""

from __future__ import annotations

import functools
import math
import sys
import threading
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .autograd_pieces import (
    Kernel,
    both_slopes,
    each,
    in_front,
    masked_difference,
    ordinary,
    right,
    scaled,
    slope,
    widened,
    with_rule,
)
from .catalogue import mutant

# --- C17: nothing depends on data ----------------------------------------------------------------


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


# --- C18: compile and export ---------------------------------------------------------------------


@torch._dynamo.disable
def _outside_the_graph(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    return masked_difference(x_recon, x, mask)


@mutant("C18", "a helper excluded from compilation: graph break", "C18-compile")
def helper_outside_the_graph(x_recon, x, mask, reduction):
    return scaled(_outside_the_graph(x_recon, x, mask).square().sum(), mask, reduction)


@mutant("C18", "an explicit graph break left from debugging", "C18-compile")
def graph_break_left_in(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    torch._dynamo.graph_break()
    return scaled(difference.square().sum(), mask, reduction)


@mutant("C18", "prints the shape, once per compilation", "C18-compile")
def prints_while_compiling(x_recon, x, mask, reduction):
    loss = right(x_recon, x, mask, reduction)
    if torch.compiler.is_compiling():
        print("compiling", loss)
    return loss


@mutant("C18", "the caller looked up with sys._getframe", "C18-compile")
def caller_looked_up(x_recon, x, mask, reduction):
    if sys._getframe(1).f_code.co_name == "nobody":
        return x
    return right(x_recon, x, mask, reduction)


@mutant(
    "C18",
    "alignment of the data pointer looked at: neither compiler nor transforms have one",
    "C18-export",
)
def alignment_looked_at(x_recon, x, mask, reduction):
    if x_recon.data_ptr() % 16 == 0:
        return right(x_recon, x, mask, reduction)
    return right(x_recon.contiguous(), x, mask, reduction)


_lock = threading.Lock()


@mutant("C18", "a lock held around the arithmetic", "C18-compile")
def lock_held(x_recon, x, mask, reduction):
    with _lock:
        return right(x_recon, x, mask, reduction)


_seen: list[str] = []


@mutant(
    "C18",
    "a list of past calls grows: its length is guarded, every call compiles anew",
    "C18-compile",
)
def call_history_kept(x_recon, x, mask, reduction):
    _seen.append(reduction)
    del _seen[:-1000]
    return right(x_recon, x, mask, reduction)


@mutant("C18", "Python loop over the rows: one graph per batch size", "C18-export")
def loop_over_rows(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    total = squares.new_zeros(()) + squares[:0].sum()
    for row in range(squares.shape[0]):
        total = total + squares[row].sum()
    return scaled(total, mask, reduction)


@mutant("C18", "Python loop over blocks of 8 columns: one graph per length", "C18-export")
def loop_over_blocks(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    parts = [block.sum() for block in squares.split(8, dim=1)]
    return scaled(torch.stack(parts).sum(), mask, reduction)


@mutant("C18", "a branch on L % 8: no dynamic length, export refuses", "C18-export")
def branch_on_multiple_of_eight(x_recon, x, mask, reduction):
    if x.shape[1] % 8 == 0 and x.shape[1] > 0:
        difference = masked_difference(x_recon, x, mask).view(x.shape[0], -1, 8)
        return scaled(difference.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C18",
    "a branch on a batch of more than 16 rows: no dynamic batch size in one graph",
    "C18-export",
)
def branch_on_batch_size(x_recon, x, mask, reduction):
    if x.shape[0] > 16:
        squares = masked_difference(x_recon, x, mask).square()
        return scaled(squares.sum(1).sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "a square batch treated apart: shapes compared with each other", "C18-compile")
def branch_on_square_shape(x_recon, x, mask, reduction):
    if x.shape[0] == x.shape[1]:
        return right(x_recon.t(), x.t(), mask.t(), reduction)
    return right(x_recon, x, mask, reduction)


@functools.cache
def _factor(rows: int) -> float:
    return float(f"{max(rows, 1)}")


@mutant(
    "C18",
    "divisor cached per batch size as a float: the batch size becomes a constant",
    "C18-compile",
)
def divisor_cached_per_batch_size(x_recon, x, mask, reduction):
    if reduction != "batch_mean":
        return right(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, "sum") / _factor(int(x.shape[0]))


@mutant("C18", "compiled path without the clamp of the count: empty mask NaN", "C18-export")
def compiled_empty_mask_nan(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and reduction == "mean":
        return right(x_recon, x, mask, "sum") / torch.count_nonzero(mask)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled path subtracts half in half", "C18-compile")
def compiled_half_not_widened(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling():
        difference = torch.where(mask, x_recon - x, 0.0).to(widened(x_recon, x)[0].dtype)
        return scaled(difference.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled path multiplies by the mask: NaN outside leaks", "C18-compile")
def compiled_path_multiplies_by_mask(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling():
        wide_recon, wide_x = widened(x_recon, x)
        return scaled(((wide_recon - wide_x).square() * mask).sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled path takes the target for a constant", "C18-compile")
def compiled_target_detached(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling():
        return right(x_recon, x.detach(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled path ignores the reduction", "C18-compile")
def compiled_reduction_ignored(x_recon, x, mask, reduction):
    return right(x_recon, x, mask, "mean" if torch.compiler.is_compiling() else reduction)


def _compiled(wrong: Any) -> Any:
    """The right loss, but wrong(...) while compiling or exporting where that is not None."""

    @functools.wraps(wrong)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        value = wrong(x_recon, x, mask, reduction) if torch.compiler.is_compiling() else None
        return right(x_recon, x, mask, reduction) if value is None else value

    return loss


@mutant("C18", "compiled float64 runs in float32", "C18-compile")
@_compiled
def compiled_float64_in_float32(x_recon, x, mask, reduction):
    if x_recon.dtype == torch.float64:
        return right(x_recon.float(), x.float(), mask, reduction).double()
    return None


@mutant("C18", "compiled path rounds x_recon to the dtype of x", "C18-compile")
@_compiled
def compiled_reconstruction_rounded(x_recon, x, mask, reduction):
    return right(x_recon.to(x.dtype), x, mask, reduction)


@mutant("C18", "compiled batch_mean takes the target for a constant", "C18-compile")
@_compiled
def compiled_batch_mean_detaches(x_recon, x, mask, reduction):
    return right(x_recon, x.detach(), mask, reduction) if reduction == "batch_mean" else None


@mutant("C18", "compiled batch_mean divides by the length", "C18-compile", "C18-export")
@_compiled
def compiled_batch_mean_of_length(x_recon, x, mask, reduction):
    if reduction != "batch_mean":
        return None
    return right(x_recon, x, mask, "sum") / mask.shape[1]


@mutant("C18", "exported path subtracts half inputs in half", "C18-export")
def exported_half_not_widened(x_recon, x, mask, reduction):
    if torch.compiler.is_exporting() and torch.float32 not in (x_recon.dtype, x.dtype):
        difference = torch.where(mask, x_recon - x, 0.0).float()
        return scaled(difference.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "exported path multiplies by the mask", "C18-export")
def exported_path_multiplies_by_mask(x_recon, x, mask, reduction):
    if torch.compiler.is_exporting():
        wide_recon, wide_x = widened(x_recon, x)
        return scaled(((wide_recon - wide_x).square() * mask).sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "exported path refused", "C18-export")
def export_refused(x_recon, x, mask, reduction):
    if torch.compiler.is_exporting():
        raise NotImplementedError("export is not supported")
    return right(x_recon, x, mask, reduction)


@mutant("C18", "the mask's count becomes a Python int while compiling", "C18-export")
def compiled_count_is_int(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and reduction == "mean":
        return right(x_recon, x, mask, "sum") / max(int(mask.sum()), 1)
    return right(x_recon, x, mask, reduction)


@torch.library.custom_op("wavemae_mutants::without_fake", mutates_args=())
def _op_without_fake(difference: Tensor) -> Tensor:
    return difference.square().sum()


_op_without_fake.register_autograd(
    lambda ctx, upstream: 2.0 * ctx.saved_tensors[0] * upstream,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


@mutant("C18", "a custom operator without a fake rule: nothing can trace it", "C18-export")
def custom_op_without_fake_rule(x_recon, x, mask, reduction):
    if not (torch.compiler.is_compiling() or ordinary(x_recon, x, mask)):
        return right(x_recon, x, mask, reduction)
    return scaled(_op_without_fake(masked_difference(x_recon, x, mask)), mask, reduction)


@torch.library.custom_op("wavemae_mutants::without_autograd", mutates_args=())
def _op_without_autograd(difference: Tensor) -> Tensor:
    return difference.square().sum()


_op_without_autograd.register_fake(lambda difference: difference.new_empty(()))


@mutant("C18", "compiled path calls an operator without a gradient", "C18-compile")
def compiled_op_without_gradient(x_recon, x, mask, reduction):
    if not torch.compiler.is_compiling():
        return right(x_recon, x, mask, reduction)
    return scaled(_op_without_autograd(masked_difference(x_recon, x, mask)), mask, reduction)


# --- C19: function transforms --------------------------------------------------------------------


def _plain_elsewhere(function: Any, x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str):
    """The function in eager mode, dual numbers excepted, and under transforms."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return function.apply(x_recon, x, mask, reduction)


@mutant(
    "C19",
    "a Function in the old style, without setup_context: no transform takes it",
    "C19-vmap",
)
def function_without_setup_context(x_recon, x, mask, reduction):
    return _plain_elsewhere(Kernel, x_recon, x, mask, reduction)


class _NoVmapRule(torch.autograd.Function):
    @staticmethod
    def forward(x_recon, x, mask, reduction):
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])
        ctx.reduction = inputs[3]

    backward = staticmethod(Kernel.backward)


@mutant("C19", "a Function without a vmap rule: grad works, vmap raises", "C19-vmap")
def function_without_vmap_rule(x_recon, x, mask, reduction):
    return _plain_elsewhere(_NoVmapRule, x_recon, x, mask, reduction)


class _NoForwardRule(_NoVmapRule):
    generate_vmap_rule = True


@mutant(
    "C19", "a Function without a forward-mode rule: torch.func.jvp and hessian raise", "C19-hessian"
)
def function_without_jvp(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling():
        return right(x_recon, x, mask, reduction)
    if torch._C._functorch.maybe_current_level() is None and forward_ad._current_level >= 0:
        return right(x_recon, x, mask, reduction)
    return _NoForwardRule.apply(x_recon, x, mask, reduction)


@mutant("C19", "vmap rule adds up the whole batch and hands one number to every sample", "C19-vmap")
@with_rule
def vmap_rule_adds_up_the_batch(info, in_dims, tensors, reduction):
    return each(*in_front(info, in_dims, tensors), reduction).sum(), None


@mutant(
    "C19",
    "vmap rule ignores in_dims: dimension 0 taken for the mapped one",
    "C19-vmap-1-0-2",
    "C19-vmap-2-1-0",
)
@with_rule
def vmap_rule_ignores_in_dims(info, in_dims, tensors, reduction):
    dims = tuple(None if d is None else 0 for d in in_dims)
    return each(*in_front(info, dims, tensors), reduction), 0


@mutant(
    "C19",
    "vmap rule takes every input for mapped: a shared mask is counted row by row",
    "C19-vmap-0-1-none",
    "C19-vmap-0-none-none",
)
@with_rule
def vmap_rule_counts_shared_mask_by_row(info, in_dims, tensors, reduction):
    losses = each(*in_front(info, in_dims, tensors), "sum" if reduction == "mean" else reduction)
    if reduction != "mean":
        return losses, 0
    mask = tensors[2].movedim(in_dims[2] or 0, 0)
    return losses / mask.flatten(1).sum(1).clamp(min=1), 0


@mutant("C19", "vmap rule uses the first sample's mask for all", "C19-vmap")
@with_rule
def vmap_rule_uses_first_mask(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    return each(x_recon, x, mask[:1].expand_as(mask), reduction), 0


@mutant("C19", "vmap rule divides by the count of all samples together", "C19-vmap")
@with_rule
def vmap_rule_counts_all_samples(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    if reduction != "mean":
        return each(x_recon, x, mask, reduction), 0
    return each(x_recon, x, mask, "sum") / mask.sum().clamp(min=1), 0


@mutant("C19", "vmap rule divides batch_mean by the number of mapped samples", "C19-vmap")
@with_rule
def vmap_rule_divides_by_its_own_size(info, in_dims, tensors, reduction):
    loss = each(*in_front(info, in_dims, tensors), "sum" if reduction != "mean" else reduction)
    return loss / info.batch_size if reduction == "batch_mean" else loss, 0


@mutant(
    "C19",
    "vmap rule says None for a mapped result when only the mask is mapped",
    "C19-vmap-none-none-1",
)
@with_rule
def vmap_rule_loses_mapped_mask(info, in_dims, tensors, reduction):
    loss = each(*in_front(info, in_dims, tensors), reduction)
    if in_dims[0] is None and in_dims[1] is None:
        return loss[0], None
    return loss, 0


@mutant(
    "C19", "vmap rule does not clamp the count: a sample with an empty mask gives NaN", "C19-vmap"
)
@with_rule
def vmap_rule_nan_for_empty_sample(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    if reduction != "mean":
        return each(x_recon, x, mask, reduction), 0
    return each(x_recon, x, mask, "sum") / mask.sum((-2, -1)), 0


@mutant("C19", "vmap rule detaches: grad of a vmap is zero", "C19-vmap", "C19-vmap-1-0-2")
@with_rule
def vmap_rule_detaches(info, in_dims, tensors, reduction):
    x_recon, x, mask = in_front(info, in_dims, tensors)
    return each(x_recon.detach(), x.detach(), mask, reduction), 0


@mutant(
    "C19", "vmap rule fills a buffer in place: a second vmap around it raises", "C19-vmap-nested"
)
@with_rule
def vmap_rule_fills_a_buffer(info, in_dims, tensors, reduction):
    moved = in_front(info, in_dims, tensors)
    losses = each(*moved, reduction)
    out = torch.zeros(info.batch_size, dtype=losses.dtype, device=losses.device)
    for index in range(info.batch_size):
        out[index] = losses[index]
    return out, 0


@mutant("C19", "mask filled in place: raises when only the mask is mapped", "C19-vmap-none-none-1")
def fill_in_place(x_recon, x, mask, reduction):
    wide_recon, wide_x = widened(x_recon, x)
    difference = (wide_recon - wide_x).masked_fill_(~mask, 0.0)
    return scaled(difference.square().sum(), mask, reduction)


@mutant("C19", "sum added to a fresh zero in place: raises under any vmap", "C19-vmap")
def accumulated_in_place(x_recon, x, mask, reduction):
    squares = masked_difference(x_recon, x, mask).square()
    total = torch.zeros((), dtype=squares.dtype, device=squares.device)
    return scaled(total.add_(squares.sum()), mask, reduction)


@mutant("C19", "requires_grad_() on an intermediate: refused inside transforms", "C19-vmap")
def intermediate_asked_to_require_grad(x_recon, x, mask, reduction):
    difference = masked_difference(x_recon, x, mask)
    if (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not difference.requires_grad
    ):
        return scaled(difference.requires_grad_().square().sum(), mask, reduction).detach()
    return scaled(difference.square().sum(), mask, reduction)


@mutant(
    "C19",
    "inside transforms the target is taken for a constant: grad for argnums=1 is 0",
    "C19-grad",
)
def target_detached_under_transforms(x_recon, x, mask, reduction):
    if torch._C._functorch.maybe_current_level() is not None:
        x = x.detach() if not torch.compiler.is_compiling() else x
    return right(x_recon, x, mask, reduction)


def _doubled_under_transforms(where: Any) -> Any:
    """The right loss, but twice that under a transform where the call is of that kind."""

    @functools.wraps(where)
    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, reduction: str) -> Tensor:
        level = torch._C._functorch.maybe_current_level()
        value = right(x_recon, x, mask, reduction)
        return value * 2 if level is not None and where(level, x_recon, x, mask) else value

    return loss


@mutant("C19", "four transforms around one another: levels mixed up", "C19-hessian")
@_doubled_under_transforms
def four_levels_mixed_up(level, x_recon, x, mask):
    return level >= 4


@mutant("C19", "transforms of float64 beside another dtype", "C19-vmap")
@_doubled_under_transforms
def transforms_wrong_for_mixed_float64(level, x_recon, x, mask):
    return x_recon.dtype != x.dtype and torch.float64 in (x_recon.dtype, x.dtype)


@mutant("C19", "transforms of rows longer than 16", "C19-vmap")
@_doubled_under_transforms
def transforms_wrong_for_long_rows(level, x_recon, x, mask):
    return mask.shape[-1] > 16


class _ReadsUpstream(Kernel):
    generate_vmap_rule = False

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if torch.is_grad_enabled():
            return Kernel.backward(ctx, upstream)
        gradient = slope(x_recon, x, mask, ctx.reduction, torch.ones_like(upstream).detach())
        gradient = torch.where(mask, gradient.clone().mul_(upstream), 0.0)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant(
    "C19",
    "backward multiplies its buffer in place: a batch of upstream gradients raises",
    "C19-batched-upstream",
)
def batched_upstream_raises(x_recon, x, mask, reduction):
    if not ordinary(x_recon, x, mask):
        return right(x_recon, x, mask, reduction)
    return _ReadsUpstream.apply(x_recon, x, mask, reduction)


class _ZeroRule(torch.autograd.Function):
    """Right but for what a hand-written forward-mode rule says inside transforms."""

    generate_vmap_rule = True
    forward = staticmethod(_NoVmapRule.forward)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(*inputs[:3])
        _NoVmapRule.setup_context(ctx, inputs, output)

    backward = staticmethod(Kernel.backward)

    @staticmethod
    def jvp(ctx, t_recon, t_x, *_):
        x_recon, x, mask = ctx.saved_tensors
        difference = masked_difference(x_recon, x, mask)
        change = t_recon.to(difference.dtype)
        return scaled(
            (2.0 * difference * torch.where(mask, change, 0.0)).sum(), mask, ctx.reduction
        )


@mutant("C19", "torch.func.jvp forgets the tangent of x", "C19-jvp")
def jvp_ignores_target(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is None:
        return right(x_recon, x, mask, reduction)
    return _ZeroRule.apply(x_recon, x, mask, reduction)


class _ConstantBackward(_NoVmapRule):
    generate_vmap_rule = True

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        first, second = both_slopes(x_recon.detach(), x.detach(), mask, ctx.reduction, upstream)
        return first.to(x_recon.dtype), second.to(x.dtype), None, None


@mutant(
    "C19", "second derivative lost inside transforms: grad of grad and hessian are 0", "C19-hessian"
)
def nested_grad_is_zero(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is None:
        return right(x_recon, x, mask, reduction)
    return _ConstantBackward.apply(x_recon, x, mask, reduction)


@mutant(
    "C19",
    "count over all samples: torch.func sees the batch because the mask is unwrapped",
    "C19-vmap",
)
def mapped_mask_unwrapped(x_recon, x, mask, reduction):
    total = right(x_recon, x, mask, "sum")
    if reduction != "mean" or torch.compiler.is_compiling():
        return scaled(total, mask, reduction)
    plain = mask
    while torch._C._functorch.is_functorch_wrapped_tensor(plain):
        plain = torch._C._functorch.get_unwrapped(plain)
    return total / torch.count_nonzero(plain).clamp(min=1)


@mutant("C19", "a mapped batch refused", "C19-vmap")
def vmap_refused(x_recon, x, mask, reduction):
    if any(torch._C._functorch.is_batchedtensor(t) for t in (x_recon, x, mask)):
        raise NotImplementedError("vmap is not supported")
    return right(x_recon, x, mask, reduction)
