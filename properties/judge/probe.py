"""The one way in which properties call a subject.

A probe counts calls, so that a property which never asked anything is noticed, keeps the case at
hand, so that a failure can show it, and judges results against the oracle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import DEFAULT_REDUCTION, Case, Inputs
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from ..subject import Subject
from . import acts, claims, oracle
from .program import Scene
from .violation import Violation

# What a subject may raise without ending the run: all but the exceptions that pytest itself uses.
RAISED = (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)


class Probe:
    """A subject on a device, under one property.

    Attributes:
        told: what is told each case that comes to hand, before the subject meets it.
        blames: whether an exception is the subject's, and not a mistake of the suite.
        calls: of the subject, so far.
        selected: whether any mask selected something.
        odd: what is odd about the kind of the last answer, or None.
        scene: how the call at hand is made, where that is no plain call.
        raised: the `id` of the last exception that a call let out.
    """

    def __init__(
        self,
        subject: Subject,
        device: str = "cpu",
        clause: str = "",
        told: Callable[[Case | None], None] | None = None,
        blames: Callable[[Probe, BaseException], bool] = lambda probe, error: True,
    ) -> None:
        self.subject = subject
        self.claims = subject.claims
        self.device = device
        self.clause = clause
        self.told = told
        self.blames = blames
        self.calls = 0
        self.selected = False
        self.odd: str | None = None
        self.scene: Scene | None = None
        self.raised: int | None = None
        self._case: Case | None = None

    @property
    def case(self) -> Case | None:
        """The case at hand."""
        return self._case

    @case.setter
    def case(self, case: Case | None) -> None:
        self._case = case
        if self.told is not None:
            self.told(case)

    def fit(self, case: Case) -> Case:
        """The case in dtypes and reductions that are claimed, of a function that it has."""
        if getattr(self.subject, case.function) is None:
            (other,) = self.subject.functions
            case = case.but(function=other, reduction=case.effective_reduction)
        if case.effective_reduction not in self.claims.reductions:
            case = case.but(reduction=self.claims.reductions[0])
        first = self.claims.dtypes[0]
        for name in ("x_recon", "x"):
            if getattr(case, name).dtype not in self.claims.dtypes:
                case = case.but(**{f"{name}__dtype": first})
        return case

    def without_gradients(self, case: Case) -> Case:
        """The case, in which nothing requires grad unless gradients are claimed."""
        return case if self.claims.gradients else case.but(grads=())

    def build(self, case: Case) -> Inputs:
        """The tensors of a case, which becomes the case at hand."""
        self.case = case
        return case.build(self.device)

    def function(self, name: str) -> Any:
        """The named callable; where missing, the other with this one's default reduction."""
        found = getattr(self.subject, name)
        if found is not None:
            return found
        other = self.subject.masked_sse or self.subject.masked_mse
        assert other is not None

        def renamed(x_recon: Any, x: Any, mask: Any, **given: Any) -> Any:
            return other(x_recon, x, mask, **{"reduction": DEFAULT_REDUCTION[name], **given})

        return renamed

    def call(self, case: Case, inputs: Inputs) -> Tensor:
        """Call the case's function on these tensors, as the case says; judge the result's kind."""
        return self._of_its_kind(self.raw(case, *inputs))

    def _of_its_kind(self, result: Any) -> Tensor:
        if not isinstance(result, Tensor):
            raise Violation(
                "the result is not a tensor",
                got=type(result).__name__,
                wanted="a 0-d torch.Tensor",
                claim=claims.is_tensor("loss"),
            )
        if result.ndim != 0:
            raise Violation(
                "the result is not 0-d",
                got=f"shape {tuple(result.shape)}",
                wanted="shape ()",
                claim=claims.Claim("tuple(loss.shape)", "got == ()"),
            )
        return result

    def raw(self, case: Case, x_recon: Any, x: Any, mask: Any, **named: Any) -> Any:
        """Call the case's function on anything at all."""
        self.calls += 1
        self.case = case
        given = ({} if case.reduction is None else {"reduction": case.reduction}) | named
        try:
            result = self.function(case.function)(x_recon, x, mask, **given)
        except BaseException as error:
            self.raised = id(error)  # the exception itself would keep the inputs alive
            raise
        self.odd = _oddity(result, x_recon)
        return result

    def calling(self, case: Case) -> Callable[..., Tensor]:
        """`call`, the case filled in."""

        def call(x_recon: Any, x: Any, mask: Any, **named: Any) -> Tensor:
            return self._of_its_kind(self.raw(case, x_recon, x, mask, **named))

        return call

    def perform(
        self, case: Case, inputs: Inputs, act: Callable[..., acts.Found], *arguments: Any
    ) -> acts.Found:
        """What an act gives, which the program of a finding then shows."""
        self.scene = Scene(case, act=act, arguments=arguments, device=self.device)
        return act(self.calling(case), inputs, *arguments)

    @contextlib.contextmanager
    def found_at(self, place: str = "found") -> Iterator[None]:
        """Findings within are about what the last act gave in that place."""
        try:
            yield
        except Violation as violation:
            violation.scene = self.scene
            violation.claim = violation.claim and claims.moved(violation.claim, "found", place)
            raise

    def loss(self, case: Case) -> tuple[Tensor, Inputs]:
        """Build a case and call the subject on it."""
        inputs = self.build(case)
        self.note(inputs.mask)
        return self.call(case, inputs), inputs

    def divides_by_zero(self, case: Case) -> bool:
        """Whether a plain call like the case's gives NaN where nothing is masked."""
        at_hand = self.case
        plain = case.but(
            shape=(2, 3),
            x_recon=Operand(case.x_recon.dtype),
            x=Operand(case.x.dtype, Lattice(1)),
            mask=Mask("empty"),
            grads=(),
        )
        try:
            return bool(self.raw(plain, *plain.build(self.device)).isnan().all())
        except RAISED:
            return False
        finally:
            self.case = at_hand

    def note(self, mask: Tensor) -> None:
        """Remember whether any property saw a mask that selects something."""
        self.selected = self.selected or bool(mask.any())

    def gradients(
        self, case: Case, *, retain_graph: bool = False
    ) -> tuple[Tensor, Inputs, dict[str, Tensor]]:
        """Loss, inputs, and the gradient of each input that requires one, upstream included."""
        loss, inputs = self.loss(case)
        return loss, inputs, self.pull(case, loss, inputs, retain_graph)

    def pull(
        self,
        case: Case,
        loss: Tensor,
        inputs: Inputs,
        retain_graph: bool = False,
    ) -> dict[str, Tensor]:
        """The gradients of a loss that was already computed.

        An empty mask whose loss has no graph is the business of C12 alone; elsewhere it counts as
        the zeros that C12 asks for.
        """
        if not loss.requires_grad and self.excused(inputs):
            return {name: torch.zeros_like(getattr(inputs, name)) for name in case.grads}
        if not loss.requires_grad:
            raise Violation(
                f"{' and '.join(case.grads)} require grad, and the loss does not: it is not "
                "connected to the graph",
                got="requires_grad=False",
                wanted="requires_grad=True",
                claim=claims.is_true("loss.requires_grad", gradients=True),
            )
        found = acts.pull(loss, inputs, case.grads, case.upstream, retain_graph)
        return self.arrived(case, {"loss": loss, **found}, inputs)

    def arrived(self, case: Case, found: acts.Found, inputs: Inputs) -> dict[str, Tensor]:
        """The gradients that `acts.pull` found, of the kinds of their inputs."""
        if found.get("upstream written to"):
            raise Violation(
                "backward modified the upstream gradient",
                got=found["upstream"],
                wanted=repr(case.upstream),
                claim=claims.is_false('found["upstream written to"]', gradients=True),
            )
        gradients = {name: found.get(name) for name in case.grads}
        if None in gradients.values() and self.excused(inputs):
            gradients = {
                name: torch.zeros_like(getattr(inputs, name)) if g is None else g
                for name, g in gradients.items()
            }
        for name, gradient in gradients.items():
            if gradient is None:
                raise Violation(
                    f"no gradient reaches {name}",
                    got="None",
                    wanted="a tensor of its shape and dtype",
                    claim=claims.is_tensor(f'found.get("{name}")', gradients=True),
                )
        return {name: gradient for name, gradient in gradients.items() if gradient is not None}

    def excused(self, inputs: Inputs) -> bool:
        """Whether a missing graph is left to C12: the mask is empty, and this is another clause."""
        return self.clause != "C12" and not inputs.mask.is_meta and not bool(inputs.mask.any())

    def unconnected(self, loss: Tensor, wrt: Sequence[Tensor], inputs: Inputs) -> bool:
        """Whether no graph leads to these inputs, and that is excused."""
        if not self.excused(inputs):
            return False
        if not loss.requires_grad:
            return True
        found = torch.autograd.grad(loss, wrt, retain_graph=True, allow_unused=True)
        return any(gradient is None for gradient in found)

    def right_value(self, got: Tensor, case: Case, inputs: Inputs, *, ordered: bool = True) -> None:
        """Raise unless `got` is the value of C4–C9 on these inputs.

        With `ordered=False`, for code that was compiled or mapped, any order of addition is right.

        That its dtype is that of C5 is asked by the properties of C5 alone, so that one mistake
        does not show everywhere: the others judge a narrower result by its own format.
        """
        if not got.is_floating_point():
            claim = claims.is_true("loss.is_floating_point()")
            what = "the result is not floating point"
            raise Violation(what, got=got, wanted="a real number", claim=claim)
        dtype = self.wanted_dtype(inputs) if self.clause == "C5" else self.coarser(got, inputs)
        answer, reduction = oracle.exact(inputs), case.effective_reduction
        roundoffs = self.roundoffs(answer, dtype, ordered=ordered)
        fault = oracle.value_fault(
            got.detach(), answer, reduction, dtype=dtype, roundoffs=roundoffs
        )
        if fault:
            wanted, bound = fault
            claim = claims.value(answer, reduction, dtype, roundoffs)
            what = "the value is wrong"
            raise Violation(what, got=got, wanted=wanted, bound=bound, claim=claim)
        if self.clause == "C5":
            self.right_dtype(got, inputs)

    def roundoffs(self, answer: oracle.Exact, dtype: torch.dtype, *, ordered: bool = True) -> float:
        """How many unit roundoffs of `dtype` a sum of so many terms may be off, as claimed."""
        return oracle.sum_roundoffs(
            answer.selected, dtype, most=self.claims.roundoffs, ordered=ordered
        )

    def wanted_dtype(self, inputs: Inputs) -> torch.dtype:
        """The result's dtype by C5, or by the subject's claim."""
        return self.subject.result_dtype(inputs.x_recon.dtype, inputs.x.dtype)

    def coarser(self, got: Tensor, inputs: Inputs) -> torch.dtype:
        """The result's dtype or that of C5, whichever has the larger unit roundoff."""
        return max(self.wanted_dtype(inputs), got.dtype, key=lambda dtype: torch.finfo(dtype).eps)

    def right_dtype(self, got: Tensor, inputs: Inputs) -> None:
        """Raise unless `got` has the dtype of C5."""
        dtype = self.wanted_dtype(inputs)
        if got.dtype != dtype:
            raise Violation(
                f"the result has the wrong dtype for {inputs.x_recon.dtype} and {inputs.x.dtype}",
                got=str(got.dtype),
                wanted=str(dtype),
                claim=claims.Claim("loss.dtype", f"got == {dtype}"),
            )

    def right_gradients(self, found: dict[str, Tensor], case: Case, inputs: Inputs) -> None:
        """Raise unless every gradient, in its input's dtype, is that of C11 and C12."""
        for name, gradient in found.items():
            fault = oracle.gradient_fault(
                gradient.to(getattr(inputs, name).dtype),
                inputs,
                case.effective_reduction,
                sign=1 if name == "x_recon" else -1,
                upstream=case.upstream,
            )
            if fault:
                (row, column), got, wanted, bound, beyond = fault
                place = "inside" if bool(inputs.mask[row, column]) else "outside"
                raise Violation(
                    f"the gradient of {name} is wrong at [{row}, {column}], {place} the mask",
                    got=repr(got),
                    wanted=repr(wanted),
                    bound=f"± {bound:.3g}" if bound else "exactly zero, of either sign",
                    claim=claims.gradient(name, (row, column), wanted, bound, beyond),
                )


def _oddity(result: Any, x_recon: Any) -> str | None:
    """What is odd about the kind of an answer, so that a suite that trusts it may stumble."""
    if not isinstance(result, Tensor):
        return f"it is a {type(result).__name__}"
    if type(result) is not Tensor and type(result) is not type(x_recon):
        return f"it is a {type(result).__name__}"
    if result.layout is not torch.strided or result.is_nested:
        return f"its layout is {result.layout}"
    if result.ndim != 0 or not result.is_floating_point():
        return f"it has shape {tuple(result.shape)} and dtype {result.dtype}"
    if isinstance(x_recon, Tensor) and result.device != x_recon.device:
        return f"it is on {result.device}"
    return None
