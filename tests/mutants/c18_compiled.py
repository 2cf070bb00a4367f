"""Losses that break C18: when compiled or exported. All are right in eager mode."""

from __future__ import annotations

import functools
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from .catalogue import mutant
from .pieces.autograd import masked_difference, ordinary, scaled
from .pieces.formula import right, widened
from .pieces.sizes import LARGE


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


def _rows_first(x_recon, x, mask, reduction, beyond):
    squares = masked_difference(x_recon, x, mask).square()
    total = squares.sum(1).sum() if mask.numel() > beyond else squares.sum()
    return scaled(total, mask, reduction)


@mutant("C18", "rows are added first beyond 65,536 elements: a guard on B · L", "C18-export")
def branch_on_number_of_elements(x_recon, x, mask, reduction):
    return _rows_first(x_recon, x, mask, reduction, beyond=LARGE)


@mutant("C18", "rows are added first beyond 2²⁰ elements: exported, a guard on B · L", "C18-export")
def branch_on_a_million_elements(x_recon, x, mask, reduction):
    return _rows_first(x_recon, x, mask, reduction, beyond=2**20)


@mutant("C18", "a branch on L % 8 for half inputs, as vector loads have eight", "C18-export")
def branch_on_multiple_of_eight_in_half(x_recon, x, mask, reduction):
    if x.dtype in (torch.float16, torch.bfloat16):
        return branch_on_multiple_of_eight(x_recon, x, mask, reduction)
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


@mutant(
    "C18",
    "compiled, tensors are read as if they were contiguous",
    "C18-compile",
    "C18-any-size",
)
def compiled_flat(x_recon, x, mask, reduction):
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return right(x_recon, x, mask, reduction)
    flat = [t.as_strided((t.numel(),), (1,)) for t in (x_recon, x, mask)]
    return scaled(masked_difference(*flat).square().sum(), mask, reduction)


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


@mutant("C18", "while compiling, a single row is squeezed away", "C18-any-size")
def one_row_squeezed_while_compiling(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and x.shape[0] == 1:
        return right(x_recon[0:0], x[0:0], mask[0:0], reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "while compiling, the gradient of x is that of x_recon", "C18-backward")
def x_taken_for_x_recon_while_compiling(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and x.requires_grad:
        x = x.detach() - x + x.detach()
    return right(x_recon, x, mask, reduction)


@mutant("C18", "while compiling, the sum is a matrix product: half under autocast", "C18-autocast")
def summed_by_matrix_product_while_compiling(x_recon, x, mask, reduction):
    if not torch.compiler.is_compiling():
        return right(x_recon, x, mask, reduction)
    squares = masked_difference(x_recon, x, mask).square()
    total = squares.reshape(1, -1) @ torch.ones_like(squares).reshape(-1, 1)
    return scaled(total.sum().to(squares.dtype), mask, reduction)


class _MadeInForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        doubled = scaled(2.0 * masked_difference(x_recon, x, mask), mask, reduction)
        ctx.save_for_backward(doubled.to(x_recon.dtype), doubled.to(x.dtype))
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        for_recon, for_x = ctx.saved_tensors
        return (
            for_recon * upstream.to(for_recon.dtype),
            -for_x * upstream.to(for_x.dtype),
            None,
            None,
        )


@mutant(
    "C18",
    "compiled, the gradient is made in forward, and meets a loss scale cast to half",
    "C18-compile",
)
def gradient_made_in_forward_while_compiling(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and (x_recon.requires_grad or x.requires_grad):
        return _MadeInForward.apply(x_recon, x, mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled, two of bfloat16 are subtracted as they are", "C18-compile")
def bfloat16_subtracted_while_compiling(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and x_recon.dtype == x.dtype == torch.bfloat16:
        masked = torch.where(mask, (x_recon - x).float(), 0.0)
        return scaled(masked.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled without grad mode, two halves are subtracted as they are", "C18-modes")
def halves_subtracted_in_compiled_evaluation(x_recon, x, mask, reduction):
    halves = x_recon.dtype == x.dtype and x.dtype in (torch.float16, torch.bfloat16)
    if torch.compiler.is_compiling() and not torch.is_grad_enabled() and halves:
        masked = torch.where(mask, (x_recon - x).float(), 0.0)
        return scaled(masked.square().sum(), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant("C18", "compiled, the True are counted in the default dtype", "C18-modes")
def compiled_count_in_the_default_dtype(x_recon, x, mask, reduction):
    if torch.compiler.is_compiling() and reduction == "mean":
        count = mask.sum(dtype=torch.get_default_dtype()).clamp(min=1)
        return right(x_recon, x, mask, "sum") / count
    return right(x_recon, x, mask, reduction)
