"""What a program asserts: a condition on what came, as Python writes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch

from .bits import same_bits
from .listening import listening
from .oracle import Exact, format_of, value_bound
from .untouched import Untouched


@dataclass(frozen=True)
class Claim:
    """What must hold after the call was made.

    A program has `loss`, what the call gave, and `found`, which holds gradients by their input's
    name and whatever else the way of calling gave.

    Attributes:
        got: the expression for what came.
        holds: the condition, on `got`.
        uses: functions of the suite that they call.
        before: lines that stand before the call.
        gradients: whether gradients are taken where the situation does not say.
        hidden: whether the call is made before, as `first`, with other values outside the mask.
        watch: the name, in `ambient`, of a global that has to stay as it is.
    """

    got: str
    holds: str
    uses: tuple[Callable[..., Any], ...] = ()
    before: tuple[str, ...] = ()
    gradients: bool = False
    hidden: bool = False
    watch: str = ""

    def lines(self, what: str, wanted: str) -> list[str]:
        """The assertion, and what it says."""
        braced = [text.replace("{", "{{").replace("}", "}}") for text in (what, wanted)]
        said = f"{braced[0]}: got {{got}}, wanted {braced[1]}"
        return [f"got = {self.got}", f"assert {self.holds}, f{said!r}"]


def number(value: float) -> str:
    """A number as a program without imports writes it."""
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def near(
    got: str, wanted: float, bound: float, *, beyond: bool = False, gradients: bool = False
) -> Claim:
    """A number within a bound; infinity of its sign too where it may be `beyond` the range."""
    infinite = f"got == {number(math.copysign(math.inf, wanted))}"
    if math.isnan(wanted):
        return Claim(got, "got != got", gradients=gradients)
    if math.isinf(wanted):
        return Claim(got, infinite, gradients=gradients)
    close = f"abs(got - {wanted!r}) <= {bound!r}" if bound else f"got == {wanted!r}"
    return Claim(got, f"{close} or {infinite}" if beyond else close, gradients=gradients)


def value(answer: Exact, reduction: str, dtype: torch.dtype, roundoffs: float) -> Claim:
    """The value of C4 to C9, as `oracle.value_fault` judges it."""
    wanted, fmt = answer.reduced(reduction), format_of(dtype)
    got = "loss.item()"
    if isinstance(wanted, str):
        return near(got, float(wanted), 0.0)
    assert isinstance(answer.total, Fraction)
    bound = value_bound(answer, reduction, dtype, roundoffs)
    if wanted - bound >= fmt.overflow:
        return near(got, math.inf, 0.0)
    beyond = answer.total * (1 + Fraction(roundoffs) * fmt.roundoff) >= fmt.overflow
    try:
        return near(got, float(wanted), float(bound), beyond=beyond)
    except OverflowError:  # of a number that rounds to no float, and may as well be infinite
        return near(got, math.inf, 0.0)


def gradient(
    name: str, position: tuple[int, int], wanted: float, bound: float, beyond: bool
) -> Claim:
    """One number of a gradient; without a bound it is zero, of either sign."""
    row, column = position
    got = f'found["{name}"][{row}, {column}].item()'
    return near(got, wanted, bound, beyond=beyond, gradients=True)


def is_tensor(got: str, *, gradients: bool = False) -> Claim:
    """A tensor, and not None."""
    return Claim(got, "isinstance(got, torch.Tensor)", gradients=gradients)


def is_true(got: str, *, gradients: bool = False) -> Claim:
    """Something that must be so."""
    return Claim(got, "got is True", gradients=gradients)


def is_false(got: str, *, gradients: bool = False) -> Claim:
    """Something that must not be so."""
    return Claim(got, "got is False", gradients=gradients)


def same_loss() -> Claim:
    """The loss has the bits that it had before, with other values outside the mask."""
    return Claim(
        "(loss.dtype, loss.item())",
        "repr(got) == repr((first_loss.dtype, first_loss.item()))",
        hidden=True,
    )


def same(got: str, other: str, *, hidden: bool = False, gradients: bool = False) -> Claim:
    """Bitwise equality of two tensors."""
    condition = f"same_bits(got, {other})"
    return Claim(got, condition, (same_bits,), hidden=hidden, gradients=gradients)


def all_zero(got: str, *, gradients: bool = True) -> Claim:
    """No number of it is anything but zero; NaN is not zero."""
    return Claim(got, "not bool((got != 0).any())", gradients=gradients)


def none_finite(got: str) -> Claim:
    """Every number of it is infinite or NaN."""
    return Claim(got, "not bool(got.isfinite().any())", gradients=True)


def positive(got: str) -> Claim:
    """Zero or more, and not −0.0."""
    return Claim(f"{got}.item()", 'not str(got).startswith("-")')


def kept(name: str) -> Claim:
    """A part of the state of the process, by its name in `ambient`, stays as it is."""
    holds = "all(before == after for before, after in got)"
    return Claim("seen", holds, gradients=True, watch=name)


def untouched() -> Claim:
    """No input was modified, in any way that C14 names."""
    inputs = '{"x_recon": x_recon, "x": x, "mask": mask}'
    before = (f"untouched = Untouched({inputs})",)
    return Claim("untouched.changed()", "got == []", (Untouched,), before, gradients=True)


def unless_refused(claim: Claim, refused: str = 'found["refused"]') -> Claim:
    """The same, where backward did not raise instead, which `refused`, an expression, says."""
    return replace(
        claim, got=f"None if {refused} else {claim.got}", holds=f"{refused} or {claim.holds}"
    )


def heard() -> Claim:
    """Nothing is printed, warned or logged."""
    enter = "heard = stack.enter_context(listening())"
    before = ("import contextlib", "stack = contextlib.ExitStack()", enter)
    got, holds = "stack.close() or heard", "not any(got.values())"
    return Claim(got, holds, (listening,), before, gradients=True)


def moved(claim: Claim, name: str, place: str) -> Claim:
    """The same of something that stands in another place than "loss" or "found"."""
    return replace(claim, got=claim.got.replace(name, place))


def memory(got: str, other: str, *, gradients: bool = False) -> Claim:
    """Two tensors that share no memory."""
    address = "{}.untyped_storage().data_ptr()"
    return Claim(address.format(got), f"got != {address.format(other)}", gradients=gradients)
