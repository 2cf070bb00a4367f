"""Run on every rank by test_recipes.py: the blocks of docs/distributed.md, and their gradients."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from wavemae import masked_mse

GUIDE = Path(__file__).parents[2] / "docs" / "distributed.md"
WIDTH = 6
# (rows, masked positions) of each part. In all 16 positions are masked, so that dividing by their
# number is exact, like everything else here: small multiples of 1/4, in float64.
PARTS = {2: [(2, 4), (3, 12)], 4: [(0, 0), (2, 2), (2, 5), (3, 9)]}

Part = tuple[Tensor, Tensor]
Gradients = dict[str, Tensor]


def blocks() -> list[str]:
    """The Python code of the guide, save the example with prompts."""
    found = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in found if ">>>" not in block]


def block(containing: str) -> str:
    """The one block in which this text stands."""
    (found,) = (block for block in blocks() if containing in block)
    return found


def functions() -> dict[str, Any]:
    """The functions that the guide defines, by name."""
    scope: dict[str, Any] = {}
    for code in blocks():
        if "def " in code:
            exec(compile(code, str(GUIDE), "exec"), scope)
    return scope


def parts(count: int) -> list[Part]:
    """A batch in `count` parts: spectra and masks, with as many rows and True as `PARTS` says."""
    generator = torch.Generator().manual_seed(20)
    made = []
    for rows, masked in PARTS[count]:
        x = torch.randint(-8, 9, (rows, WIDTH), generator=generator).double() / 4
        mask = torch.zeros(rows * WIDTH, dtype=torch.bool)
        mask[torch.randperm(rows * WIDTH, generator=generator)[:masked]] = True
        made.append((x, mask.reshape(rows, WIDTH)))
    return made


class Autoencoder(nn.Module):
    """Two linear layers, always with the same weights; it does not see what is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(WIDTH, 3, dtype=torch.float64)
        self.decoder = nn.Linear(3, WIDTH, dtype=torch.float64)
        generator = torch.Generator().manual_seed(21)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(
                    torch.randint(-4, 5, parameter.shape, generator=generator).double() / 4
                )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The reconstruction."""
        reconstruction: Tensor = self.decoder(self.encoder(x.masked_fill(mask, 0.0)))
        return reconstruction


def gradients(model: nn.Module) -> Gradients:
    """By the parameters' own names, whole and on the CPU, however the model is wrapped."""
    found = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        assert grad is not None, name
        whole = grad.full_tensor() if hasattr(grad, "full_tensor") else grad
        found[name.removeprefix("module.")] = whole.detach().cpu().clone()
    return found


def stepped(step: Callable[..., Any], model: nn.Module, *data: Any) -> Gradients:
    """The gradients after one step, in which the optimizer moves nothing."""
    step(model, torch.optim.SGD(model.parameters(), lr=0.0), *data)
    return gradients(model)


def main(backend: str, folder: Path) -> None:
    """Each recipe's gradients, and the loss that it returns, summed over the ranks."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    distributed.init_process_group(backend, timeout=timedelta(seconds=60))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    of_guide = functions()
    x, mask = (t.to(device) for t in parts(ranks)[rank])
    nothing = torch.zeros_like(mask)

    def wrapped(how: str) -> nn.Module:
        scope: dict[str, Any] = {"model": Autoencoder().to(device)}
        exec(compile(block(f"import {how}"), str(GUIDE), "exec"), scope)
        model: nn.Module = scope["model"]
        return model

    def mean_of_local_means(model: nn.Module, optimizer: Any, x: Tensor, mask: Tensor) -> None:
        optimizer.zero_grad()
        masked_mse(model(x, mask), x, mask).backward()
        optimizer.step()

    losses: dict[str, Tensor] = {}

    def remembering(name: str) -> Callable[..., None]:
        def step(*arguments: Any) -> None:
            loss = of_guide["training_step"](*arguments)
            distributed.all_reduce(loss)
            losses[name] = loss.cpu()

        return step

    found: dict[str, Gradients] = {}
    for how in ("DistributedDataParallel", "fully_shard"):
        found[how] = stepped(remembering(how), wrapped(how), x, mask)
        found[f"{how}, nothing masked"] = stepped(
            remembering(f"{how}, nothing masked"), wrapped(how), x, nothing
        )
        found[f"{how}, micro-batches"] = stepped(
            of_guide["accumulating_step_of_a_rank"],
            wrapped(how),
            [(x[:1], mask[:1]), (x[1:], mask[1:])],
        )
        found[f"{how}, mean of local means"] = stepped(mean_of_local_means, wrapped(how), x, mask)

    whole = [torch.cat(column) for column in zip(*parts(ranks), strict=True)]
    mesh = init_device_mesh(device.type, (ranks,))
    scope = {
        **of_guide,
        **{
            name: distribute_tensor(tensor, mesh, [Shard(0)])
            for name, tensor in zip(
                ("x_recon", "x", "mask"), (torch.zeros_like(whole[0]), *whole), strict=True
            )
        },
    }
    scope["x_recon"].requires_grad_()
    exec(compile(block("loss.full_tensor()"), str(GUIDE), "exec"), scope)
    losses["DTensor"] = scope["value"].detach().cpu()
    found["DTensor"] = {"x_recon": scope["x_recon"].grad.full_tensor().cpu()}
    torch.save({"gradients": found, "losses": losses}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    # All is saved. Shutting Python down may meet a thread of gloo's that still drops a tensor, and
    # then ends in SIGABRT (pytorch/pytorch#179291).
    os._exit(0)
