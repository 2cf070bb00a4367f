"""Random calls of wavemae.fused, each with an exact answer: `python tests/fused/fuzzing.py`.

Halves are whole numbers from −8 to 8, and others multiples of 1/64 up to there, so that all sums up
to a block's are exact, and the native part must be right to the bit; torch operators, where it is
not built, to 4 units in the last place. Gradients have one rounding, and ties among them.
Shapes, strides, offsets, dtypes, which gradients are wanted, threads and whose they are, and the
bytes of True in the mask's memory are drawn. Between the elements of a tensor lies NaN, and True in
a mask; outside the mask lies NaN, infinity or a huge number. Memory ends, or begins, at a page that
cannot be read, so that one byte too many ends the process.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavemae import fused
from wavemae.fused import native

HALVES = (torch.float16, torch.bfloat16)
DTYPES = (*HALVES, torch.float32, torch.float64)
ROOM = 2**22  # bytes for each argument, at least two pages of any size in use
TRAPS = (float("nan"), float("inf"), float("-inf"), 3e38)  # what stands outside the mask
CALLS_ON_ONE = 32  # set of inputs, or parts of it


class Guarded:
    """Memory between two pages that cannot be read or written."""

    def __init__(self) -> None:
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, ROOM + 2 * page)
        place = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start in (place, place + page + ROOM):
            if protect(start, page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def elements(self, dtype: torch.dtype, count: int, at_end: bool) -> Tensor:
        """So many, up to the last byte or from the first one on."""
        offset = ROOM - count * dtype.itemsize if at_end else 0
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=mmap.PAGESIZE + offset)


@dataclass(frozen=True)
class Layout:
    """Strides of a tensor, in elements, and whether two of its positions may share memory."""

    row: int
    column: int
    shared: bool = False


def layouts(rows: int, columns: int, draw: random.Random) -> Layout:
    """Any of the ways to lay out a matrix."""
    extra, step = draw.randrange(1, 9), draw.randrange(2, 5)
    choices: list[Callable[[], Layout]] = [
        lambda: Layout(columns, 1),
        lambda: Layout(columns, 1),
        lambda: Layout(1, rows),
        lambda: Layout(columns + extra, 1),
        lambda: Layout(1, rows + extra),
        lambda: Layout(columns * step + extra, step),
        lambda: Layout(step, rows * step),
        lambda: Layout(0, 1, shared=True),
        lambda: Layout(1, 0, shared=True),
        lambda: Layout(0, 0, shared=True),
        lambda: Layout(step, 1, shared=True),
        lambda: Layout(1, step, shared=True),
    ]
    if draw.random() < 0.01:  # as far apart as there is room
        return Layout(max(ROOM // 8 // max(rows, 1), columns), 1)
    return draw.choice(choices)()


def shapes(draw: random.Random) -> tuple[int, int]:
    """Small ones mostly; some around whole blocks and tiles; a few of many blocks."""
    kind = draw.random()
    if kind < 0.2:
        return draw.randrange(1, 9), draw.randrange(1, 9)
    if kind < 0.75:
        return draw.randrange(1, 70), draw.randrange(1, 70)
    if kind < 0.97:
        long = draw.choice((63, 64, 65, 1023, 1024, 1025, 2048, 4096)) + draw.randrange(-1, 2)
        short = draw.randrange(1, 4)
        return (short, long) if draw.random() < 0.5 else (long, short)
    return draw.randrange(100, 900), draw.randrange(100, 300)


@dataclass(frozen=True)
class Scene:
    """Inputs, and beside them where the mask is not 0 and the whole numbers that are chosen."""

    x_recon: Tensor
    x: Tensor
    mask: Tensor
    chosen: NDArray[np.bool_]
    difference: NDArray[np.float64]

    def part(self, draw: random.Random) -> Scene:
        """All of it, or some rows and columns, transposed or not."""
        if draw.random() < 0.3:
            return self
        slices = tuple(_slice(size, draw) for size in self.mask.shape)
        flip = draw.random() < 0.3
        inputs = [t[slices].t() if flip else t[slices] for t in (self.x_recon, self.x, self.mask)]
        chosen, difference = self.chosen[slices], self.difference[slices]
        if flip:
            chosen, difference = chosen.T, difference.T
        return Scene(inputs[0], inputs[1], inputs[2], chosen, difference)

    def __str__(self) -> str:
        tensors = ", ".join(
            f"{t.dtype} {t.stride()}{' negated' * t.is_neg()}"
            for t in (self.x_recon, self.x, self.mask)
        )
        return f"shape {tuple(self.mask.shape)}, {tensors}"


def _slice(size: int, draw: random.Random) -> slice:
    first, last = sorted((draw.randrange(size + 1), draw.randrange(size + 1)))
    return slice(first, last, draw.choice((None, None, None, 2, 3)))


class Fuzzer:
    """Draws calls from a seed, and compares what comes with what should."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.memory = [Guarded() for _ in range(3)]

    def laid_out(self, number: int, values: Tensor, gap: Any) -> Tensor:
        """The values in guarded memory, in a layout that is drawn, with `gap` in between.

        Where positions share memory, it holds whole numbers and no gap.
        """
        rows, columns = values.shape
        while True:
            layout = layouts(rows, columns, self.draw)
            span = (rows - 1) * layout.row + (columns - 1) * layout.column + 1
            around = self.draw.randrange(0, 4)
            if (span + around) * values.dtype.itemsize <= ROOM:
                break
        count = span + around
        memory = self.memory[number].elements(values.dtype, count, self.draw.random() < 0.8)
        view = memory.as_strided(
            values.shape, (layout.row, layout.column), self.draw.choice((0, around))
        )
        if layout.shared:
            highest = 2 if values.dtype == torch.uint8 else 9
            lowest = 0 if values.dtype == torch.uint8 else -8
            memory.copy_(torch.from_numpy(self.numbers.integers(lowest, highest, count)))
        else:
            memory.fill_(gap)
            view.copy_(values)
        return view

    def scene(self) -> Scene:
        """Inputs of a shape, of dtypes and of layouts that are drawn."""
        shape = shapes(self.draw)
        bits = self.numbers.random(shape) < self.draw.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        highest = 256 if self.draw.random() < 0.5 else 2
        bytes_ = bits * self.numbers.integers(1, highest, shape, dtype=np.uint8)
        memory = self.laid_out(2, torch.from_numpy(bytes_), 255)
        chosen = memory.numpy() != 0
        inputs = []
        for number in range(2):
            dtype = self.draw.choice(DTYPES)
            steps = 1 if dtype in HALVES else 64
            numbers = self.numbers.integers(-8 * steps, 8 * steps + 1, shape) / steps
            if self.draw.random() < 0.7:
                numbers[~chosen] = self.draw.choice(TRAPS)
            values = torch.from_numpy(numbers).to(dtype)
            laid_out = self.laid_out(number, values, float("nan"))
            inputs.append(torch._neg_view(laid_out) if self.draw.random() < 0.1 else laid_out)
        exact = [np.where(chosen, t.double().resolve_neg().numpy(), 0.0) for t in inputs]
        mask = memory.view(torch.bool)
        return Scene(inputs[0], inputs[1], mask, chosen, exact[0] - exact[1])

    def call(self, scene: Scene) -> None:
        """One call, and its backward; AssertionError says what was wrong."""
        reduction: Any = self.draw.choice(("sum", "mean", "batch_mean"))
        wanted = self.draw.choice(
            (*2 * [(False, False)], (True, False), (False, True), (True, True))
        )
        threads = self.draw.choice((1, 2, 3))
        pool = self.draw.choice(native.pools())
        about = f"{scene}, {reduction}, gradients {wanted}, {threads} threads, {pool}"
        x_recon, x = (
            t.detach().requires_grad_(w)
            for t, w in zip((scene.x_recon, scene.x), wanted, strict=True)
        )
        torch.set_num_threads(threads)
        native.use_pool(pool)
        loss = fused.masked_sse(x_recon, x, scene.mask, reduction=reduction)
        dtype = np.float64 if torch.float64 in (x_recon.dtype, x.dtype) else np.float32
        total = np.square(scene.difference).sum()
        batch, count = len(scene.chosen), int(scene.chosen.sum())
        divisor = {"sum": 1, "mean": count, "batch_mean": batch}[reduction] or 1
        assert loss.dtype == torch.from_numpy(np.empty(0, dtype)).dtype, about
        value = dtype(total / divisor)
        allowed = 0 if native.is_available() else 4 * float(np.finfo(dtype).eps * value)
        assert abs(loss.item() - value) <= allowed, f"{about}: {loss.item()!r} is not {value!r}"
        if not any(wanted):
            return
        upstream = self.draw.choice((1.0, -1.0, 0.5, 4.0))
        needed = [t for t in (x_recon, x) if t.requires_grad]
        found = torch.autograd.grad(loss, needed, torch.full_like(loss, upstream))
        scale = dtype(upstream) / dtype(divisor)
        right = torch.from_numpy((2 * scene.difference).astype(dtype) * scale)
        for ours, tensor in zip(found, needed, strict=True):
            exact = (right if tensor is x_recon else -right).to(tensor.dtype)
            assert ours.dtype == exact.dtype, about
            assert torch.equal(ours, exact), f"{about}: the gradient of a {tensor.dtype} is wrong"


def fuzz(calls: int, seed: int = 0) -> None:
    """Make so many calls. The number of threads, and whose they are, is put back.

    Raises:
        AssertionError: a value or a gradient was wrong; says which call it was.
    """
    fuzzer, before = Fuzzer(seed), torch.get_num_threads()
    scene = fuzzer.scene()
    try:
        for number in range(calls):
            if number % CALLS_ON_ONE == 0:
                scene = fuzzer.scene()
            try:
                fuzzer.call(scene if number % CALLS_ON_ONE == 0 else scene.part(fuzzer.draw))
            except AssertionError as error:
                raise AssertionError(f"call {number} of seed {seed}: {error}") from None
    finally:
        torch.set_num_threads(before)
        native.use_pool(native.pools()[0])


def main() -> None:
    """Fuzz from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(fused.native.status())
    started = time.perf_counter()
    fuzz(given.calls, given.seed)
    seconds = time.perf_counter() - started
    print(f"{given.calls} calls from seed {given.seed}, none wrong, {seconds:.0f} s")


if __name__ == "__main__":
    main()
