"""What one call must do: C3 to C15 of the contract, asked of an answer in whatever situation.

This is the one place that says it. A situation makes calls in its own way and gives back an
`Answer`; all of this is asked of each, save what the situation says cannot be asked there.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..inputs import internals
from ..inputs.cases import NAMES, Case, Inputs
from . import ambient, oracle
from .bits import same_bits
from .probe import Probe
from .violation import Violation

# The parts of the contract that are asked of a call, by the clause that owns them.
PARTS = frozenset(["C4", "C5", "C6", "C7", "C8", "C9", "C11", "C12", "C13", "C14", "C16"])
VALUE_PARTS = frozenset(["C4", "C6", "C7", "C9"])
GRADIENT_PARTS = frozenset(["C11", "C12"])
HIDING_PARTS = frozenset(["C8", "C12", "C14"])  # for which a call is made with and without poison


@dataclass
class Answer:
    """What a call in some situation gave.

    Attributes:
        value: the loss.
        gradients: by input, those that were pulled; none where the situation takes none.
        upstream: the gradient that reached the loss; None for the case's own.
        inference: the value was made under inference mode, and may be an inference tensor.
        free: the value comes from a transform, which decides what requires grad and is in memory.
    """

    value: Any
    gradients: dict[str, Any] = field(default_factory=dict)
    upstream: float | None = None
    inference: bool = False
    free: bool = False


class Contract:
    """Judges the answers to one case in one situation; `parts` are the clauses that are asked."""

    def __init__(
        self,
        probe: Probe,
        case: Case,
        *,
        parts: frozenset[str] = PARTS,
        ordered: bool = True,
        siblings: Sequence[str] = (),
    ) -> None:
        self.probe, self.case = probe, case
        self.parts, self.ordered, self.siblings = parts, ordered, siblings
        self.truth = truth(case)
        self._first: tuple[Tensor, dict[str, Tensor]] | None = None

    def fail(self, part: str, what: str, got: Any, wanted: Any, bound: str = "exact") -> None:
        """Raise a violation of the clause `part`, where that is asked."""
        if part in self.parts:
            raise Violation(what, got=got, wanted=wanted, bound=bound, case=self.case, part=part)

    def judge(self, answer: Answer, inputs: Inputs) -> None:
        """Raise a Violation unless the answer to the case on these tensors is right."""
        value = answer.value
        if not self._right_kind(answer, inputs):
            return
        if self._first is not None:  # whatever is wrong now and was right before was hidden
            self._same_whatever_is_hidden(value, answer)
        self._right_value(value, inputs)
        if self.parts & GRADIENT_PARTS:
            for name, gradient in answer.gradients.items():
                self._right_gradient(name, gradient, answer, inputs)
        if not answer.free:
            self._own_memory(answer, inputs)
        if self._first is None:
            self._same_whatever_is_hidden(value, answer)

    def judge_gradients(self, found: dict[str, Any], inputs: Inputs, upstream: float) -> None:
        """C11 and C12 for gradients that were pulled with another upstream gradient."""
        for name, gradient in found.items():
            self._right_gradient(name, gradient, Answer(None, upstream=upstream), inputs)

    def _right_kind(self, answer: Answer, inputs: Inputs) -> bool:
        value = answer.value
        if not isinstance(value, Tensor):
            self.fail("C5", "the result is not a tensor", type(value).__name__, "a 0-d tensor")
            return False
        wanted = (self.probe.wanted_dtype(inputs), (), inputs.x.device)
        got = (value.dtype, tuple(value.shape), value.device)
        if got != wanted:
            dtype, shape, device = got
            self.fail(
                "C5",
                "the result is of another kind",
                f"{dtype}, shape {shape}, on {device}",
                f"{wanted[0]}, shape (), on {wanted[2]}",
            )
            return value.ndim == 0 and value.is_floating_point()
        if value.is_inference() and not answer.inference:
            self.fail("C5", "the result is an inference tensor", "an inference tensor", "another")
        return True

    def _right_value(self, value: Tensor, inputs: Inputs) -> None:
        if not self.parts & VALUE_PARTS:
            return
        dtype = self.probe.coarser(value, inputs)
        roundoffs = self.probe.roundoffs(self.truth, dtype, ordered=self.ordered)
        reduction = self.case.effective_reduction
        fault = oracle.value_fault(
            value.detach(), self.truth, reduction, dtype=dtype, roundoffs=roundoffs
        )
        if fault:
            self.fail(self._owner(value), "the value is wrong", value, *fault)
        elif self.truth.selected == 0 and math.copysign(1.0, value.item()) < 0:
            self.fail("C7", "nothing is masked, and the value is −0.0", value, "+0.0")

    def _owner(self, value: Tensor) -> str:
        """The clause that a wrong value breaks."""
        if self.truth.selected == 0:
            return "C7"
        total = self.truth.reduced(self.case.effective_reduction)
        if isinstance(total, str):
            return "C9"
        got = value.item()
        if not math.isfinite(got) or total > oracle.format_of(value.dtype).largest:
            return "C6"
        return "C6" if abs(got - float(total)) <= 1e-3 * float(total) else "C4"

    def _right_gradient(self, name: str, gradient: Any, answer: Answer, inputs: Inputs) -> None:
        part = "C12" if self.truth.selected == 0 else "C11"
        like = getattr(inputs, name)
        kind = f"{like.dtype}, shape {tuple(like.shape)}"
        if not isinstance(gradient, Tensor):
            return self.fail(part, f"no gradient reaches {name}", gradient, f"one of {kind}")
        if gradient.dtype != like.dtype or gradient.shape != like.shape:
            got = f"{gradient.dtype}, shape {tuple(gradient.shape)}"
            self.fail(part, f"the gradient of {name} is of another kind", got, kind)
            if gradient.shape != like.shape:
                return None
        if self.siblings and name in self.siblings and isinstance(self.truth.total, str):
            return None  # an input that mapped calls share collects what the others make of it
        upstream = self.case.upstream if answer.upstream is None else answer.upstream
        if self.case.shared == "same":
            return self._no_gradient_twice(gradient, upstream)
        outside = gradient[~inputs.mask.to(gradient.device)]
        if bool((outside != 0).any()):
            leaked = outside[outside != 0][0]
            what = f"the gradient of {name} outside the mask is not zero"
            return self.fail("C12", what, leaked, "0")
        if not math.isfinite(upstream):
            return None
        fault = oracle.gradient_fault(
            gradient.to(like.dtype),
            inputs,
            self.case.effective_reduction,
            sign=1 if name == "x_recon" else -1,
            upstream=upstream,
        )
        if fault:
            (row, column), found, wanted, bound = fault
            what = f"the gradient of {name} is wrong at [{row}, {column}]"
            self.fail(part, what, repr(found), repr(wanted), f"± {bound:.3g}")
        return None

    def _no_gradient_twice(self, gradient: Tensor, upstream: float) -> None:
        """One tensor for both inputs: the two gradients cancel, where they are finite at all."""
        finite = math.isfinite(upstream) and not isinstance(self.truth.total, str)
        if finite and bool((gradient != 0).any()):
            got = gradient[gradient != 0][0]
            self.fail("C11", "x is x_recon, and its two gradients do not cancel", got, "0")

    def _own_memory(self, answer: Answer, inputs: Inputs) -> None:
        owners = {
            tensor.untyped_storage().data_ptr(): f"the input {name}"
            for name, tensor in zip(NAMES, inputs, strict=True)
            if tensor.numel()
        }
        for name, tensor in {"the result": answer.value, **answer.gradients}.items():
            if not isinstance(tensor, Tensor) or not tensor.numel():
                continue
            address = tensor.untyped_storage().data_ptr()
            words = name if name == "the result" else f"the gradient of {name}"
            if address in owners:
                self.fail(
                    "C14", f"{words} shares memory with {owners[address]}", "one memory", "two"
                )
            owners[address] = words

    def _same_whatever_is_hidden(self, value: Tensor, answer: Answer) -> None:
        gradients = {
            name: gradient.detach() + 0.0  # a zero's sign is left open
            for name, gradient in answer.gradients.items()
            if isinstance(gradient, Tensor)
        }
        if self._first is None:
            self._first = value.detach().clone(), gradients
            return
        before, was = self._first
        if not same_bits(value, before):
            self.fail("C8", "the value changes with what stands outside the mask", value, before)
        upstream = self.case.upstream if answer.upstream is None else answer.upstream
        if self.case.shared == "same" or not math.isfinite(upstream):
            return
        for name, gradient in gradients.items():
            if name in was and name not in self.siblings and not same_bits(gradient, was[name]):
                what = f"the gradient of {name} changes with what stands outside the mask"
                self.fail("C12", what, gradient, was[name])


def truth(case: Case) -> oracle.Exact:
    """The exact sum of a case; what stands outside the mask and who asks does not matter."""
    plain = case.but(function="masked_sse", reduction="sum", grads=(), upstream=1.0, born="leaf")
    return _truth(unpoisoned(plain))


@functools.lru_cache(maxsize=4096)
def _truth(case: Case) -> oracle.Exact:
    return oracle.exact(case.build())


def unpoisoned(case: Case) -> Case:
    """The case with its own values outside the mask."""
    if case.x_recon.outside is None and case.x.outside is None:
        return case
    return case.but(x_recon__outside=None, x__outside=None)


def nothing_masked(case: Case) -> bool:
    """Whether C7 and the end of C12 are about this case."""
    return truth(case).selected == 0


def not_finite(case: Case) -> bool:
    """Whether C9 is about this case."""
    return isinstance(truth(case).total, str)


def hides(case: Case) -> bool:
    """Whether something of its own stands outside the mask."""
    return case.x_recon.outside is not None or case.x.outside is not None


class Untouched:
    """C14: compares tensors with what they were: bytes, version, strides, what they require."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.tensors = {
            name: t for name, t in tensors.items() if isinstance(t, Tensor) and not t.is_meta
        }
        self.memory = {name: _memory(tensor).clone() for name, tensor in self.tensors.items()}
        self.traits = {name: _traits(tensor) for name, tensor in self.tensors.items()}

    def changed(self) -> list[str]:
        """What is not as it was, in words."""
        words = []
        for name, tensor in self.tensors.items():
            memory, bytes_before = _memory(tensor), self.memory[name]
            if memory.dtype != bytes_before.dtype or not torch.equal(memory, bytes_before):
                words.append(f"{name}: values")
            now, before = _traits(tensor), self.traits[name]
            words += [f"{name}: {trait}" for trait in now if now[trait] != before[trait]]
        return words


def _memory(tensor: Tensor) -> Tensor:
    """All bytes that the tensor's storage holds, eight at a time where that comes out even."""
    memory = tensor.detach().untyped_storage()
    dtype = torch.uint8 if memory.nbytes() % 8 else torch.int64
    return torch.empty(0, dtype=dtype, device=tensor.device).set_(memory)


def _traits(tensor: Tensor) -> dict[str, Any]:
    return {
        "version": 0 if tensor.is_inference() else internals.version(tensor),
        "requires_grad": tensor.requires_grad,
        "strides": (tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype),
        "memory": tensor.detach().untyped_storage().data_ptr(),
        "hooks": (internals.hooks(tensor), tensor.is_neg()),
        ".grad": None if not tensor.is_leaf or tensor.grad is None else id(tensor.grad),
    }


@contextlib.contextmanager
def state_kept(contract: Contract) -> Iterator[None]:
    """C16: the globals that cost little to read are compared around a call, in its own context."""
    if "C16" not in contract.parts:
        yield
        return
    before = ambient.quick_snapshot()
    yield
    changed = ambient.differences(before, ambient.quick_snapshot())
    if changed:
        contract.fail("C16", "the call changed globals", "; ".join(changed), "as before")
