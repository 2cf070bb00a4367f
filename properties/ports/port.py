"""A program in any language as a subject: `--command "./port"`, by the protocol of docs/ports.md.

Value and gradient are asked of the program, each with all its inputs, so that whatever judges a
function in this process judges it. What cannot be asked of another process is not claimed: a
property that would look at this side of the pipes only would pass for any program at all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import targets
from ..judge.violation import Ended, Violation
from ..subject import Claims
from .pipes import Fault, NoAnswer, Program, Wired

MOST_ENDS = 3
_DEFAULT: Any = object()


class Port:
    """A program with what it claims, started again where it has ended.

    Attributes:
        program: what is asked.
        claims: what it says of itself.
        ended: how it ended since `restart`. Nothing more is asked until then, since the next
            calls would be judged of a program that has not made the first ones.
    """

    claims: Claims

    def __init__(self, command: str) -> None:
        self.command = command
        self.program = Program(command)
        self.ended: Ended | None = None
        self._what: list[str] = []
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Ask a new process from now on, unless too many have ended."""
        if self.ended is not None and len(self._what) >= MOST_ENDS:
            self.ended = Ended(
                f"the program has ended {len(self._what)} times, and is not started again",
                got="; ".join(self._what),
                wanted="a program that answers",
            )
        else:
            self.ended = None

    def ask(
        self, function: str, reduction: str | None, want: Sequence[str], given: dict[str, Tensor]
    ) -> list[Tensor]:
        """What is wanted, of a call with these tensors.

        Raises:
            TypeError, ValueError: the program refuses the call.
            Ended: it gives no answer.
        """
        tensors = [_wired(name, tensor) for name, tensor in given.items()]
        with self._lock:
            if self.ended is not None:
                raise self.ended
            try:
                if not self.program.runs:
                    self.program.start()
                answer = self.program.ask(function, reduction, want, tensors)
            except NoAnswer as error:
                self._what.append(error.what)
                self.ended = self._end(error, function, reduction, want, tensors)
                raise self.ended from None
        if isinstance(answer, Fault):
            raise (TypeError if answer.kind == "dtype" else ValueError)(answer.message)
        return [_tensor(each) for each in answer]

    def _end(
        self,
        error: NoAnswer,
        function: str,
        reduction: str | None,
        want: Sequence[str],
        tensors: list[Wired],
    ) -> Ended:
        shown = ", ".join(f"{t.name} {t.dtype} {t.shape}" for t in tensors)
        given = "" if reduction is None else f", reduction={reduction!r}"
        return Ended(
            f"{error.what}; it was asked for {' and '.join(want)} of {function}({shown}{given})",
            got=error.got,
            wanted="an answer, or a refusal, as docs/ports.md describes them",
            script=_script(self.command, function, given, tensors),
        )


def _script(command: str, function: str, given: str, tensors: list[Wired]) -> str | None:
    """A program that asks the same, or None where its numbers would fill pages."""
    if any(len(t.data) > 512 or t.dtype.startswith("q") for t in tensors):
        return None
    lines = ["import torch", "from wavemae.properties import load_subject", ""]
    for tensor in tensors:
        made = f"torch.empty({tensor.shape}, dtype=torch.{tensor.dtype})"
        if tensor.data:
            held = f"bytearray.fromhex({tensor.data.hex()!r}), dtype=torch.{tensor.dtype}"
            made = f"torch.frombuffer({held}).reshape({tensor.shape})"
        lines.append(f"{tensor.name} = {made}")
    lines.append(f"port = load_subject({targets.COMMAND + command!r})")
    call = f"port.{function}(x_recon, x, mask{given})"
    if tensors[-1].name != "upstream":
        return "\n".join([*lines, f"print({call})"])
    lines += ["x_recon.requires_grad_(), x.requires_grad_()", f"loss = {call}"]
    return "\n".join([*lines, "print(torch.autograd.grad(loss, (x_recon, x), upstream))"])


class PortLoss:
    """`masked_sse` or `masked_mse` of a port."""

    def __init__(self, port: Port, function: str) -> None:
        self.port = port
        self.__name__ = function

    def __call__(self, x_recon: Any, x: Any, mask: Any, *, reduction: Any = _DEFAULT) -> Tensor:
        """Ask the program.

        Raises:
            TypeError: it refuses a dtype; or, before it is asked, something is no strided tensor.
            ValueError: it refuses a shape or a reduction; or a tensor is not on the CPU.
            Ended: it gives no answer.
        """
        given = {"x_recon": x_recon, "x": x, "mask": mask}
        _crosses(given, reduction)
        if not self.port.claims.strict_inputs:
            _good(given, reduction, self.port.claims)
        reduction = None if reduction is _DEFAULT else reduction
        wanted = any(tensor.requires_grad for tensor in given.values())
        if self.port.claims.gradients and wanted and torch.is_grad_enabled():
            loss: Tensor = _Asked.apply(self.port, self.__name__, reduction, *given.values())
            return loss.clone()  # for what comes out of a Function may be a view
        return self.port.ask(self.__name__, reduction, ["value"], given)[0]


class _Asked(torch.autograd.Function):
    """The value, and its gradients when the upstream gradient is known."""

    @staticmethod
    def forward(
        ctx: Any, port: Port, function: str, reduction: str | None, *given: Tensor
    ) -> Tensor:
        named = dict(zip(("x_recon", "x", "mask"), given, strict=True))
        (value,) = port.ask(function, reduction, ["value"], named)
        ctx.call = port, function, reduction
        ctx.save_for_backward(*given)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        port, function, reduction = ctx.call
        given = dict(zip(("x_recon", "x", "mask"), ctx.saved_tensors, strict=True))
        names = [n for n, needed in zip(given, ctx.needs_input_grad[3:5], strict=False) if needed]
        want = [f"grad_{name}" for name in names]
        answer = port.ask(function, reduction, want, {**given, "upstream": upstream})
        found = dict(zip(names, answer, strict=True))
        for name, gradient in found.items():  # torch would convert it without a word
            like = given[name]
            if gradient.dtype != like.dtype or gradient.shape != like.shape:
                raise Violation(
                    f"the gradient of {name} has another kind than {name}",
                    got=f"{gradient.dtype}, {tuple(gradient.shape)}",
                    wanted=f"{like.dtype}, {tuple(like.shape)}",
                )
        return None, None, None, found.get("x_recon"), found.get("x"), None


def _crosses(given: dict[str, Any], reduction: Any) -> None:
    """Raise for what the protocol has no words for."""
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"{name} must be a torch.Tensor to cross to a port, got {kind}")
        if tensor.layout is not torch.strided or tensor.is_nested:
            raise TypeError(f"{name} must be strided to cross to a port, got {tensor.layout}")
        if tensor.device.type != "cpu":
            raise ValueError(f"{name} must be on the CPU to cross to a port, got {tensor.device}")
    if reduction is not _DEFAULT and not isinstance(reduction, str):
        raise TypeError(f"reduction must be a string to cross to a port, got {reduction!r}")


def _good(given: dict[str, Tensor], reduction: Any, claims: Claims) -> None:
    """Raise for a bad call in place of a program that does not claim to, and is not given any."""
    shape = given["x_recon"].shape
    for name, tensor in given.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in (("bool",) if name == "mask" else claims.dtypes):
            raise TypeError(f"{name} has dtype {dtype}, which this port does not take")
        if tensor.shape != shape or tensor.ndim != 2:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, which this port is not given"
            )
    if reduction is not _DEFAULT and reduction not in claims.reductions:
        raise ValueError(f"reduction {reduction!r} is none of {claims.reductions}")


def _wired(name: str, tensor: Tensor) -> Wired:
    dtype = str(tensor.dtype).removeprefix("torch.")
    shape = tuple(tensor.shape)
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    # A single row or column is contiguous with any stride, and cannot be looked at as bytes then.
    plain = torch.empty(tensor.numel(), dtype=tensor.dtype)
    plain.copy_(tensor.resolve_conj().resolve_neg().reshape(-1))
    return Wired(name, dtype, shape, plain.view(torch.uint8).numpy().tobytes())


def _tensor(wired: Wired) -> Tensor:
    dtype = getattr(torch, wired.dtype)
    if not wired.data:
        return torch.empty(wired.shape, dtype=dtype)
    return torch.frombuffer(bytearray(wired.data), dtype=dtype).reshape(wired.shape)
