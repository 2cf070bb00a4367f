"""The definition compiled and exported (C18): whole, once, and right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from wavemae.properties.inputs.cases import Inputs
from wavemae.properties.judge.oracle import exact, gradient_fault, value_fault

from wavemae import masked_mse, masked_sse

from ..worked_example import REDUCTIONS, Loss, any_reduction, either_loss

HALF_DTYPES = (torch.float16, torch.bfloat16)
VALUE_DTYPES = (*HALF_DTYPES, torch.float32, torch.float64)

needs_cpp = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="inductor needs a C++ compiler, and none of c++, g++, clang++ is here",
)

# Importing inductor has torch script parts of itself, which it deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is (deprecated|not supported)"),
    # Inductor of torch 2.6 says this of its own configuration.
    pytest.mark.filterwarnings("ignore:Skipping serialization of skipfiles:UserWarning"),
]

# Shapes from 2 × 2 on, and how much of each is masked.
BATCHES = (
    ((4, 6), 0.5),
    ((4, 6), 0.0),
    ((4, 6), 1.0),
    ((3, 17), 0.5),
    ((2, 2), 1.0),
    ((9, 5), 0.1),
)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    """No compiled code from before, and none left behind."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Counting:
    """A backend of torch.compile that counts how often it is asked."""

    def __init__(self, name: str) -> None:
        self.graphs, self.compile = 0, torch._dynamo.lookup_backend(name)

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        """What the backend named makes of it."""
        self.graphs += 1
        compiled: Callable[..., Any] = self.compile(graph, inputs)
        return compiled


def random_inputs(
    shape: tuple[int, int], share: float, x_recon_dtype: torch.dtype, x_dtype: torch.dtype
) -> Inputs:
    """Random values, of which `share` are masked, and NaN in x_recon where they are not."""
    generator = torch.Generator().manual_seed(31 * shape[0] + shape[1])
    x_recon, x = (torch.randn(shape, generator=generator) for _ in range(2))
    mask = torch.rand(shape, generator=generator) < share
    x_recon.masked_fill_(~mask, torch.nan)
    return Inputs(x_recon.to(x_recon_dtype).requires_grad_(), x.to(x_dtype).requires_grad_(), mask)


def check(compiled: Loss, inputs: Inputs, reduction: str) -> None:
    """Value within n + 8 roundoffs (C6, of compiled code), gradients within 16 (C11, C12)."""
    got = compiled(*inputs, reduction=reduction)
    wide = torch.float64 in (inputs.x_recon.dtype, inputs.x.dtype)
    assert (got.shape, got.dtype) == ((), torch.float64 if wide else torch.float32)
    bound = int(inputs.mask.sum()) + 8
    assert value_fault(got, exact(inputs), reduction, roundoffs=bound) is None
    grads = torch.autograd.grad(got, inputs[:2])
    for gradient, value, sign in zip(grads, inputs[:2], (1, -1), strict=True):
        assert gradient.dtype == value.dtype
        assert gradient_fault(gradient, inputs, reduction, sign=sign) is None


def check_all_sizes(
    loss: Loss, reduction: str, backend: str, x_recon_dtype: torch.dtype, x_dtype: torch.dtype
) -> None:
    """One compilation serves every size and mask, forward and backward."""
    counting = Counting(backend)
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=counting)
    for shape, share in BATCHES:
        check(compiled, random_inputs(shape, share, x_recon_dtype, x_dtype), reduction)
    assert counting.graphs == 1


@either_loss
@any_reduction
@pytest.mark.parametrize("dtype", VALUE_DTYPES)
def test_aot_eager(loss: Loss, reduction: str, dtype: torch.dtype) -> None:
    """As one graph, traced with its backward, it is right at every size and with every mask."""
    check_all_sizes(loss, reduction, "aot_eager", dtype, dtype)


@pytest.mark.parametrize(
    ("x_recon_dtype", "x_dtype"),
    [
        (torch.float16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.float16),
        (torch.float16, torch.float64),
    ],
)
def test_aot_eager_with_two_dtypes(x_recon_dtype: torch.dtype, x_dtype: torch.dtype) -> None:
    """Each input's gradient has its own dtype in compiled code, too."""
    check_all_sizes(masked_mse, "mean", "aot_eager", x_recon_dtype, x_dtype)


@needs_cpp
@pytest.mark.parametrize(
    ("loss", "reduction", "x_recon_dtype", "x_dtype"),
    [
        (masked_mse, "mean", torch.float32, torch.float32),
        (masked_sse, "batch_mean", torch.float16, torch.float32),
        (masked_sse, "sum", torch.bfloat16, torch.bfloat16),
        (masked_mse, "mean", torch.float64, torch.float16),
    ],
)
def test_inductor(
    loss: Loss, reduction: str, x_recon_dtype: torch.dtype, x_dtype: torch.dtype
) -> None:
    """The C++ that inductor writes is right at every size and with every mask."""
    check_all_sizes(loss, reduction, "inductor", x_recon_dtype, x_dtype)


@needs_cpp
def test_inductor_on_many_equal_values() -> None:
    """2¹⁶ equal terms, which expose the order of summation, stay within n + 8 roundoffs."""
    compiled = torch.compile(masked_mse, fullgraph=True, dynamic=True, backend="inductor")
    equal = torch.full((64, 1024), 0.7)
    check(
        compiled,
        Inputs(
            equal.requires_grad_(),
            torch.zeros_like(equal).requires_grad_(),
            torch.ones_like(equal, dtype=torch.bool),
        ),
        "mean",
    )


@either_loss
def test_compiles_again_only_for_dynamic_sizes(loss: Loss) -> None:
    """Left to find out by itself what is dynamic, torch.compile stops at the second graph."""
    counting = Counting("aot_eager")
    compiled = torch.compile(loss, fullgraph=True, backend=counting)
    for shape, share in BATCHES[:3]:
        check(compiled, random_inputs(shape, share, torch.float32, torch.float32), "mean")
    assert counting.graphs == 1
    for rows in range(5, 10):
        inputs = random_inputs((rows, rows + 3), 0.5, torch.float32, torch.float32)
        check(compiled, inputs, "mean")
    assert counting.graphs == 2


def trained(
    loss: Loss, reduction: str, half: torch.dtype, wrap: Callable[[Any], Any]
) -> list[tuple[float, Tensor]]:
    """Losses and gradients of a small model in autocast, at several sizes.

    Weights and spectra are small whole numbers, and n and B powers of two, so that every product
    and sum on the way fits in 8 bits: nothing is rounded, in any order.
    """
    model = torch.nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(4) + torch.ones(4, 4))

    def step(x: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=half):
            return loss(model(x), x, mask, reduction=reduction)

    step = wrap(step)
    results = []
    # Not 4 rows at first: torch.compile takes dimensions that are equal in the first call for one.
    for rows, columns in ((8, 2), (2, 4), (16, 1), (8, 0)):
        x = (torch.arange(rows * 4).reshape(rows, 4) % 3 - 1).float()
        mask = torch.zeros(rows, 4, dtype=torch.bool)
        mask[:, :columns] = True
        model.zero_grad()
        value = step(x, mask)
        assert value.dtype == torch.float32
        value.backward()
        assert model.weight.grad is not None
        results.append((value.item(), model.weight.grad.clone()))
    return results


@pytest.mark.parametrize(
    ("reduction", "backend", "half"),
    [
        *((reduction, "aot_eager", half) for reduction in REDUCTIONS for half in HALF_DTYPES),
        pytest.param("mean", "inductor", torch.bfloat16, marks=needs_cpp),
    ],
)
def test_compiled_training_step_in_autocast(
    reduction: str, backend: str, half: torch.dtype
) -> None:
    """Model and loss compiled together give the eager losses and gradients, in one graph."""
    counting = Counting(backend)
    got = trained(
        masked_mse,
        reduction,
        half,
        lambda f: torch.compile(f, fullgraph=True, dynamic=True, backend=counting),
    )
    wanted = trained(masked_mse, reduction, half, lambda f: f)
    assert counting.graphs == 1
    assert [value for value, _ in got] == [value for value, _ in wanted]
    assert [value == 0.0 for value, _ in got] == [False, False, False, True]
    for (_, gradient), (_, eager) in zip(got, wanted, strict=True):
        assert torch.equal(gradient, eager)


@either_loss
@any_reduction
def test_exported_saved_and_loaded(loss: Loss, reduction: str, tmp_path: Path) -> None:
    """With B and L dynamic, from a file, the program is right at sizes not seen before."""

    class Module(torch.nn.Module):
        def forward(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
            return loss(x_recon, x, mask, reduction=reduction)

    sizes = {0: torch.export.Dim("B", min=1), 1: torch.export.Dim("L", min=1)}
    first = tuple(t.detach() for t in random_inputs((4, 6), 0.5, torch.float16, torch.float32))
    program = torch.export.export(
        Module(), first, dynamic_shapes={"x_recon": sizes, "x": sizes, "mask": sizes}
    )
    torch.export.save(program, tmp_path / "loss.pt2")
    loaded = torch.export.load(tmp_path / "loss.pt2").module()
    for shape, share in (*BATCHES, ((1, 1), 1.0), ((1, 30), 0.5)):
        inputs = random_inputs(shape, share, torch.float16, torch.float32)
        check(lambda *tensors, reduction: loaded(*tensors), inputs, reduction)
