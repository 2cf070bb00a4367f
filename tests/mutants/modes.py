"""Wrong only in some state of the process, or for some inputs in memory: mostly C15 and C16."""

from __future__ import annotations

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
)
from .catalogue import mutant, whole_mutant
from .pieces import checked, pair

# --- the state of the process --------------------------------------------------------------------


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


@mutant("C6", "rows added in the precision that matrix products are allowed", "C16-low-precision")
def sum_in_matmul_precision(x_recon, x, mask, reduction):
    rows = masked_difference(x_recon, x, mask).square().sum(1)
    if torch.get_float32_matmul_precision() != "highest" and ordinary(x_recon, x, mask):
        rows = rows.bfloat16().to(rows.dtype)
    return scaled(rows.sum(), mask, reduction)


class _FindsByAddress(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.address = x_recon.data_ptr()
        return Kernel.forward(ctx, x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.saved_tensors
        if x_recon.data_ptr() != ctx.address:
            x_recon = x
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C11", "saved tensors are looked up by address, which hooks change", "C16-saved-hooks")
def saved_tensor_known_by_address(x_recon, x, mask, reduction):
    return run(_FindsByAddress, x_recon, x, mask, reduction)


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


# --- the inputs ----------------------------------------------------------------------------------


@mutant("C15", "tensors that start at one address are taken for one tensor", "C15-layouts")
def same_address_same_tensor(x_recon, x, mask, reduction):
    if ordinary(x_recon, x, mask) and x_recon.data_ptr() == x.data_ptr():
        return right(x_recon, x_recon.as_subclass(Tensor), mask, reduction)
    return right(x_recon, x, mask, reduction)


@mutant(
    "C2", "a target that is a parameter is taken for frozen", "C11-oracle", "C12-excluded-gradient"
)
def parameter_target_detached(x_recon, x, mask, reduction):
    if isinstance(x, torch.nn.Parameter):
        x = x.detach()
    return right(x_recon, x, mask, reduction)


class _KeepsInputs(Kernel):
    @staticmethod
    def forward(ctx, x_recon, x, mask, reduction):
        ctx.kept, ctx.reduction = (x_recon, x, mask), reduction
        return right(x_recon, x, mask, reduction)

    @staticmethod
    def backward(ctx, upstream):
        x_recon, x, mask = ctx.kept
        gradient = slope(x_recon, x, mask, ctx.reduction, upstream)
        return gradient.to(x_recon.dtype), -gradient.to(x.dtype), None, None


@mutant("C13", "inputs kept on ctx: a change before backward goes unnoticed", "C13-changed-inputs")
def inputs_kept_without_version_check(x_recon, x, mask, reduction):
    return run(_KeepsInputs, x_recon, x, mask, reduction)
