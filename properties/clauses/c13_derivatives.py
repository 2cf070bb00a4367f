"""C13: second order, forward mode, repeated and overlapping backwards."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ..inputs.cases import NAMES, Case, Inputs
from ..inputs.grids import GRADS, SAME_PAIRS, gradcheck_cases, large_grid, small_grid
from ..judge import acts, answers, claims, derivatives
from ..judge.bits import same_bits
from ..judge.claims import unless_refused
from ..judge.derivatives import APART, apart
from ..judge.gradcheck import numerically
from ..judge.overlaps import right_after_writing
from ..judge.probe import Probe
from ..judge.violation import Violation
from .registry import FORWARD, GRADIENTS, SECOND, prop
from .situations import situation


@prop(
    "C13-changed-inputs",
    statement="After an input was changed in place, backward, or a second one, gives the "
    "derivative of the call as it was made, or raises.",
    rationale="An augmentation, or the next mask, that comes too early must not bend the gradient "
    "unseen.",
    catches="inputs kept past torch's check of their versions",
    needs=GRADIENTS,
    grid=lambda effort: (
        _in_some_layout(number, case)
        for number, case in enumerate(
            itertools.chain(
                small_grid(
                    effort,
                    shapes=((1, 1), (2, 3), (33, 40)),
                    patterns=("full", "bernoulli"),
                    pairs=(*SAME_PAIRS, ("float16", "float32")),
                    grads=GRADS,
                    share=4,
                ),
                large_grid(effort, shapes=((301, 299),), grads=GRADS),
            )
        )
    ),
)
def changed_inputs(probe: Probe, case: Case) -> None:
    for which, changed in enumerate(NAMES):
        if probe.claims.second_order:
            _changed_again(probe, case, which)
        inputs = probe.build(case)
        probe.note(inputs.mask)
        as_called = Inputs(*(t.detach().clone() for t in inputs))
        act = acts.changed_before_backward
        found = probe.perform(case, inputs, act, case.grads, case.upstream, which)
        if found["refused"]:
            continue
        try:
            with probe.found_at():
                gradients = probe.arrived(case, found, inputs)
                probe.right_gradients(gradients, case, as_called)
        except Violation as violation:
            violation.what = f"{changed} was changed before backward, and {violation.what}"
            violation.claim = violation.claim and unless_refused(violation.claim)
            raise


def _in_some_layout(number: int, case: Case) -> Case:
    """The case with one of its inputs in a layout that can be written to, or all contiguous."""
    layout = ("expanded_rows", "one_element", "transposed", "strided_rows")[number // 4 % 4]
    name = ("", "mask__layout", "x_recon__layout", "x__layout")[number % 4]
    return case.but(**{name: layout}) if name else case


def _changed_again(probe: Probe, case: Case, which: int) -> None:
    """Raise if a change between backward and a second one bends the second."""
    inputs = probe.build(case)
    found = probe.perform(case, inputs, acts.changed_between_backwards, case.grads, which)
    for by, alike in (("by input", same_bits), ("by upstream", same_bits), ("of the loss", _near)):
        got, wanted = found[f"changed, {by}"], found[f"as called, {by}"]
        if got is None or wanted is None or alike(got, wanted):
            continue
        holds = f'{alike.__name__}(got, found["as called, {by}"])'
        claim = claims.Claim(f'found["changed, {by}"]', holds, (alike,))
        raise Violation(
            f"{NAMES[which]} was changed between backward and a second one, which is bent",
            got=got,
            wanted=wanted,
            claim=unless_refused(claim, f'found["changed, {by}"] is None'),
        )


def _near(one: Tensor, other: Tensor) -> bool:
    """Whether both may be one gradient, of which each may be 16 unit roundoffs off."""
    kind = torch.finfo(one.dtype)
    return torch.allclose(one, other, rtol=16 * kind.eps, atol=kind.tiny, equal_nan=True)


@prop(
    "C13-gradgradcheck",
    cost=9,
    statement="torch.autograd.gradgradcheck agrees in float64.",
    rationale="Gradient penalties and Hessians differentiate the backward itself.",
    catches="double backward that is zero, missing, or of the wrong sign",
    needs=(*SECOND, "float64"),
    grid=lambda effort: gradcheck_cases(effort),
)
def gradgradcheck(probe: Probe, case: Case) -> None:
    numerically(probe, case, torch.autograd.gradgradcheck)


@prop(
    "C13-own-memory",
    statement="Changing one gradient in place changes neither the other nor what a later backward "
    "gives.",
    rationale="zero_grad() and clipping write into gradients while the graph is still there.",
    catches="one buffer, or a lazily negated view of it, for both inputs; a kept buffer handed out",
    needs=GRADIENTS,
    grid=lambda effort: itertools.chain(
        small_grid(
            effort,
            shapes=((1, 1), (2, 3), (33, 40)),
            patterns=("full", "bernoulli"),
            pairs=SAME_PAIRS,
            grads=(("x_recon", "x"), ("x_recon",)),
            share=4,
        ),
        large_grid(effort, shapes=((301, 299),), grads=GRADS[:2]),
    ),
)
def own_memory(probe: Probe, case: Case) -> None:
    right_after_writing(probe, case)


_BOTH = (*SECOND, "forward_mode", "transforms")

situation(
    "C13-retain-graph",
    "Through a graph that is kept, with other calls in between, a call keeps its whole contract.",
    catches="buffers freed or overwritten in backward",
    needs=GRADIENTS,
    derive=answers.retained,
)
situation(
    "C13-into-grad",
    "With `.grad` already there, a call keeps its whole contract.",
    catches="a call that backs up by itself",
    needs=GRADIENTS,
    derive=answers.into_grad,
)
situation(
    "C13-dropped-inputs",
    "When its inputs are dropped before backward, a call keeps its whole contract.",
    catches="inputs kept by their address",
    needs=GRADIENTS,
    derive=answers.dropped,
)
situation(
    "C13-interleaved",
    "With other calls between forward and backward, a call keeps its whole contract.",
    catches="scratch that a second or third call overwrites",
    needs=GRADIENTS,
    derive=answers.interleaved,
)
situation(
    "C13-second-branch",
    "When its inputs feed another loss too, a call keeps its whole contract.",
    catches="hooks on inputs; gradients masked after they were added up",
    needs=GRADIENTS,
    derive=answers.second_branch,
)
situation(
    "C13-nonlinear",
    "Inside a nonlinear function of the loss, a call keeps its whole contract.",
    catches="an upstream gradient that is taken for 1",
    needs=GRADIENTS,
    derive=derivatives.nonlinear,
    again=True,
)
SECOND_ORDER = situation(
    "C13-second-order",
    "Through backward twice, a call keeps its whole contract.",
    catches="a backward that is a constant",
    needs=SECOND,
    derive=derivatives.double_backward,
)
FORWARD_MODE = situation(
    "C13-forward-mode",
    "On dual numbers, a call keeps its whole contract.",
    catches="a missing or wrong jvp; tangents outside the mask that count",
    needs=FORWARD,
    derive=derivatives.dual_numbers,
    only=apart,
    because=APART,
)
situation(
    "C13-reverse-over-forward",
    "Under reverse over forward, a call keeps its whole contract.",
    catches="a jvp that is a constant",
    needs=_BOTH,
    derive=derivatives.reverse_over_forward,
    only=apart,
    because=APART,
)
situation(
    "C13-upstream-tangent",
    "Under forward over reverse, the upstream's tangent too, a call keeps its whole contract.",
    catches="a backward without a tangent",
    needs=_BOTH,
    derive=derivatives.forward_over_reverse,
    only=apart,
    because=APART,
)
situation(
    "C13-duals-through-backward",
    "On dual numbers, its backward too, a call keeps its whole contract.",
    catches="a backward that loses the tangent of the upstream gradient outside torch.func",
    needs=(*SECOND, "forward_mode"),
    derive=derivatives.dual_over_reverse,
    only=apart,
    because=APART,
)
situation(
    "C13-forward-over-forward",
    "Under forward over forward, a call keeps its whole contract.",
    catches="a jvp that is a constant",
    needs=_BOTH,
    derive=derivatives.forward_over_forward,
    only=apart,
    because=APART,
)
