"""On what is measured: device × dtype × size × mask × phase, and the tensors of each.

`short` is what `tox run -e bench` runs, `full` every combination, `gate` the few that the gate
watches. CUDA cells are always among them, and marked as not measured where there is no device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch import Tensor

Phase = Literal["forward", "forward + backward"]
Step = Callable[[Tensor, Tensor, Tensor], Tensor]
Inputs = tuple[Tensor, Tensor, Tensor]

PHASES: tuple[Phase, ...] = ("forward", "forward + backward")
ONE_PASS = "one pass"  # of the inputs for loss and gradient together: a bound, see floor.py
DTYPES = ("float32", "bfloat16", "float16", "float64")
MASKS = ("blocks", "Bernoulli", "full", "empty")
PATCH = 16  # length of a block
SIZES = {
    "cpu": (
        (32, 64),
        (128, 128),
        (256, 256),
        (1024, 256),
        (1024, 1024),
        (1024, 2048),
        (8192, 2048),
    ),
    "cuda": ((32, 64), (256, 256), (1024, 1024), (8192, 2048), (8192, 8192)),
}
SHORT_SIZES = {
    "cpu": ((32, 64), (1024, 256), (1024, 1024), (1024, 2048), (8192, 2048)),
    "cuda": SIZES["cuda"],
}
MIDDLE = {"cpu": (1024, 1024), "cuda": (8192, 2048)}
GROWTH = tuple((2 ** (k // 2), 2 ** (k - k // 2)) for k in range(10, 29, 3))  # on the CPU
HUGE = (32768, 32768)  # 4 GiB for each float32 tensor, on a GPU only
ROTATED_BYTES = 2**28  # beyond the last-level cache of most machines, and any GPU's so far
MOST_COPIES = 64


@dataclass(frozen=True)
class Workload:
    """One cell, without the implementation.

    In the phase "forward" nothing requires a gradient, as in evaluation; in "forward + backward"
    `x_recon` does, as in training.
    """

    device: str
    dtype: str
    batch: int
    length: int
    mask: str
    phase: Phase

    @property
    def id(self) -> str:
        """For pytest and the gate: `cpu-float32-1024x1024-blocks-forward`."""
        size = f"{self.batch}x{self.length}"
        return "-".join((self.device, self.dtype, size, self.mask, self.phase.replace(" ", "")))

    @property
    def elements(self) -> int:
        """B × L."""
        return self.batch * self.length

    @property
    def input_bytes(self) -> int:
        """Of `x_recon`, `x` and `mask`."""
        return self.elements * (2 * self._itemsize + 1)

    @property
    def moved_bytes(self) -> int:
        """The floor's traffic: inputs read, in the second phase again, and the gradient written."""
        if self.phase == "forward":
            return self.input_bytes
        return 2 * self.input_bytes + self.elements * self._itemsize

    @property
    def copies(self) -> int:
        """How many sets of inputs take turns, so that none is still in a cache; 64 at most."""
        return min(MOST_COPIES, math.ceil(ROTATED_BYTES / self.input_bytes))

    @property
    def cold(self) -> bool:
        """Whether the copies together exceed `ROTATED_BYTES`; small inputs stay in the cache."""
        return self.copies * self.input_bytes >= ROTATED_BYTES

    @property
    def _itemsize(self) -> int:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype.itemsize

    def inputs(self) -> list[Inputs]:
        """The sets of inputs: standard normal values and the mask, from a fixed seed."""
        generator = torch.Generator(self.device).manual_seed(0)
        return [self._draw(generator) for _ in range(self.copies)]

    def _draw(self, generator: torch.Generator) -> Inputs:
        shape, dtype = (self.batch, self.length), getattr(torch, self.dtype)
        x_recon, x = (
            torch.randn(shape, generator=generator, device=self.device).to(dtype) for _ in range(2)
        )
        mask = _draw_mask(self.mask, shape, generator)
        return x_recon.requires_grad_(self.phase != "forward"), x, mask


def _draw_mask(kind: str, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """`blocks`: three in four blocks of each row, as in MAE. `Bernoulli`: each with p = 1/2."""
    device = generator.device
    if kind in ("full", "empty"):
        return torch.full(shape, kind == "full", device=device)
    if kind == "Bernoulli":
        return torch.rand(shape, generator=generator, device=device) < 0.5
    blocks = torch.rand(shape[0], shape[1] // PATCH, generator=generator, device=device)
    hidden = blocks.argsort(dim=1) < blocks.shape[1] * 3 // 4
    return hidden.repeat_interleave(PATCH, dim=1)


def workloads(scope: str) -> list[Workload]:
    """The cells of `short`, `full` or `gate`, sizes of float32 first."""
    cells: list[tuple[str, str, tuple[int, int], str]] = []
    for device in ("cpu", "cuda"):
        if scope == "gate":
            cells += [(device, "float32", size, "blocks") for size in ((32, 64), MIDDLE[device])]
            cells += [(device, "bfloat16", MIDDLE[device], "blocks")]
            continue
        sizes = SIZES if scope == "full" else SHORT_SIZES
        cells += [(device, "float32", size, "blocks") for size in sizes[device]]
        if device == "cuda":
            cells += [(device, "float32", HUGE, "blocks")]
        if scope == "full":
            cells += product([device], DTYPES, sizes[device], MASKS)
        else:
            cells += [(device, dtype, MIDDLE[device], "blocks") for dtype in DTYPES]
            cells += [(device, "float32", MIDDLE[device], mask) for mask in MASKS]
    return _in_phases(cells)


def growth() -> list[Workload]:
    """The cells that show how cost grows; few implementations are timed on them."""
    return _in_phases([("cpu", "float32", size, "blocks") for size in GROWTH])


def _in_phases(cells: list[tuple[str, str, tuple[int, int], str]]) -> list[Workload]:
    return [
        Workload(device, dtype, *size, mask, phase)
        for device, dtype, size, mask in dict.fromkeys(cells)
        for phase in PHASES
    ]
