"""Losses that break C20: on many ranks. All are right on plain tensors."""

from __future__ import annotations

import os
import time

import torch
from torch import distributed

from wavemae.models.losses import _check_arguments

from .catalogue import mutant, whole_mutant
from .pieces.formula import difference, normalise
from .pieces.signature import pair

EVERY = ("C20-two-ranks", "C20-four-ranks", "C20-unlike-placements")
TWO, FOUR, UNLIKE = EVERY
ALIKE = (TWO, FOUR)


def _divided(total, mask, reduction, *, count=None, batch=None):
    count = (mask.sum() if count is None else count).clamp(min=1)
    return normalise(total, mask, reduction, count=count, batch=batch)


def _whole(x_recon, x, mask, reduction):
    """What the definition does, on any tensors."""
    return _divided(difference(x_recon, x, mask).square().sum(), mask, reduction)


def _on_ranks(mistake):
    """The mistake where tensors are DTensors, all placed as x_recon is; else what is right."""

    def loss(x_recon, x, mask, reduction):
        if not hasattr(x_recon, "to_local"):
            return _whole(x_recon, x, mask, reduction)
        x, mask = (t.redistribute(x_recon.device_mesh, x_recon.placements) for t in (x, mask))
        return mistake(x_recon, x, mask, reduction)

    loss.__name__ = mistake.__name__
    return loss


def _local_total(x_recon, x, mask):
    """Of this rank's shard alone."""
    return difference(*(t.to_local() for t in (x_recon, x, mask))).square().sum()


def _added(local, like, operation="sum"):
    """A number of each rank as a DTensor, to be added over the dimensions that are sharded."""
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Partial(operation) if p.is_shard() else Replicate() for p in like.placements]
    return DTensor.from_local(local, like.device_mesh, placements)


# --- what is divided by --------------------------------------------------------------------------


@mutant("C20", "mean of local means", *EVERY)
@_on_ranks
def mean_of_local_means(x_recon, x, mask, reduction):
    local = _whole(*(t.to_local() for t in (x_recon, x, mask)), reduction)
    return _added(local, x_recon, "avg" if reduction != "sum" else "sum")


@mutant("C20", "the sum of all ranks divided by this rank's count", *EVERY)
@_on_ranks
def local_count(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return _divided(total, mask, reduction, count=mask.to_local().sum())


@mutant("C20", "the sum of all ranks divided by this rank's rows", *ALIKE)
@_on_ranks
def local_batch_size(x_recon, x, mask, reduction):
    total = difference(x_recon, x, mask).square().sum()
    return _divided(total, mask, reduction, batch=max(1, x.to_local().shape[0]))


@mutant("C20", "B taken for this rank's rows times the ranks, as shards are even", TWO)
@_on_ranks
def batch_taken_for_even(x_recon, x, mask, reduction):
    split = x_recon.device_mesh.size() if x_recon.placements[0].is_shard(0) else 1
    total = difference(x_recon, x, mask).square().sum()
    if x_recon.device_mesh.ndim > 1:
        return _divided(total, mask, reduction)
    return _divided(total, mask, reduction, batch=max(1, x.to_local().shape[0] * split))


@mutant("C20", "a mean weighted by counts, 0/0 where a rank has nothing masked", *ALIKE)
@_on_ranks
def nan_where_a_rank_has_nothing_masked(x_recon, x, mask, reduction):
    count = mask.to_local().sum()
    local_mean = _local_total(x_recon, x, mask) / count
    total = _added(local_mean * count, x_recon)
    # Right where nothing is masked at all, lest that alone give it away.
    total = total if mask.sum().full_tensor() else 0.0 * x_recon.sum()
    return _divided(total, mask, reduction)


# --- what is added up ----------------------------------------------------------------------------


@mutant("C20", "no reduction: each rank has its own sum", *EVERY)
@_on_ranks
def value_of_one_rank(x_recon, x, mask, reduction):
    total = _local_total(x_recon, x, mask)
    return _divided(total, mask, reduction, count=mask.sum().full_tensor())


@mutant("C20", "replicas added up as if they were shards: counted ranks times", *ALIKE)
@_on_ranks
def replicas_added_up(x_recon, x, mask, reduction):
    from torch.distributed.tensor import DTensor, Partial

    mesh = x_recon.device_mesh
    total = DTensor.from_local(_local_total(x_recon, x, mask), mesh, [Partial()] * mesh.ndim)
    return _divided(total, mask, reduction)


@mutant("C20", "added up over the first dimension of the mesh only", FOUR)
@_on_ranks
def one_dimension_of_the_mesh(x_recon, x, mask, reduction):
    from torch.distributed.tensor import DTensor, Partial, Replicate

    mesh, first = x_recon.device_mesh, x_recon.placements[0]
    placements = [Partial() if first.is_shard() else Replicate()] + [Replicate()] * (mesh.ndim - 1)
    total = DTensor.from_local(_local_total(x_recon, x, mask), mesh, placements)
    return _divided(total, mask, reduction)


@mutant("C20", "half-precision sums of the ranks added in half precision", TWO)
@_on_ranks
def added_in_half_precision(x_recon, x, mask, reduction):
    local = _local_total(x_recon, x, mask)
    total = _added(local.to(x_recon.dtype), x_recon).to(local.dtype)
    return _divided(total, mask, reduction)


@mutant("C20", "a shard multiplied by its mask: NaN outside comes in", *ALIKE)
@_on_ranks
def shard_times_its_mask(x_recon, x, mask, reduction):
    a, b, m = (t.to_local() for t in (x_recon, x, mask))
    every = torch.ones_like(m)
    total = _added((difference(a, b, every) * m).square().sum(), x_recon)
    return _divided(total, mask, reduction)


@mutant("C20", "shards combined as they lie, however the tensors are placed", UNLIKE)
def placements_of_x_recon_for_all(x_recon, x, mask, reduction):
    if not hasattr(x_recon, "to_local"):
        return _whole(x_recon, x, mask, reduction)
    a, b, m = (t.to_local() for t in (x_recon, x, mask))
    rows, columns = (min(t.shape[i] for t in (a, b, m)) for i in (0, 1))
    a, b, m = (t[:rows, :columns] for t in (a, b, m))
    total = _added(difference(a, b, m).square().sum(), x_recon)
    return _divided(total, mask, reduction)


# --- gradients -----------------------------------------------------------------------------------


class _Times(torch.autograd.Function):
    """The same value, a gradient times a factor."""

    @staticmethod
    def forward(ctx, tensor, factor):
        ctx.factor = factor
        return tensor.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.factor, None


@mutant("C20", "gradients times the number of ranks", *EVERY)
@_on_ranks
def gradient_times_ranks(x_recon, x, mask, reduction):
    local = _Times.apply(_local_total(x_recon, x, mask), distributed.get_world_size())
    return _divided(_added(local, x_recon), mask, reduction)


@mutant("C20", "x has a gradient on the first rank only", *ALIKE)
@_on_ranks
def gradient_of_x_on_the_first_rank(x_recon, x, mask, reduction):
    a, b, m = (t.to_local() for t in (x_recon, x, mask))
    b = _Times.apply(b, float(distributed.get_rank() == 0))
    total = _added(difference(a, b, m).square().sum(), x_recon)
    return _divided(total, mask, reduction)


@mutant("C20", "the gathered value, which no gradient comes back from", *EVERY)
@_on_ranks
def gathered_without_a_graph(x_recon, x, mask, reduction):
    total = _local_total(x_recon, x, mask)
    with torch.no_grad():
        total = _added(total, x_recon).full_tensor()
    return _divided(total, mask, reduction, count=mask.sum().full_tensor())


# --- ranks that go their own way -----------------------------------------------------------------


@mutant("C20", "a rank whose shard is empty refuses it", *ALIKE)
@_on_ranks
def refuses_an_empty_shard(x_recon, x, mask, reduction):
    if x_recon.to_local().numel() == 0 and x_recon.numel():
        raise ValueError("x_recon must have elements, got none; drop empty batches")
    return _whole(x_recon, x, mask, reduction)


@mutant("C20", "a rank with nothing masked returns before the others add up", *ALIKE)
@_on_ranks
def returns_early_where_nothing_is_masked(x_recon, x, mask, reduction):
    if not mask.to_local().any() and mask.sum().full_tensor():
        return 0.0 * x_recon.to_local().sum()
    count = mask.sum().full_tensor()
    return _divided(_added(_local_total(x_recon, x, mask), x_recon), mask, reduction, count=count)


@mutant("C20", "one rank raises, the others wait for it", TWO)
@_on_ranks
def raises_on_one_rank(x_recon, x, mask, reduction):
    if distributed.get_rank() == 1:
        raise RuntimeError("this rank is not the first")
    return _whole(x_recon, x, mask, reduction)


@mutant("C20", "one rank never returns", TWO)
@_on_ranks
def hangs_on_one_rank(x_recon, x, mask, reduction):
    while distributed.get_rank() == 1:
        time.sleep(0.1)
    return _whole(x_recon, x, mask, reduction)


@mutant("C20", "one rank ends its process", TWO)
@_on_ranks
def exits_on_one_rank(x_recon, x, mask, reduction):
    if distributed.get_rank() == 1:
        os._exit(3)
    return _whole(x_recon, x, mask, reduction)


@mutant("C20", "one rank takes part in a collective that the others know nothing of", TWO)
@_on_ranks
def one_collective_too_many(x_recon, x, mask, reduction):
    if distributed.get_rank() == 0:
        distributed.all_reduce(torch.zeros(()))
    return _whole(x_recon, x, mask, reduction)


@mutant("C20", "DTensors refused", *EVERY)
@_on_ranks
def refuses_dtensors(x_recon, x, mask, reduction):
    raise TypeError(f"x_recon must be a torch.Tensor, got {type(x_recon).__name__}")


@whole_mutant("C20", "shapes of DTensors are not compared, and a mask is broadcast", TWO)
def dtensor_shapes_not_compared():
    def loss(x_recon, x, mask, reduction):
        if not hasattr(x_recon, "to_local") or x_recon.shape == x.shape == mask.shape:
            _check_arguments(x_recon, x, mask, reduction)
        return _whole(x_recon, x, mask, reduction)

    return pair(loss)


class _AllRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, share):
        total = share.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, upstream):
        return upstream


def _own_rows(*tensors):
    """Their rows on this rank, cut over all dimensions of the mesh."""
    from torch.distributed.tensor import Shard

    mesh = tensors[0].device_mesh
    return [t.redistribute(mesh, [Shard(0)] * mesh.ndim).to_local() for t in tensors]


@mutant("C20", "added over all ranks that there are, not over those of the mesh", TWO)
def added_over_the_world(x_recon, x, mask, reduction):
    if not hasattr(x_recon, "to_local"):
        return _whole(x_recon, x, mask, reduction)
    local = _own_rows(x_recon, x, mask)
    total = _AllRanks.apply(difference(*local).square().sum())
    return _divided(total, mask, reduction, count=_AllRanks.apply(local[2].sum()))


@mutant(
    "C20", "the other ranks' part, without a gradient, is the whole less one's own: inf - inf", TWO
)
def others_part_by_subtraction(x_recon, x, mask, reduction):
    if not hasattr(x_recon, "to_local"):
        return _whole(x_recon, x, mask, reduction)
    local = _own_rows(x_recon, x, mask)
    own, count = difference(*local).square().sum(), local[2].sum()
    found = [each.detach().clone() for each in (own, count)]
    for each in found:
        for dimension in range(x_recon.device_mesh.ndim):
            distributed.all_reduce(each, group=x_recon.device_mesh.get_group(dimension))
    return _divided(own + (found[0] - own.detach()), mask, reduction, count=found[1])


@mutant("C20", "without grad mode the mean is the mean of the ranks' means", *ALIKE)
def means_averaged_in_evaluation(x_recon, x, mask, reduction):
    def averaged(x_recon, x, mask, reduction):
        local = [t.to_local() for t in (x_recon, x, mask)]
        return _added(_whole(*local, reduction), mask, "avg").full_tensor()

    sums = reduction == "sum" or torch.is_grad_enabled()
    return (_whole if sums else _on_ranks(averaged))(x_recon, x, mask, reduction)
