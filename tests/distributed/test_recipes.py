"""Each recipe of docs/distributed.md gives the gradients of the whole batch."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed

from . import recipes
from .launch import TORCH, on_ranks, some_ranks
from .recipes import Autoencoder, Gradients, Part, gradients

needs_distributed = pytest.mark.skipif(
    not distributed.is_available(), reason="this torch is built without torch.distributed"
)


def of_whole_batch(parts: list[Part]) -> tuple[Tensor, Gradients]:
    """The mean over all masked positions and its gradients, written out."""
    model = Autoencoder()
    x, mask = (torch.cat(column) for column in zip(*parts, strict=True))
    loss: Tensor = (model(x, mask) - x)[mask].square().sum() / mask.sum()
    loss.backward()
    return loss.detach(), gradients(model)


def relative_error(got: Gradients, wanted: Gradients) -> float:
    """Of all gradients together, in the Euclidean norm."""
    assert list(got) == list(wanted)
    flat = [torch.cat([grads[name].flatten() for name in wanted]) for grads in (got, wanted)]
    return float((flat[0] - flat[1]).norm() / flat[1].norm())


def differing(got: Gradients, wanted: Gradients) -> list[str]:
    """The parameters whose gradients are not equal to the last bit."""
    return [name for name in wanted if not torch.equal(got[name], wanted[name])]


def test_example_runs() -> None:
    """The guide's first example prints what stands below it."""
    ran = doctest.testfile(str(recipes.GUIDE), module_relative=False)
    assert (ran.attempted, ran.failed) == (12, 0)


def test_every_block_is_run() -> None:
    """No code in the guide that the tests of this file do not know."""
    known = ("training_step", "accumulating_step(", "counting_step(", "accumulating_step_of_a_rank")
    texts = [f"def {name}" for name in known]
    texts += ["import DistributedDataParallel", "import fully_shard", "loss.full_tensor()"]
    assert sorted(recipes.blocks()) == sorted(recipes.block(text) for text in texts)


@needs_distributed
@some_ranks
def test_ranks(backend: str, ranks: int, tmp_path: Path) -> None:
    """In DDP and FSDP2 the recipe's gradients are exact; of local means, they are far off."""
    if TORCH < (2, 9):
        # 2.9 is the first that was seen to do it.
        pytest.skip("FSDP2 asks the CPU for CUDA's streams (torch 2.6)")
    results = on_ranks(Path(recipes.__file__), backend, ranks, tmp_path)
    loss, wanted = of_whole_batch(recipes.parts(ranks))
    zero = {name: torch.zeros_like(grad) for name, grad in wanted.items()}
    assert len(results) == ranks
    for of_rank in results:
        found, losses = of_rank["gradients"], of_rank["losses"]
        for how in ("DistributedDataParallel", "fully_shard"):
            assert differing(found[how], wanted) == []
            assert differing(found[f"{how}, micro-batches"], wanted) == []
            assert losses[how].item() == loss.item()
            assert differing(found[f"{how}, nothing masked"], zero) == []
            assert losses[f"{how}, nothing masked"].item() == 0.0
            off = relative_error(found[f"{how}, mean of local means"], wanted)
            assert f" {100 * off:.0f} % ({ranks} ranks)" in claims()
        x, mask = (torch.cat(column) for column in zip(*recipes.parts(ranks), strict=True))
        # 16 positions: a reconstruction of zeros has gradient −2 x / 16 where masked.
        assert torch.equal(found["DTensor"]["x_recon"], torch.where(mask, -x / 8, 0.0))
        assert losses["DTensor"].item() == x[mask].square().mean().item()


def claims() -> str:
    """The guide as one line, so that where it wraps does not matter."""
    return re.sub(r"\s+", " ", recipes.GUIDE.read_text())


@needs_distributed
@pytest.mark.parametrize("step", ["accumulating_step", "counting_step"])
@pytest.mark.parametrize("count", recipes.PARTS)
def test_micro_batches(step: str, count: int) -> None:
    """Accumulated over 2 or 4 unequal parts, one of them empty, the gradients are exact."""
    parts = recipes.parts(count)
    found = recipes.stepped(recipes.functions()[step], Autoencoder(), parts)
    assert differing(found, of_whole_batch(parts)[1]) == []


@needs_distributed
@pytest.mark.parametrize("step", ["accumulating_step", "counting_step"])
def test_micro_batches_with_nothing_masked(step: str) -> None:
    """Where no part has anything masked, every gradient is zero, and none is NaN."""
    parts = [(x, torch.zeros_like(mask)) for x, mask in recipes.parts(2)]
    found = recipes.stepped(recipes.functions()[step], Autoencoder(), parts)
    assert differing(found, {name: torch.zeros_like(grad) for name, grad in found.items()}) == []
