"""What properties ask of the answers of a subject: the value, and the gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..inputs.cases import Case, Inputs
from . import acts, claims, oracle
from .caller import Caller
from .violation import Violation


class Probe(Caller):
    """A subject on a device, under one property; its answers are judged against the oracle."""

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
