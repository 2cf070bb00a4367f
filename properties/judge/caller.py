"""The one way in which properties call a subject.

Calls are counted, so that a property which never asked anything is noticed, and the case at hand is
kept, so that a failure can show it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import DEFAULT_REDUCTION, Case, Inputs
from ..inputs.masks import Mask
from ..inputs.operands import Operand
from ..inputs.values import Lattice
from ..subject import Subject
from . import acts, claims
from .program import Scene
from .violation import Violation

# What a subject may raise without ending the run: all but the exceptions that pytest itself uses.
RAISED = (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)


class Caller:
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
        blames: Callable[[Caller, BaseException], bool] = lambda caller, error: True,
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
        return self.reached(case)

    def reached(self, case: Case) -> Case:
        """The case with the upstream gradient as the result's dtype has it: a half may not."""
        if self.claims.half_result != "half":
            return case
        given = (getattr(torch, operand.dtype) for operand in (case.x_recon, case.x))
        upstream = torch.tensor(case.upstream, dtype=self.subject.result_dtype(*given))
        return case.but(upstream=upstream.item())

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
        given = case.keyword | named
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
