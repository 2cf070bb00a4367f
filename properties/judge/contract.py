"""What one call must do, C4 to C9 and C11 to C14 of the contract, asked in whatever situation.

This is the one place that says it. A situation makes calls in its own way and gives back an
`Answer`; all of this is asked of each, save what the situation says cannot be asked there.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ..inputs import rows
from ..inputs.cases import NAMES, Case, Inputs
from . import ambient, claims, oracle
from .acts import Call, Found
from .bits import same_bits
from .probe import Probe
from .program import Scene, itself
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
        wrap: Any = itself,
        around: Any = contextlib.nullcontext,
    ) -> None:
        self.probe, self.case = probe, case
        self.scene = Scene(unpoisoned(case), wrap, around, device=probe.device)
        self.parts, self.ordered, self.siblings = parts, ordered, siblings
        self.truth = truth(case)
        self._first: tuple[Tensor, dict[str, Tensor]] | None = None

    def begin(self, built: Case) -> None:
        """The call is about to be made on the tensors of this case."""
        hidden = None if self._first is None else unpoisoned(self.case)
        self.scene = replace(self.scene, case=built, hidden=hidden)

    def act(self, act: Callable[..., Found], call: Call, inputs: Inputs, *arguments: Any) -> Found:
        """Make the call in that way, which the program of a finding then shows."""
        self.scene = replace(self.scene, act=act, arguments=arguments)
        return act(call, inputs, *arguments)

    def fail(
        self,
        part: str,
        what: str,
        got: Any,
        wanted: Any,
        bound: str = "exact",
        *,
        claim: claims.Claim,
    ) -> None:
        """Raise a violation of the clause `part`, where that is asked."""
        if part in self.parts:
            raise Violation(
                what,
                got=got,
                wanted=wanted,
                bound=bound,
                case=self.case,
                part=part,
                claim=claim,
                scene=self.scene,
            )

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

    def judge_gradients(
        self, found: dict[str, Any], inputs: Inputs, upstream: float, place: str
    ) -> None:
        """C11 and C12 for gradients that were pulled with another upstream gradient."""
        for name, gradient in found.items():
            self._right_gradient(name, gradient, Answer(None, upstream=upstream), inputs, place)

    def _right_kind(self, answer: Answer, inputs: Inputs) -> bool:
        value = answer.value
        if not isinstance(value, Tensor):
            what, claim = "the result is not a tensor", claims.is_tensor("loss")
            self.fail("C5", what, type(value).__name__, "a 0-d tensor", claim=claim)
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
                claim=claims.Claim(
                    "(loss.dtype, tuple(loss.shape), loss.device.type)",
                    f"got == ({wanted[0]}, (), {wanted[2].type!r})",
                ),
            )
            return value.ndim == 0 and value.is_floating_point()
        if value.is_inference() and not answer.inference:
            what, claim = (
                "the result is an inference tensor",
                claims.is_false("loss.is_inference()"),
            )
            self.fail("C5", what, "an inference tensor", "another", claim=claim)
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
            claim = claims.value(self.truth, reduction, dtype, roundoffs)
            self.fail(self._owner(value), "the value is wrong", value, *fault, claim=claim)
        elif self.truth.selected == 0 and math.copysign(1.0, value.item()) < 0:
            what, claim = "nothing is masked, and the value is −0.0", claims.positive("loss")
            self.fail("C7", what, value, "+0.0", claim=claim)

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

    def _right_gradient(
        self, name: str, gradient: Any, answer: Answer, inputs: Inputs, place: str = "found"
    ) -> None:
        part = "C12" if self.truth.selected == 0 else "C11"
        like, got = getattr(inputs, name), f'{place}["{name}"]'
        if not isinstance(gradient, Tensor):
            what, claim = f"no gradient reaches {name}", claims.is_tensor(got)
            kind = f"one of {like.dtype}, shape {tuple(like.shape)}"
            return self.fail(part, what, gradient, kind, claim=claim)
        if self.siblings and name in self.siblings and isinstance(self.truth.total, str):
            return None  # an input that mapped calls share collects what the others make of it
        upstream = self.case.upstream if answer.upstream is None else answer.upstream
        if self.case.shared == "same":
            return self._no_gradient_twice(gradient, upstream, got)
        outside = gradient[~inputs.mask.to(gradient.device)]
        if bool((outside != 0).any()):
            leaked = outside[outside != 0][0]
            what = f"the gradient of {name} outside the mask is not zero"
            return self.fail("C12", what, leaked, "0", claim=claims.all_zero(f"{got}[~mask]"))
        if not math.isfinite(upstream):
            return self._not_hidden(name, gradient, inputs, upstream, got)
        fault = oracle.gradient_fault(
            gradient.to(like.dtype),
            inputs,
            self.case.effective_reduction,
            sign=1 if name == "x_recon" else -1,
            upstream=upstream,
        )
        if fault:
            at, found, wanted, bound, beyond = fault
            what = f"the gradient of {name} is wrong at {[*at]}"
            claim = claims.near(f"{got}[{at[0]}, {at[1]}].item()", wanted, bound, beyond=beyond)
            self.fail(part, what, repr(found), repr(wanted), f"± {bound:.3g}", claim=claim)
        return None

    def _not_hidden(
        self, name: str, gradient: Tensor, inputs: Inputs, upstream: float, place: str
    ) -> None:
        """What came from above comes through wherever there is a slope to multiply it by."""
        slopes = inputs.mask & (inputs.x_recon != inputs.x)
        hidden = gradient[slopes.to(gradient.device)]
        if bool(hidden.isfinite().any()):
            what = f"the gradient of {name} hides that the upstream gradient is {upstream}"
            claim = claims.none_finite(f"{place}[mask & (x_recon != x)]")
            found = hidden[hidden.isfinite()][0]
            self.fail("C11", what, found, "infinite, or NaN", claim=claim)

    def _no_gradient_twice(self, gradient: Tensor, upstream: float, place: str) -> None:
        """One tensor for both inputs: the two gradients cancel, where they are finite at all."""
        finite = math.isfinite(upstream) and not isinstance(self.truth.total, str)
        if finite and bool((gradient != 0).any()):
            got = gradient[gradient != 0][0]
            what, claim = (
                "x is x_recon, and its two gradients do not cancel",
                claims.all_zero(place),
            )
            self.fail("C11", what, got, "0", claim=claim)

    def _own_memory(self, answer: Answer, inputs: Inputs) -> None:
        owners = {
            tensor.untyped_storage().data_ptr(): (f"the input {name}", name)
            for name, tensor in zip(NAMES, inputs, strict=True)
            if tensor.numel()
        }
        for name, tensor in {"loss": answer.value, **answer.gradients}.items():
            if not isinstance(tensor, Tensor) or not tensor.numel():
                continue
            address = tensor.untyped_storage().data_ptr()
            place = "loss" if name == "loss" else f'found["{name}"]'
            words = "the result" if name == "loss" else f"the gradient of {name}"
            if address in owners:
                other, at = owners[address]
                what, claim = f"{words} shares memory with {other}", claims.memory(place, at)
                self.fail("C14", what, "one memory", "two", claim=claim)
            owners[address] = words, place

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
            what = "the value changes with what stands outside the mask"
            self.fail("C8", what, value, before, claim=claims.same_loss())
        upstream = self.case.upstream if answer.upstream is None else answer.upstream
        if self.case.shared == "same" or not math.isfinite(upstream):
            return
        for name, gradient in gradients.items():
            if name in was and name not in self.siblings and not same_bits(gradient, was[name]):
                what = f"the gradient of {name} changes with what stands outside the mask"
                got, other = f'found["{name}"] + 0.0', f'first["{name}"] + 0.0'
                claim = claims.same(got, other, hidden=True)
                self.fail("C12", what, gradient, was[name], claim=claim)


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
    return not rows.seen(case).any()


def not_finite(case: Case) -> bool:
    """Whether C9 is about this case."""
    return isinstance(truth(case).total, str)


def hides(case: Case) -> bool:
    """Whether something of its own stands outside the mask."""
    return case.x_recon.outside is not None or case.x.outside is not None


@contextlib.contextmanager
def state_kept(contract: Contract) -> Iterator[None]:
    """C16: the globals that cost little to read are compared around a call, in its own context."""
    if "C16" not in contract.parts:
        yield
        return
    before = ambient.quick_snapshot()
    yield
    after = ambient.quick_snapshot()
    changed = ambient.differences(before, after)
    if changed:
        claim = claims.kept(ambient.moved(before, after)[0])
        what = "the call changed globals"
        contract.fail("C16", what, "; ".join(changed), "as before", claim=claim)
