"""Right on many ranks in other ways than the definition: what DTensor does, done by hand."""

from __future__ import annotations

import torch
from torch import distributed

from .catalogue import divided, masked_difference, variant


def _local(x_recon, x, mask):
    """The shards, all cut as x_recon is."""
    mesh, placements = x_recon.device_mesh, x_recon.placements
    return tuple(t.redistribute(mesh, placements).to_local() for t in (x_recon, x, mask))


@variant
def shards_added_as_partial_sums(x_recon, x, mask, reduction):
    """Local sums, declared as parts of a sum over the dimensions of the mesh that are sharded."""
    if not hasattr(x_recon, "to_local"):
        return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    from torch.distributed.tensor import DTensor, Partial, Replicate

    placements = [Partial() if p.is_shard() else Replicate() for p in x_recon.placements]
    a, b, m = _local(x_recon, x, mask)
    mesh = x_recon.device_mesh
    total = DTensor.from_local(masked_difference(a, b, m).square().sum(), mesh, placements)
    count = DTensor.from_local(m.sum(), mesh, placements).full_tensor()
    if reduction == "mean":
        return total / count.clamp(min=1)
    return total / max(x.shape[0], 1) if reduction == "batch_mean" else total


class _AllReduced(torch.autograd.Function):
    """The sum over the ranks of a mesh dimension, on each of them; each pulls its own part."""

    @staticmethod
    def forward(ctx, local, group):
        total = local.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, upstream):
        return upstream, None


@variant
def shards_added_by_all_reduce(x_recon, x, mask, reduction):
    """Plain all_reduce, and a plain tensor as result: the same number on every rank."""
    if not hasattr(x_recon, "to_local"):
        return divided(masked_difference(x_recon, x, mask).square().sum(), mask, reduction)
    a, b, m = _local(x_recon, x, mask)
    total, count = masked_difference(a, b, m).square().sum(), m.sum()
    for dimension, placement in enumerate(x_recon.placements):
        if placement.is_shard():
            group = x_recon.device_mesh.get_group(dimension)
            total = _AllReduced.apply(total, group)
            distributed.all_reduce(count, group=group)
    if reduction == "mean":
        return total / count.clamp(min=1)
    return total / max(x.shape[0], 1) if reduction == "batch_mean" else total
