"""One mistake is shown where it belongs, and not in every property that meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from wavemae.properties import Case, Subject, SuiteError, conduct
from wavemae.properties.clauses import registry
from wavemae.properties.judge import oracle
from wavemae.properties.judge.bits import same_bits

from wavemae.models.losses import masked_mse


def nothing_is_nan(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """The mean of nothing is 0/0."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    return loss * torch.where(mask.any(), 1.0, torch.nan) if reduction == "mean" else loss


def nothing_is_one(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Where nothing is masked, 1: a value that nobody can tell from a loss."""
    return masked_mse(x_recon, x, mask, reduction=reduction) + (~mask.any()).to(torch.float32)


def strided_nothing_is_nan(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean"
) -> Tensor:
    """Where nothing is masked, NaN, if x is not contiguous; a plain call is right."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    return loss if x.is_contiguous() or bool(mask.any()) else loss * torch.nan


def compiled_anew_and_nothing_is_nan(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean"
) -> Tensor:
    """0/0, and odd lengths take another branch than even ones."""
    loss = nothing_is_nan(x_recon, x, mask, reduction=reduction)
    return loss + 0.0 if x.shape[1] % 2 else loss


OTHERS = (
    "C1-default-reduction",
    "C4-oracle",
    "C10-permutation",
    "C10-scaling",
    "C11-oracle",
    "C18-compile",
    "C18-export",
)


@pytest.mark.parametrize("identifier", OTHERS)
def test_nan_for_an_empty_mask_is_left_to_c7(identifier: str) -> None:
    """0/0 fails C7-empty, and no property that is about something else."""
    subject = Subject("0/0", masked_mse=nothing_is_nan)
    assert conduct(subject, identifier, "default").state == "pass"
    assert conduct(subject, "C7-empty", "quick").state == "FAIL"


def test_what_follows_an_empty_mask_is_still_seen() -> None:
    """A check of many masks in one does not end at the first that masks nothing."""
    subject = Subject("0/0", masked_mse=compiled_anew_and_nothing_is_nan)
    assert conduct(subject, "C18-compile", "default").state == "FAIL"


def test_another_value_for_an_empty_mask_is_not() -> None:
    """A finite one is a wrong value like any other."""
    subject = Subject("1", masked_mse=nothing_is_one)
    assert conduct(subject, "C7-empty", "default").state == "FAIL"
    assert conduct(subject, "C4-oracle", "default").state == "pass"  # it is C7's


def test_nor_is_nan_that_a_plain_call_does_not_give() -> None:
    """C7 might not see it, so the property that does says so."""
    subject = Subject("strided", masked_mse=strided_nothing_is_nan)
    assert conduct(subject, "C15-layouts", "default").state == "FAIL"


def fresh_leaf(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Where nothing is masked, a zero that is a leaf of its own graph."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    if loss.requires_grad and not bool(mask.any()):
        return torch.zeros_like(loss, requires_grad=True)
    return loss


@pytest.mark.parametrize("identifier", ["C11-upstream", "C13-own-memory"])
def test_a_fresh_leaf_for_an_empty_mask_is_left_to_c12(identifier: str) -> None:
    """That no graph leads to the inputs fails C12-empty-trains, and not what needs the graph."""
    subject = Subject("leaf", masked_mse=fresh_leaf)
    found = conduct(subject, identifier, "default").violation
    assert found is None or found.elsewhere
    assert conduct(subject, "C12-empty-trains", "quick").state == "FAIL"


RIGHT = Subject("right", masked_mse=masked_mse)
SUITE = Path(registry.__file__).parent


def outcome_of(subject: Subject, check: str) -> Any:
    """A property whose check has this body, as if it stood in the suite, run on one case."""
    names: dict[str, Any] = {"torch": torch, "np": np}
    body = "".join(f"    {line}\n" for line in check.splitlines())
    code = compile(f"def check(probe, case):\n{body}", str(SUITE / "made.py"), "exec")
    exec(code, names)
    made = registry.Property(
        "C4-made", "", "", "", names["check"], grid=lambda effort: [Case(shape=(2, 2))]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.PROPERTIES, made.id, made)
        return conduct(subject, made.id, "quick")


MISTAKES = {
    "a name": ("loss, inputs = probe.loss(case)\nnothing_of_this_name", "NameError"),
    "a key": ("probe.loss(case)\n{}['a']", "KeyError"),
    "torch refuses": ("loss, inputs = probe.loss(case)\nloss.view(7)", "RuntimeError"),
    "torch refuses in Python": ("probe.loss(case)\ntorch.tensordot(3, 4, 5)", "Error"),
    "NumPy refuses": ("probe.loss(case)\nnp.broadcast_to(np.ones(2), 3)", "ValueError"),
    "a case": ("probe.loss(case)\ncase.but(no_such_field=1)", "Error"),
    "an assertion": ("probe.loss(case)\nassert case is None", "AssertionError"),
}


@pytest.mark.parametrize(("check", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_the_suite_is_not_a_violation(check: str, words: str) -> None:
    """The subject's answer is in order, and what is raised comes from the suite."""
    with pytest.raises(SuiteError, match="error in the suite") as found:
        outcome_of(RIGHT, check)
    assert words in str(found.value)
    assert "please report" in str(found.value)
    assert "made.py:" in str(found.value) or "cases.py:" in str(found.value)
    assert found.value.__cause__ is not None


def returns_none(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Any:
    """No answer."""
    return None


def returns_sparse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Any:
    """A number in a layout on which most operators raise."""
    return masked_mse(x_recon, x, mask, reduction=reduction).to_sparse()


def spoils_its_graph(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Any:
    """Autograd itself raises in backward, in C++ and without a frame of this file."""
    difference = torch.where(mask, x_recon - x, 0.0)
    loss = (difference * difference).sum() / mask.sum()
    difference.zero_()
    return loss


class _Refuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_recon: Tensor) -> Tensor:
        return x_recon.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        raise KeyError("backward of the subject")


def fails_backward(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Any:
    """Its own backward raises."""
    return _Refuses.apply(x_recon)


def torch_refuses(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Any:
    """What torch raises when the subject calls it is the subject's."""
    return x_recon.view(-1, 7)


GRADIENT = "case = case.but(grads=('x_recon',))\nprobe.gradients(case)"
DIRECT = "probe.function('masked_mse')(*probe.build(case))"
BLAMED = {
    "raises": (torch_refuses, "probe.loss(case)"),
    "raises, called directly": (torch_refuses, DIRECT),
    "has no such argument": (torch_refuses, "probe.function('masked_mse')(1, 2, 3, mean=True)"),
    "cannot be bound": (torch_refuses, "probe.function('masked_mse')(1)"),
    "gives None": (returns_none, "probe.raw(case, *probe.build(case)).dtype"),
    "gives a sparse tensor": (returns_sparse, "torch.special.entr(probe.loss(case)[0])[7]"),
    "has a spoilt graph": (spoils_its_graph, GRADIENT),
    "has a backward that raises": (fails_backward, GRADIENT),
    "raises under vmap": (
        torch_refuses,
        "i = [t.unsqueeze(0) for t in probe.build(case)]\n"
        "torch.func.vmap(probe.function('masked_mse'))(*i)",
    ),
    "is written in C": (divmod, "probe.loss(case)"),
    "is written in C, called directly": (
        divmod,
        "probe.function('masked_mse')(*probe.build(case))",
    ),
}


@pytest.mark.parametrize(("loss", "check"), BLAMED.values(), ids=BLAMED)
def test_a_mistake_of_the_subject_is_one(loss: Any, check: str) -> None:
    """Whatever is raised in its code, in its graph, or over an answer of the wrong kind."""
    outcome = outcome_of(Subject("wrong", masked_mse=loss), check)
    assert outcome.state == "FAIL"
    assert "came out" in outcome.reason


def test_a_lazy_negation_is_judged_by_its_value() -> None:
    """A gradient that is a negated view is no mistake, and the suite does not stumble over it."""
    lazy, plain = torch._neg_view(torch.tensor([1.0, -2.0])), torch.tensor([-1.0, 2.0])
    assert lazy.is_neg()
    assert same_bits(lazy, plain)
    assert not same_bits(lazy, -plain)
    assert oracle.as_array(lazy).tolist() == plain.tolist()
