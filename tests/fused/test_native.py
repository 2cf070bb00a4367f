"""The native part of wavemae.fused: built or not, its threads, its memory, its conversions."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wavemae import fused
from wavemae.fused import native
from wavemae.models import losses

from ..worked_example import MASK, X_RECON, X
from .fuzzing import fuzz
from .planted_bugs import BUGS, SOURCES, Bug

needs_native = pytest.mark.skipif(not native.is_available(), reason=native.status())
HALVES = [torch.float16, torch.bfloat16]


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, with these variables."""
    return subprocess.run(
        [sys.executable, "-I", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


SHOW = "from wavemae.fused import native; print(native.is_available(), native.status())"


def test_switched_off() -> None:
    """WAVEMAE_NATIVE=0 does without, and says so."""
    done = run(SHOW, WAVEMAE_NATIVE="0")
    assert done.stdout == (
        "False wavemae.fused.native: not in use: WAVEMAE_NATIVE=0 switches it off\n"
    )


def test_not_built() -> None:
    """Where there is no compiled module, all works, and the status says why it is not used."""
    program = "import sys; sys.modules['wavemae.fused._native'] = None\n" + SHOW
    program += "\nimport torch; from wavemae import fused; x = torch.ones(2, 3)"
    program += "\nprint(fused.masked_mse(x, 3 * x, x > 0).item())"
    done = run(program, WAVEMAE_NATIVE="1")
    first, second = done.stdout.splitlines()
    assert first.startswith("False wavemae.fused.native: not built (")
    assert "pip install" in first
    assert second == "4.0"


@needs_native
def test_instruction_set_is_chosen_by_name() -> None:
    """WAVEMAE_NATIVE names one; an unknown name is refused with the way out."""
    assert "in use, compiled for plain, on threads of " in run(SHOW, WAVEMAE_NATIVE="plain").stdout
    done = run(SHOW, WAVEMAE_NATIVE="mmx")
    assert done.returncode == 1
    assert (
        "WAVEMAE_NATIVE must be 0, 1, or kernels that this processor has, got 'mmx'; unset it"
        in (done.stderr)
    )


def draws() -> str:
    """A program that prints the bits of many losses, one line, whatever evaluates them."""
    return """
import torch
from wavemae import fused
generator = torch.Generator().manual_seed(0)
found = []
for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
    for other in (dtype, torch.float32):
        for shape in ((3, 5), (70, 1003), (300, 2000)):
            x_recon = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
            x = torch.randn(shape, generator=generator).to(other)
            loss = fused.masked_mse(x_recon, x, torch.rand(shape, generator=generator) < 0.5)
            loss.backward()
            found += [loss.item().hex(), x_recon.grad.double().sum().item().hex()]
print(*found)
"""


@needs_native
def test_instruction_sets_give_the_same_bits() -> None:
    """Products and sums are rounded one by one in all of them."""
    best, plain = run(draws()), run(draws(), WAVEMAE_NATIVE="plain")
    assert best.stdout == plain.stdout
    assert len(best.stdout.split()) == 48


def values(loss: Callable[[], Tensor], threads: tuple[int, ...]) -> set[str]:
    """The bits of a loss for these numbers of threads, torch's and its own."""
    before = torch.get_num_threads()
    try:
        found = set()
        for pool in native.pools():
            native.use_pool(pool)
            for number in threads:
                torch.set_num_threads(number)
                found.add(float(loss().item()).hex())
        return found
    finally:
        torch.set_num_threads(before)
        native.use_pool(native.pools()[0])


@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_depend_neither_on_threads_nor_on_padding(dtype: torch.dtype) -> None:
    """Rows with gaps, columns with gaps, offsets and repeated rows are added in one order."""
    generator = torch.Generator().manual_seed(0)
    x_recon, x = torch.randn(2, 403, 1501, generator=generator, dtype=dtype)
    mask = torch.rand(403, 1501, generator=generator) < 0.5
    layouts: dict[str, Callable[[Tensor], Tensor]] = {
        "dense": lambda t: t,
        "rows apart": lambda t: torch.cat((t, t), 1)[:, 1501:],
        "columns apart": lambda t: t.repeat_interleave(3, 1)[:, 1::3],
    }
    found = set()
    for a in layouts.values():
        for m in layouts.values():
            inputs = a(x_recon), x, m(mask)
            found |= values(functools.partial(fused.masked_mse, *inputs), (1, 2, 5))
    assert len(found) == 1


@needs_native
def test_flushing_of_subnormals_is_the_callers() -> None:
    """Other threads compute as the calling one does, and it is left as it was."""
    x_recon = torch.full((64, 4096), 2.0**-70)  # its square is subnormal
    mask = torch.ones_like(x_recon, dtype=torch.bool)

    def loss() -> Tensor:
        return fused.masked_sse(x_recon, torch.zeros_like(x_recon), mask, reduction="sum")

    assert values(loss, (1, 2)) == {(2.0**-140 * mask.numel()).hex()}
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormals")
    try:
        assert values(loss, (1, 2)) == {(0.0).hex()}
    finally:
        torch.set_flush_denormal(False)
    assert values(loss, (1, 2)) == {(2.0**-140 * mask.numel()).hex()}


LARGE = "torch.ones(512, 4096)"  # enough for several threads

POOLS = f"""
import os, torch
from wavemae import fused
def threads():
    return len(os.listdir("/proc/self/task"))
torch.set_num_threads(3)
x = {LARGE}
x.sum()  # torch has started its threads
found = [threads()]
for pool in fused.native.pools():
    fused.native.use_pool(pool)
    fused.masked_mse(3 * x, x, x > 0)
    found.append(threads() - found[0])
print(*fused.native.pools(), *found[1:], sep=", ")
"""


@needs_native
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in Linux's way")
def test_torchs_threads_are_used_where_they_can_be() -> None:
    """No thread is added to torch's where it has GNU's OpenMP; elsewhere, and if asked to, two."""
    done = run(POOLS)
    if "libgomp" in Path("/proc/self/maps").read_text():
        assert done.stdout == "threads of torch, threads of its own, 0, 2\n", done.stderr
    else:
        assert done.stdout == "threads of its own, 2\n", done.stderr


FORK = f"""
import os, signal, torch
from wavemae import fused
torch.set_num_threads(3)
fused.native.use_pool("POOL")
x = {LARGE}
def loss():
    return fused.masked_sse(3 * torch.ones_like(x), x, x > 0, reduction="sum").item()
def threads():
    return len(os.listdir("/proc/self/task"))
assert loss() == 4 * x.numel()
torch.set_num_threads(1)  # torch's own pool cannot be used in the child: not what is tried here
y, z, mask = x.clone(), 3 * x, x > 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        before = threads()
        value = fused._loss(z, y, mask, "sum", fused._kernels)
        fused.native._kernels.reduced(
            3, x.shape, *fused.native._views(z, y, mask), value.data_ptr(), 1
        )
        os._exit(0 if value.item() == 4 * x.numel() and threads() == before + 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
assert loss() == 4 * x.numel()
print("as in the parent")
"""


@needs_native
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in Linux's way")
@pytest.mark.parametrize("pool", native.pools())
def test_works_after_a_fork(pool: str) -> None:
    """With threads running, a forked child makes some of its own, and does not hang."""
    done = run(FORK.replace("POOL", pool))
    assert done.stdout == "as in the parent\n", done.stderr


WORKERS = f"""
import torch
from torch.utils.data import DataLoader, Dataset
from wavemae import fused
class Losses(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        x = {LARGE}
        return fused.masked_mse(3 * x, x, x > 0)
if __name__ == "__main__":
    Losses()[0]  # threads are running before the workers are forked
    loader = DataLoader(Losses(), num_workers=2, timeout=120, multiprocessing_context="fork")
    print(sum(batch.item() for batch in loader))
"""


@needs_native
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_works_in_workers_of_a_loader() -> None:
    """As a DataLoader's workers are forked from a process that used it."""
    done = run(WORKERS)
    assert done.stdout == "32.0\n", done.stderr


ONE_THREAD = f"""
import os, torch
torch.set_num_threads(1)
from wavemae import fused
x = {LARGE}
before = os.listdir("/proc/self/task")
fused.masked_mse(3 * x, x, x > 0)
print(os.listdir("/proc/self/task") == before)
"""


@needs_native
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in Linux's way")
def test_one_thread_is_one_thread() -> None:
    """After torch.set_num_threads(1) no other thread is started."""
    assert run(ONE_THREAD).stdout == "True\n"


@needs_native
@pytest.mark.parametrize("pool", native.pools())
def test_many_threads_at_once(pool: str) -> None:
    """Whoever finds the threads in use works alone, and all get the same bits."""
    native.use_pool(pool)
    x_recon, x = torch.randn(2, 300, 1501, generator=torch.Generator().manual_seed(0))
    wanted = fused.masked_mse(x_recon, x, x > 0).item()
    with ThreadPoolExecutor(8) as executor:
        losses_ = [executor.submit(fused.masked_mse, x_recon, x, x > 0) for _ in range(400)]
        found = {loss.result().item() for loss in losses_}
    native.use_pool(native.pools()[0])
    assert found == {wanted}


@needs_native
def test_other_python_threads_run_meanwhile() -> None:
    """The interpreter's lock is released: a counter goes on while one long call runs."""
    x = torch.zeros(1, 1).expand(40_000, 40_000)  # no memory, and seconds of work if strided
    mask = torch.ones(1, 1, dtype=torch.bool).expand(40_000, 40_000)
    counted, done = 0, threading.Event()

    def call() -> None:
        fused.masked_sse(x[:2000], x[:2000], mask[:2000], reduction="sum")
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not done.is_set():
        counted += 1
        time.sleep(0.0005)
    thread.join()
    assert counted > 5


@pytest.mark.parametrize("shape", [(3, 5), (70, 1003)])
def test_true_is_any_byte_but_zero(shape: tuple[int, int]) -> None:
    """Torch can look at other bytes as bool: they count and select as in the definition."""
    generator = torch.Generator().manual_seed(0)
    bytes_ = torch.randint(0, 3, shape, generator=generator) * 127
    mask = bytes_.to(torch.uint8).view(torch.bool)
    x_recon = torch.randint(-8, 9, shape, generator=generator).float().requires_grad_()
    found = []
    for loss in (fused.masked_mse, losses.masked_mse):
        value = loss(x_recon, torch.zeros(shape), mask)
        found.append((value, *torch.autograd.grad(value, x_recon)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert int(mask.sum()) == int((bytes_ != 0).sum())


@needs_native
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_every_half_is_read_exactly(dtype: torch.dtype, wide: torch.dtype) -> None:
    """All 65536 bit patterns, as they show in the gradient of the other input."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    half = bits.view(dtype).view(256, 256)
    x = torch.zeros(half.shape, dtype=wide, requires_grad=True)
    mask = torch.ones(half.shape, dtype=torch.bool)
    for x_recon in (half, half.t().contiguous().t(), half.repeat_interleave(2, 1)[:, ::2]):
        loss = fused.masked_sse(x_recon, x, mask, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x, torch.full_like(loss, -0.5))
        right = half.to(wide) * 2 * 0.5  # infinite where doubling overflows
        torch.testing.assert_close(gradient, right, rtol=0, atol=0, equal_nan=True)


@needs_native
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_halves_are_rounded_as_torch_does(dtype: torch.dtype, wide: torch.dtype) -> None:
    """Gradients between two halves, at them, beyond the largest, subnormal, infinite and NaN."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    halves = bits.view(dtype).float()
    ticks = halves.view(torch.int32)
    step = 2 ** (12 if dtype == torch.float16 else 15)
    near = [ticks + k for k in (0, 1, -1, step, step + 1, step - 1, 3 * step, 3 * step + 1)]
    wanted = torch.stack(near).view(torch.float32).to(wide)
    mask = torch.ones(wanted.shape, dtype=torch.bool)
    for layout in (lambda t: t, lambda t: t.repeat_interleave(2, 1)[:, ::2]):
        x_recon = layout(torch.zeros(wanted.shape, dtype=dtype)).detach().requires_grad_()
        loss = fused.masked_sse(x_recon, wanted, mask, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x_recon, torch.full_like(loss, -0.5))
        right = (wanted * 2 * 0.5).to(dtype)  # infinite where doubling overflows
        torch.testing.assert_close(gradient, right, rtol=0, atol=0, equal_nan=True)


@needs_native
def test_doubling_the_upstream_gradient_does_not_overflow() -> None:
    """2 · 3e38 is infinite in float32, and 0 times that is NaN: the difference is doubled."""
    x_recon = torch.tensor([[0.0, 0.25]], requires_grad=True)
    loss = fused.masked_sse(x_recon, torch.zeros(1, 2), torch.ones(1, 2) > 0, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x_recon, torch.tensor(3e38))
    assert gradient.tolist() == [[0.0, torch.tensor(1.5e38).item()]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sum_beyond_the_range_is_infinite(dtype: torch.dtype) -> None:
    """Also where it overflows in the middle, and compensation meets infinity less infinity."""
    shape = (64, 4096)
    x_recon = torch.full(shape, torch.finfo(dtype).max ** 0.5 / 8, dtype=dtype)
    loss = fused.masked_sse(x_recon, torch.zeros_like(x_recon), x_recon > 0, reduction="sum")
    assert loss.item() == float("inf")


@needs_native
def test_tensors_without_memory_go_elsewhere() -> None:
    """Torch's lazy zeros have none to be read from."""
    zeros = torch._efficientzerotensor(X.shape)
    assert zeros.data_ptr() == 0
    assert native._views(X_RECON, zeros, MASK) is None
    assert fused.masked_sse(zeros, zeros, MASK, reduction="sum").item() == 0.0


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bugs_fit_the_code(bug: Bug) -> None:
    """What `python tests/fused/planted_bugs.py` would change is there once, and changes."""
    assert (SOURCES / bug.file).read_text().count(bug.text) == 1
    assert bug.text != bug.becomes


def test_fuzzed_calls() -> None:
    """A few of those of `tox run -e fuzz`, beside pages that cannot be read."""
    fuzz(1500, seed=1)
