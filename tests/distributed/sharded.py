"""Run on every rank by test_dtensor.py: the losses of DTensors, and what came out of them."""

from __future__ import annotations

import functools
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from wavemae import masked_mse, masked_sse

FUNCTIONS: dict[str, Callable[..., Tensor]] = {"masked_sse": masked_sse, "masked_mse": masked_mse}
CALLS = tuple(itertools.product(FUNCTIONS, ("sum", "mean", "batch_mean")))
PLACEMENTS = ("Shard(0)", "Shard(1)", "Replicate()")

Batch = tuple[Tensor, Tensor, Tensor]
Placed = tuple[str, ...]  # one placement for each dimension of the mesh


@dataclass(frozen=True)
class Case:
    """One call: a batch, how its three tensors are placed on the mesh, function and reduction."""

    batch: str
    placed: tuple[Placed, Placed, Placed]
    function: str
    reduction: str
    upstream: float = 1.0

    @property
    def name(self) -> str:
        """What a failure is called."""
        how = ", ".join("×".join(p) for p in dict.fromkeys(self.placed))
        if len(set(self.placed)) > 1:
            how = ", ".join("×".join(p) for p in self.placed)
        return f"{self.function} {self.reduction} · {self.batch} · {how} · upstream {self.upstream}"


def batches() -> dict[str, Batch]:
    """Whole batches, the same on every rank, named by what is hard about them."""
    generator = torch.Generator().manual_seed(20)

    def batch(rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Batch:
        x_recon, x = (torch.randn(rows, columns, generator=generator).to(dtype) for _ in range(2))
        return x_recon, x, torch.rand(rows, columns, generator=generator) < 0.6

    def masked_only(rows: slice, columns: slice) -> Batch:
        x_recon, x, mask = batch(5, 7)
        only = torch.zeros_like(mask)
        only[rows, columns] = True
        return x_recon, x, only

    everything = slice(None)
    last_row, first_column = slice(4, 5), slice(0, 1)
    # Four ranks hold 2, 2, 1 and 0 of five rows, and 2, 2, 2 and 1 of seven columns.
    made = {
        "even": batch(4, 8),
        "uneven": batch(5, 7),
        "fewer rows than ranks": batch(1, 3),
        "no rows": batch(0, 3),
        "nothing masked": masked_only(slice(0), everything),
        "masked on the last rank with rows only": masked_only(last_row, everything),
        "masked on the first rank by columns only": masked_only(everything, first_column),
        "float16 and float32": (batch(5, 7, torch.float16)[0], *batch(5, 7)[1:]),
        "bfloat16": batch(5, 7, torch.bfloat16),
        "float64": batch(5, 7, torch.float64),
    }
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 13):
        # 2.9 cannot gather a gradient that has no elements.
        made["no columns"] = batch(3, 0)
    x_recon, x, mask = batch(5, 7)
    made["NaN and inf outside the mask"] = (
        x_recon.masked_fill(~mask, math.nan),
        x.masked_fill(~mask, math.inf),
        mask,
    )
    x_recon, x, mask = batch(5, 7)
    x_recon[4, 6], mask[4, 6] = math.nan, True
    made["NaN inside the mask, on one rank"] = (x_recon, x, mask)
    return made


def cases(ranks: int) -> Iterator[Case]:
    """What this number of ranks is tried with; a mesh of two dimensions needs four."""
    for (n, name), (k, placement) in itertools.product(enumerate(batches()), enumerate(PLACEMENTS)):
        # Every other call has each reduction once, now of one function and now of the other.
        some = CALLS[k % 2 :: 2] if ranks == 2 else (CALLS[(n + k) % 6],)
        for call in CALLS if name == "uneven" else some:
            yield Case(name, ((placement,),) * 3, *call)
    calls = itertools.cycle(CALLS)
    if ranks == 2:  # the three tensors placed unlike one another
        for a, b, c in itertools.product(PLACEMENTS, repeat=3):
            if len({a, b, c}) > 1:
                yield Case("uneven", ((a,), (b,), (c,)), *next(calls), upstream=-3.0)
        return
    pairs = tuple(itertools.product(PLACEMENTS, repeat=2))
    for k, pair in enumerate(pairs):
        for name in ("uneven", "fewer rows than ranks", "masked on the last rank with rows only"):
            yield Case(name, (pair,) * 3, *next(calls))
        yield Case("uneven", (pair, pairs[k - 4], pairs[k - 7]), "masked_mse", "mean")


def main(backend: str, folder: Path) -> None:
    """All cases, in the order in which every rank goes through them; results to `folder`."""
    from torch.distributed import tensor
    from torch.distributed.device_mesh import init_device_mesh

    distributed.init_process_group(backend, timeout=timedelta(seconds=60))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    device = "cuda" if backend == "nccl" else "cpu"
    if device == "cuda":
        torch.cuda.set_device(rank)
    meshes = {1: init_device_mesh(device, (ranks,))}
    if ranks > 2:
        meshes[2] = init_device_mesh(device, (ranks // 2, 2))
    placement = {
        "Shard(0)": tensor.Shard(0),
        "Shard(1)": tensor.Shard(1),
        "Replicate()": tensor.Replicate(),
    }

    whole_batches = batches()

    @functools.cache
    def distributed_batch(name: str, placed: tuple[Placed, Placed, Placed]) -> list[Any]:
        return [
            tensor.distribute_tensor(whole, meshes[len(p)], [placement[one] for one in p])
            for whole, p in zip(whole_batches[name], placed, strict=True)
        ]

    def run(case: Case) -> dict[str, object]:
        values = [t.detach() for t in distributed_batch(case.batch, case.placed)]
        leaves = [t.requires_grad_() for t in values[:2]]
        loss: Any = FUNCTIONS[case.function](*values, reduction=case.reduction)
        (loss * case.upstream).backward()
        results = {"value": loss.detach(), "x_recon": leaves[0].grad, "x": leaves[1].grad}
        for name, result in results.items():
            assert isinstance(result, tensor.DTensor), name
        return {name: result.full_tensor().cpu() for name, result in results.items()}

    results: dict[str, dict[str, object]] = {}
    for case in cases(ranks):
        if rank == 0:
            print(case.name, flush=True)  # the last one printed is the one that hangs or crashes
        try:
            results[case.name] = run(case)
        except Exception as error:
            results[case.name] = {"error": f"{type(error).__name__}: {error}"}
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    # All is saved. Shutting Python down may meet a thread of gloo's that still drops a tensor, and
    # then ends in SIGABRT (pytorch/pytorch#179291).
    os._exit(0)
