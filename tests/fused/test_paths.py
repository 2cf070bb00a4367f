"""Which path takes what: the table in the docstring of wavemae.fused, row by row."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from wavemae import fused
from wavemae.fused import cpu, internals, native
from wavemae.fused.autograd import Kernels
from wavemae.models import losses

from ..worked_example import GRAD_OF_SUM, MASK, X_RECON, X


class Recorder:
    """Kernels for the CPU, noting each time that one of them is called."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.called: list[str] = []

    def reduced(self, *arguments: Any) -> Any:
        """As the kernel of that name."""
        self.called.append("reduced")
        return self.kernels.reduced(*arguments)

    def gradients(self, *arguments: Any) -> Any:
        """As the kernel of that name."""
        self.called.append("gradients")
        return self.kernels.gradients(*arguments)


Sum = Callable[..., Tensor]


@pytest.fixture(params=["native", "operators"])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    """Kernels that remember: the native ones, and those that take their place."""
    if request.param == "native" and not native.is_available():
        pytest.skip(native.status())
    return Recorder(native if request.param == "native" else cpu)


@pytest.fixture
def sum_of(recorder: Recorder) -> Sum:
    """`reduction="sum"` by those kernels, or by whatever takes their place."""
    return functools.partial(fused._loss, reduction="sum", kernels_for=lambda device: recorder)


def by_definition(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """The definition's sum."""
    return losses.masked_sse(x_recon, x, mask, reduction="sum")


def leaf(tensor: Tensor) -> Tensor:
    """A copy that requires grad."""
    return tensor.clone().requires_grad_()


def expanded(tensor: Tensor) -> Tensor:
    """The first row, repeated without memory of its own."""
    return tensor[:1].expand(tensor.shape)


def test_devices() -> None:
    """The CPU has kernels, native ones where they are built; meta and others have none."""
    assert fused._kernels("cpu") is (native if native.is_available() else cpu)
    assert fused._kernels("meta") is None
    assert fused._kernels("mps") is None


def layouts() -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Names and makers of tensors that are not dense in row order."""
    yield "transposed", lambda t: t.t().contiguous().t()
    yield "strided", lambda t: t.repeat_interleave(2, 1)[:, ::2]
    yield "expanded", expanded
    yield "negated", lambda t: t if t.dtype == torch.bool else torch.complex(t, -t).conj().imag


@pytest.mark.parametrize("layout", [pytest.param(make, id=name) for name, make in layouts()])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kernels_take_every_layout_and_dtype(
    sum_of: Sum, recorder: Recorder, layout: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    """Forward and backward are the kernels' for all strides and dtypes of C2, and right."""
    x_recon, x, mask = layout(X_RECON).to(dtype).detach().requires_grad_(), layout(X), layout(MASK)
    loss = sum_of(x_recon, x, mask)
    (gradient,) = torch.autograd.grad(loss, x_recon)
    assert recorder.called == ["reduced", "gradients"]
    wanted = by_definition(x_recon, x, mask)
    assert torch.equal(loss, wanted)
    assert torch.equal(gradient, torch.autograd.grad(wanted, x_recon)[0])


def test_without_grad_no_node() -> None:
    """Where nothing requires grad or grad mode is off, no node of autograd is made."""
    assert fused.masked_mse(X_RECON, X, MASK).grad_fn is None
    with torch.no_grad():
        assert fused.masked_mse(leaf(X_RECON), X, MASK).grad_fn is None


def test_create_graph_uses_plain_operators(sum_of: Sum, recorder: Recorder) -> None:
    """A backward that is to be differentiated is not the kernels'."""
    x_recon = leaf(X_RECON)
    (gradient,) = torch.autograd.grad(sum_of(x_recon, X, MASK), x_recon, create_graph=True)
    assert recorder.called == ["reduced"]
    assert torch.equal(gradient, GRAD_OF_SUM)
    (second,) = torch.autograd.grad(gradient.sum(), x_recon)
    assert torch.equal(second, 2.0 * MASK)


def test_many_gradients_at_once_use_plain_operators(sum_of: Sum, recorder: Recorder) -> None:
    """`is_grads_batched` maps over the backward, which kernels cannot be mapped over."""
    x_recon = leaf(X_RECON)
    upstream = torch.tensor([1.0, -2.0])
    (found,) = torch.autograd.grad(
        sum_of(x_recon, X, MASK), x_recon, upstream, is_grads_batched=True
    )
    assert recorder.called == ["reduced"]
    assert torch.equal(found, upstream[:, None, None] * GRAD_OF_SUM)


def test_compiled_code_is_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """torch.compile traces the definition, in one graph."""
    compiled = torch.compile(lambda *inputs: sum_of(*inputs), fullgraph=True, backend="eager")
    assert compiled(X_RECON, X, MASK).item() == 13.5
    assert recorder.called == []


def test_exported_code_is_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """So does torch.export."""

    class Module(torch.nn.Module):
        """The loss."""

        def forward(self, x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
            """The loss."""
            return sum_of(x_recon, x, mask)

    program = torch.export.export(Module(), (X_RECON, X, MASK)).module()
    assert program(X_RECON, X, MASK).item() == 13.5
    assert recorder.called == []


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and warns of every check
def test_traced_code_is_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """make_fx and torch.jit.trace see the definition's operators, not one size's blocks."""
    graph = make_fx(sum_of)(X_RECON, X, MASK)
    assert graph(X_RECON, X, MASK).item() == 13.5
    script = torch.jit.trace(lambda *inputs: sum_of(*inputs), (X_RECON, X, MASK), check_trace=False)
    assert script(X_RECON, X, MASK).item() == 13.5
    assert recorder.called == []


def test_fake_mode_is_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """Fake tensors, and real ones under their mode, do not reach kernels."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        sum_of(mode.from_tensor(X_RECON), mode.from_tensor(X), mode.from_tensor(MASK))
        sum_of(X_RECON, X, MASK)
    assert recorder.called == []


def test_other_modes_watch_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """A mode sees operators, and not a kernel that is none; in backward too."""

    class Counter(TorchDispatchMode):
        """Counts operators."""

        seen = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kw: Any = None) -> Any:
            self.seen += 1
            return func(*args, **(kw or {}))

    with Counter() as counter:
        assert sum_of(X_RECON, X, MASK).item() == 13.5
    assert recorder.called == []
    assert counter.seen
    x_recon = leaf(X_RECON)
    loss = sum_of(x_recon, X, MASK)
    assert recorder.called == ["reduced"]
    with counter:
        (gradient,) = torch.autograd.grad(loss, x_recon)
    assert recorder.called == ["reduced"]
    assert torch.equal(gradient, GRAD_OF_SUM)


def test_without_a_name_of_torch_all_is_the_definition(
    sum_of: Sum, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a version of torch lack a name that is not public, nothing breaks."""
    monkeypatch.setitem(internals.REASONS, "_C._gone", "for this test")
    monkeypatch.setattr(internals, "MISSING", internals._missing())
    assert internals.MISSING == "_C._gone"
    assert sum_of(X_RECON, X, MASK).item() == 13.5
    assert recorder.called == []


def test_names_with_an_underscore_live_in_one_file() -> None:
    """No other file of fused reaches into torch, but for Triton's, which is triton's own."""
    files = Path(fused.__file__).parent.glob("*.py")
    reaching = [f.name for f in files if re.search(r"\b(torch|forward_ad)\._", f.read_text())]
    assert reaching == ["internals.py"]


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(lambda f: torch.func.grad(f)(X_RECON, X, MASK), id="grad"),
        pytest.param(lambda f: torch.func.jacrev(f)(X_RECON, X, MASK), id="jacrev"),
        pytest.param(lambda f: torch.func.jacfwd(f)(X_RECON, X, MASK), id="jacfwd"),
        pytest.param(
            lambda f: torch.func.vmap(torch.func.grad(f))(*(t[None] for t in (X_RECON, X, MASK)))[
                0
            ],
            id="vmap",
        ),
    ],
)
def test_transforms_are_the_definition(
    sum_of: Sum, recorder: Recorder, transform: Callable[[Sum], Tensor]
) -> None:
    """torch.func sees operators that it has rules for."""
    assert torch.equal(transform(sum_of), GRAD_OF_SUM)
    assert recorder.called == []


def test_forward_mode_is_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """Dual numbers carry their tangent through."""
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(X_RECON, torch.ones_like(X))
        tangent = forward_ad.unpack_dual(sum_of(dual, X, MASK)).tangent
    assert tangent is not None
    assert tangent.item() == GRAD_OF_SUM.sum().item()
    assert recorder.called == []


def test_subclasses_are_the_definition(sum_of: Sum, recorder: Recorder) -> None:
    """A subclass keeps its own ways; a Parameter is no such subclass."""

    class Spectrum(Tensor):
        """A tensor by another name."""

    assert sum_of(X_RECON.as_subclass(Spectrum), X, MASK).item() == 13.5
    assert recorder.called == []
    assert sum_of(torch.nn.Parameter(X_RECON), X, MASK).item() == 13.5
    assert recorder.called == ["reduced"]


def test_inference_tensors_meet_gradients(sum_of: Sum, recorder: Recorder) -> None:
    """A target made in inference mode cannot be saved, and need not be."""
    with torch.inference_mode():
        x = X.clone()
        assert sum_of(X_RECON, x, MASK).item() == 13.5
    assert recorder.called == ["reduced"]
    x_recon = leaf(X_RECON)
    sum_of(x_recon, x, MASK).backward()
    assert x_recon.grad is not None
    assert torch.equal(x_recon.grad, GRAD_OF_SUM)
    assert recorder.called == ["reduced"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((X_RECON, X, MASK.float()), TypeError),
        ((X_RECON.to_sparse(), X, MASK), TypeError),
        ((X_RECON, X[:1], MASK), ValueError),
        ((X_RECON[0], X[0], MASK[0]), ValueError),
        ((None, X, MASK), TypeError),
    ],
)
def test_refusals_are_the_definition(
    sum_of: Sum, recorder: Recorder, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """What C3 refuses is refused in the definition's words."""
    with pytest.raises(error) as fused_error:
        sum_of(*arguments)
    with pytest.raises(error) as wanted:
        by_definition(*arguments)
    assert str(fused_error.value) == str(wanted.value)
    assert recorder.called == []
