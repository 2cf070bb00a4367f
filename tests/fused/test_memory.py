"""What wavemae.fused allocates on the CPU, as torch's profiler counts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from wavemae import fused
from wavemae.fused import native

MIB = 2**20
ROWS, COLUMNS = 1000, 2100  # 8 MiB of float32; divisible neither by a block nor by a row of it


def peak(function: Callable[[], object]) -> int:
    """The most bytes that were allocated at one time, beyond those at the start."""
    function()  # whatever is set up once
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = profiler.profiler.kineto_results.events()
    steps = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    assert steps
    held = most = 0
    for _, size in steps:
        held += size
        most = max(most, held)
    return most


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """x_recon, x and mask of 2.1 million elements."""
    x_recon, x = torch.randn(2, ROWS, COLUMNS).to(dtype)
    return x_recon, x, torch.rand(ROWS, COLUMNS) < 0.5


def test_peak_sees_a_temporary() -> None:
    """The measure counts what an operator allocates within itself and frees again."""
    x = torch.zeros(MIB)
    assert peak(lambda: x.square().sum()) >= 4 * MIB


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("transpose", [False, True])
def test_forward_stays_within_2_mib(dtype: torch.dtype, transpose: bool) -> None:
    """However large the inputs, and also if the three are laid out differently."""
    x_recon, x, mask = batch(dtype)
    if transpose:
        x = x.t().contiguous().t()
    assert peak(lambda: fused.masked_mse(x_recon, x, mask)) <= 2 * MIB


@pytest.mark.parametrize("rows", [256, 257, 512, 1024])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_sizes_at_the_edge_of_a_block(dtype: torch.dtype, rows: int) -> None:
    """One block exactly full, one row more, and a few full ones; so too in backward."""
    x_recon, x = torch.randn(2, rows, 1024).to(dtype)
    mask = torch.rand(rows, 1024) < 0.5
    assert peak(lambda: fused.masked_mse(x_recon, x, mask)) <= 2 * MIB
    loss = fused.masked_mse(x_recon.requires_grad_(), x, mask)
    scalars = 2 * loss.nbytes  # the upstream gradient, and the same divided by the count

    def backward() -> object:
        return torch.autograd.grad(loss, x_recon, retain_graph=True)

    assert peak(backward) <= x.nbytes + 2 * MIB + scalars


def test_nothing_large_is_kept_for_backward() -> None:
    """With gradients wanted, forward holds no more than without."""
    x_recon, x, mask = batch()
    x_recon.requires_grad_()
    assert peak(lambda: fused.masked_mse(x_recon, x, mask)) <= 2 * MIB


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_backward_allocates_gradients_and_little_else(dtype: torch.dtype) -> None:
    """Both gradients, and at most 2 MiB."""
    x_recon, x, mask = batch(dtype)
    x_recon.requires_grad_()
    x.requires_grad_()
    loss = fused.masked_mse(x_recon, x, mask)

    def backward() -> object:
        return torch.autograd.grad(loss, (x_recon, x), retain_graph=True)

    assert peak(backward) <= 2 * x.nbytes + 2 * MIB


# Pages that the process has written to: those of its threads' stacks, and what malloc has held.
FORWARD = """
import re, torch
from pathlib import Path
from wavemae import fused
def kibibytes():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"Anonymous: +([0-9]+) kB", rollup)[1])
x_recon, x = torch.ones(2, 4096, 4096)
mask = x > 0
few = torch.ones(1, 8)
x.sum()  # torch has started its threads
for _ in range(3):
    kibibytes(), fused.masked_mse(few, few, few > 0)
before = kibibytes()
fused.masked_mse(x_recon, x, mask)
print(kibibytes() - before, torch.get_num_threads())
"""


@pytest.mark.skipif(not native.is_available(), reason=native.status())
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux's account of pages")
def test_native_forward_takes_at_most_64_kib_per_thread() -> None:
    """Of any memory, not only what torch gives out; and of that no more than the loss itself."""
    done = subprocess.run([sys.executable, "-I", "-c", FORWARD], capture_output=True, check=True)
    taken, threads = map(int, done.stdout.split())
    assert taken <= 64 * threads
    x_recon, x, mask = batch()
    assert peak(lambda: fused.masked_mse(x_recon, x, mask)) <= 64
