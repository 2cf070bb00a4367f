"""Ways to make a call: what the slot `wrap` of a situation takes, and the contexts for `around`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, func
from torch.utils.checkpoint import checkpoint

from ..inputs import internals
from ..inputs.source import remembered
from .acts import Call
from .program import Context
from .situation import Wrap


@contextlib.contextmanager
def set_to(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """Another value of one of torch's settings, for a while."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def default_dtype(dtype: torch.dtype) -> Context:
    """Another default dtype."""
    return partial(set_to, torch.get_default_dtype, torch.set_default_dtype, dtype)


def threads(count: int) -> Context:
    """So many threads for torch."""
    return partial(set_to, torch.get_num_threads, torch.set_num_threads, count)


def saved_elsewhere(loss: Call) -> Call:
    """Hooks on saved tensors that bring back a contiguous copy; the first calls the loss itself."""

    def call(*arguments: Any, **named: Any) -> Any:
        again = [[t.detach().clone() if isinstance(t, Tensor) else t for t in arguments]]

        def copied(tensor: Tensor) -> Tensor:
            if again:
                loss(*again.pop(), **named)
            return tensor.detach().clone(memory_format=torch.contiguous_format)

        with torch.autograd.graph.saved_tensors_hooks(copied, copied):
            return loss(*arguments, **named)

    return call


def checkpointed(loss: Call) -> Call:
    """As a checkpointed part of a model: made again in backward, and then broken off midway."""

    def call(*arguments: Any, **named: Any) -> Any:
        return checkpoint(loss, *arguments, use_reentrant=False, **named)

    return call


deterministic: Context = partial(
    set_to, torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
)
low_precision: Context = partial(
    set_to, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
)


@remembered
def under(context: Context) -> Wrap:
    """The call inside a context, its backward outside."""

    def wrap(loss: Call) -> Call:
        def call(*arguments: Any, **named: Any) -> Any:
            with context():
                return loss(*arguments, **named)

        return call

    return wrap


@remembered
def autocast(dtype: torch.dtype) -> Wrap:
    """The call under autocast on the device of its inputs, its backward outside."""

    def wrap(loss: Call) -> Call:
        def call(*arguments: Any, **named: Any) -> Any:
            devices = [t.device.type for t in arguments if isinstance(t, Tensor)]
            with torch.autocast(devices[0] if devices else "cpu", dtype=dtype):
                return loss(*arguments, **named)

        return call

    return wrap


@remembered
def in_turn(*wraps: Wrap) -> Wrap:
    """The call in one of several ways: its sizes decide in which."""

    def wrap(loss: Call) -> Call:
        wrapped = [each(loss) for each in wraps]

        def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
            sizes = enumerate(getattr(mask, "shape", ()))
            number = sum(size * 31**dimension for dimension, size in sizes)
            return wrapped[number % len(wrapped)](x_recon, x, mask, **named)

        return call

    return wrap


@remembered
def after(before: Callable[..., None]) -> Wrap:
    """Something happens with the function before each call."""

    def wrap(loss: Call) -> Call:
        def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
            if all(isinstance(t, Tensor) for t in (x_recon, x, mask)):
                before(loss, x_recon, x, mask, **named)
            return loss(x_recon, x, mask, **named)

        return call

    return wrap


def thirty_calls(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """Calls on other numbers of the same kind."""
    for number in range(30):
        other = torch.full_like(x_recon.detach(), number).requires_grad_(x_recon.requires_grad)
        with contextlib.suppress(TypeError, ValueError):
            loss(other, x.detach(), mask.clone(), **named)


def refused_calls(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """Calls that have to be refused."""
    bad = ((x_recon, x, mask.to(torch.uint8)), (x_recon, x, mask[:, :0]), (mask, x, mask))
    for given in bad:
        with contextlib.suppress(Exception):
            loss(*given, **named)
    with contextlib.suppress(Exception):
        loss(x_recon, x, mask, reduction="none")


def inference_call(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same call under inference_mode."""
    with torch.inference_mode():
        loss(x_recon.detach().clone(), x.detach().clone(), mask.clone(), **named)


def other_contents(loss: Call, x_recon: Tensor, x: Tensor, mask: Tensor, **named: Any) -> None:
    """The same tensors with other contents, changed behind the version counter and put back."""
    memories = {t.data_ptr(): t for t in (t.untyped_storage() for t in (x_recon, x, mask))}
    wholes = [torch.empty(0, dtype=torch.uint8).set_(memory) for memory in memories.values()]
    for whole in wholes:
        whole ^= 1
    for number in range(70):  # as a benchmark calls it, before the contents are as they were
        with torch.set_grad_enabled(number % 2 == 1):
            loss(x_recon, x, mask, **named)
    for whole in wholes:
        whole ^= 1


@remembered
def compiled(*, backend: str = "eager", fullgraph: bool = True) -> Wrap:
    """Compiled with dynamic shapes: one compiled function for all calls of a kind."""
    made: dict[Any, Call] = {}

    def wrap(loss: Call) -> Call:
        def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
            kind = (loss, repr(named), *(getattr(t, "dtype", type(t)) for t in (x_recon, x)))
            if kind not in made:
                made[kind] = torch.compile(
                    lambda *t: loss(*t, **named), backend=backend, dynamic=True, fullgraph=fullgraph
                )
            return made[kind](x_recon, x, mask)

        return call

    return wrap


def ready_to_compile(backend: str = "eager") -> None:
    """Forget earlier graphs; the first compilation of a process imports what sets filters."""
    torch.compiler.reset()
    torch.compile(torch.square, backend=backend)(torch.ones(2, requires_grad=True))


@contextlib.contextmanager
def no_grad_and_autocast() -> Iterator[None]:
    """Both at once, whose ends put back whatever has become of them."""
    kinds = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    with torch.no_grad(), contextlib.ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, dtype=torch.bfloat16))
        yield


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """A process that belongs to a process group of four, whose other members do not exist.

    torch's own fake group: collectives return at once, and change nothing.
    """
    from torch import distributed

    hook = sys.excepthook
    distributed.init_process_group("fake", rank=0, world_size=4, store=internals.fake_store())
    try:
        sys.excepthook = hook  # torch puts its own there
        yield
    finally:
        distributed.destroy_process_group()


@remembered
def vmapped(dims: tuple[int | None, ...]) -> Wrap:
    """The middle one of three samples, of which the others have other inputs or masks."""

    def wrap(loss: Call) -> Call:
        def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
            given = []
            for dim, tensor in zip(dims, (x_recon, x, mask), strict=True):
                if dim is None:
                    given.append(tensor)
                    continue
                other = _sibling(tensor, dims)
                given.append(torch.stack([other, tensor, tensor.detach()], dim))
            return func.vmap(lambda *t: loss(*t, **named), in_dims=dims)(*given)[1]

        return call

    return wrap


def _sibling(tensor: Tensor, dims: tuple[int | None, ...]) -> Tensor:
    """Another sample; where it shares an input, it may see no more of it than the call does.

    Inputs that are shared collect the gradients of all samples, and those of 0 × NaN too.
    """
    if tensor.dtype != torch.bool:
        return torch.ones_like(tensor.detach())
    if dims[0] is not None and dims[1] is not None:
        return ~tensor
    half = torch.arange(tensor.numel()).reshape(tensor.shape) % 2 == 0
    return tensor & half


def nested(loss: Call) -> Call:
    """The last of two by two samples, under vmap inside vmap."""

    def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        def four(tensor: Tensor, a: Tensor, b: Tensor) -> Tensor:
            return torch.stack([torch.stack([a, b]), torch.stack([a, tensor])])

        given = [
            four(t, torch.full_like(t.detach(), n), t.detach()) for n, t in enumerate((x_recon, x))
        ]
        given.append(four(mask, ~mask, torch.ones_like(mask)))
        return func.vmap(func.vmap(lambda *t: loss(*t, **named)))(*given)[1, 1]

    return call
