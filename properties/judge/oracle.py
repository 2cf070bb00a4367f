"""The exact answer, in rational arithmetic, and how far from it the contract lets a result be.

Nothing here computes with torch: tensors are only read. Every float is a dyadic rational, so the
sum of squares is exact, whatever the magnitudes. The bounds are those of C6 and C11; no number in
this file was tuned to an implementation.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inputs import internals
from ..inputs.cases import Inputs

SUM_ROUNDOFFS = 256  # derived at the end of CONTRACT.md
HALF_ROUNDOFFS = 64  # of results that a subject gives in half: 256 of bfloat16's would be all
GRADIENT_ROUNDOFFS = 16
_MANY = 2**20  # from so many positions on it pays to look for shorter ways to the exact sum


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: unit roundoff, largest finite, smallest positive number."""

    roundoff: Fraction
    largest: Fraction
    smallest: Fraction
    smallest_normal: Fraction

    @functools.cached_property
    def overflow(self) -> Fraction:
        """The least real number that rounds to infinity."""
        return self.largest * (1 + self.roundoff / (2 - 2 * self.roundoff))


def result_dtype(x_recon: torch.dtype, x: torch.dtype) -> torch.dtype:
    """C5: the dtype to which both and float32 promote."""
    return torch.promote_types(torch.promote_types(x_recon, x), torch.float32)


@functools.cache
def format_of(dtype: torch.dtype) -> Format:
    """Read from `torch.finfo`; the smallest subnormal is smallest normal × machine epsilon."""
    info = torch.finfo(dtype)
    epsilon, tiny = Fraction(info.eps), Fraction(info.smallest_normal)
    return Format(epsilon / 2, Fraction(info.max), tiny * epsilon, tiny)


@dataclass(frozen=True)
class Exact:
    """Σ over the mask of (x_recon − x)²: a rational, or "nan", or "inf"; n True of the mask; B."""

    total: Fraction | str
    selected: int
    batch: int

    def reduced(self, reduction: str) -> Fraction | str:
        """The value of C4 and C7 under a reduction."""
        if isinstance(self.total, str):
            return self.total
        return self.total / self.divisor(reduction)

    def divisor(self, reduction: str) -> int:
        return max(1, {"sum": 1, "mean": self.selected, "batch_mean": self.batch}[reduction])


def exact(inputs: Inputs) -> Exact:
    """The exact sum over the masked positions of tensors as they are."""
    recon, target, mask = (as_array(t) for t in inputs)
    selected, batch = int(mask.sum()), int(mask.shape[0])
    if mask.size > _MANY:  # where most pairs are often equal, or all are the same
        mask = mask & ((recon != target) | ~np.isfinite(recon))
    a, b = recon[mask], target[mask]
    with np.errstate(invalid="ignore"):
        infinite = np.isinf(a) | np.isinf(b)
        undefined = np.isnan(a) | np.isnan(b) | (infinite & (a == b))
    if undefined.any():
        return Exact("nan", selected, batch)
    if infinite.any():
        return Exact("inf", selected, batch)
    return Exact(sum_of_squares(a, b), selected, batch)


def sum_of_squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> Fraction:
    """Exact Σ (a − b)².

    In 64-bit integers where all values are multiples of one power of two and none is 2⁵² times as
    large, else in Python's, equal pairs counted first so that large palettes stay cheap. Of many
    pairs that are all the same one is enough.
    """
    if a.size == 0:
        return Fraction(0)
    if a.size > _MANY and (a == a[0]).all() and (b == b[0]).all():
        return a.size * sum_of_squares(a[:1], b[:1])
    whole = _as_integers(a, b)
    if whole is not None:
        differences, exponent = whole
        return Fraction(_sum_of_squares(differences)) * Fraction(2) ** (2 * exponent)
    if a.size > 256:
        pairs, counts = _distinct(a, b)
        a, b = pairs.real, pairs.imag
        weights = [int(c) for c in counts]
    else:
        weights = [1] * a.size
    ratios = [
        (p.as_integer_ratio(), q.as_integer_ratio())
        for p, q in zip(a.tolist(), b.tolist(), strict=True)
    ]
    scale = max(max(p[1], q[1]) for p, q in ratios)
    total = 0
    for (p, q), weight in zip(ratios, weights, strict=True):
        difference = p[0] * (scale // p[1]) - q[0] * (scale // q[1])
        total += weight * difference * difference
    return Fraction(total, scale * scale)


def _as_integers(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int] | None:
    """Integers d and an exponent e with a − b = d · 2ᵉ, or None where there are none of 62 bits."""
    reach = max(float(np.abs(a).max()), float(np.abs(b).max()))
    exponent = max(math.frexp(reach)[1] - 60, -1074)
    with np.errstate(over="ignore", under="ignore"):
        p, q = np.ldexp(a, -exponent), np.ldexp(b, -exponent)
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        return None
    if not ((p == np.rint(p)).all() and (q == np.rint(q)).all()):
        return None
    if not ((np.ldexp(p, exponent) == a).all() and (np.ldexp(q, exponent) == b).all()):
        return None
    return p.astype(np.int64) - q.astype(np.int64), exponent


def _sum_of_squares(numbers: NDArray[np.int64]) -> int:
    """Exact Σ d² of integers below 2⁶², fewer than 2³² of them: in three parts of 31 bits."""
    size = np.abs(numbers)
    high, low = size >> 31, size & (2**31 - 1)
    return (_total(high * high) << 62) + (_total(high * low) << 32) + _total(low * low)


def _total(numbers: NDArray[np.int64]) -> int:
    """Exact sum of integers from 0 to 2⁶³, fewer than 2³² of them."""
    return (int((numbers >> 32).sum()) << 32) + int((numbers & (2**32 - 1)).sum())


def _distinct(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
    """The distinct pairs (a, b) as complex numbers, which NumPy sorts fast, and their counts."""
    if a.min() == a.max() and b.min() == b.max():
        return np.array([complex(a[0], b[0])]), np.array([a.size])
    pairs = np.empty(a.size, dtype=np.complex128)
    pairs.real, pairs.imag = a, b
    return np.unique(pairs, return_counts=True)


def as_array(tensor: Tensor) -> NDArray[np.float64]:
    """The tensor's values in float64 (which holds every supported dtype exactly), or its bits."""
    # NumPy knows neither lazy negation nor the zeros without memory of forward mode.
    tensor = internals.in_memory(tensor.detach()).resolve_neg().cpu()
    array = (tensor if tensor.dtype == torch.bool else tensor.double()).numpy()
    return np.asarray(array)


def any_order(selected: int) -> int:
    """C6's roundoffs in whichever order n terms are added: n − 1 additions and what is around."""
    return selected + 8


def sum_roundoffs(
    selected: int, dtype: torch.dtype, *, most: float = SUM_ROUNDOFFS, ordered: bool = True
) -> float:
    """C6 for n terms: min(n + 8, most), or n + 8 where the order of addition is not the subject's.

    A `most` beyond the contract's is a weaker claim, and then holds for every n.
    """
    if most > SUM_ROUNDOFFS:
        return max(most, any_order(selected))
    if format_of(dtype).roundoff > format_of(torch.float32).roundoff:
        most = min(most, HALF_ROUNDOFFS)
    return min(any_order(selected), most) if ordered else any_order(selected)


def tangent_roundoffs(selected: int, *, ordered: bool = True) -> float:
    """Of a sum of gradients times tangents: each is within C11, and they are added as in C6."""
    added = any_order(selected)
    return GRADIENT_ROUNDOFFS + (min(added, SUM_ROUNDOFFS) if ordered else added)


def value_bound(answer: Exact, reduction: str, dtype: torch.dtype, roundoffs: float) -> Fraction:
    """C6: `roundoffs` unit roundoffs of the result, and what underflow may take.

    That is one smallest subnormal for each square and one for the division.
    """
    assert isinstance(answer.total, Fraction)
    fmt = format_of(dtype)
    relative = Fraction(roundoffs) * fmt.roundoff * abs(answer.total) / answer.divisor(reduction)
    return relative + (answer.selected + 1) * fmt.smallest


def value_fault(
    got: Tensor,
    answer: Exact,
    reduction: str,
    *,
    roundoffs: float | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[str, str] | None:
    """None if `got` is a right value in the format of `dtype`, else (wanted, bound) in words.

    `roundoffs` are those of C6, unless others are given. Beyond the range of the dtype +inf is
    right (C6). Where only the sum overflows and the quotient would be in range, both the quotient
    and +inf are right: the contract leaves it open.
    """
    value = got.item()
    wanted = answer.reduced(reduction)
    if isinstance(wanted, str):
        right = math.isnan(value) if wanted == "nan" else value == math.inf
        return None if right else (wanted, "exact (C9)")
    dtype = dtype or got.dtype
    if roundoffs is None:
        roundoffs = sum_roundoffs(answer.selected, dtype)
    bound = value_bound(answer, reduction, dtype, roundoffs)
    fmt = format_of(dtype)
    if value == math.inf:
        assert isinstance(answer.total, Fraction)
        reach = answer.total * (1 + Fraction(roundoffs) * fmt.roundoff)
        return None if reach >= fmt.overflow else (shown(wanted), f"± {shown(bound)}")
    if wanted - bound >= fmt.overflow:
        return ("inf", f"the exact value {shown(wanted)} is beyond {shown(fmt.largest)} (C6)")
    if math.isfinite(value) and abs(Fraction(value) - wanted) <= bound:
        return None
    return (shown(wanted), f"± {shown(bound)} ({roundoffs:g} unit roundoffs, C6)")


def shown(number: Fraction) -> str:
    """A rational to 17 digits; whole where it is short."""
    if number.denominator == 1 and abs(number) < 10**15:
        return str(number.numerator)
    try:
        return (
            f"{float(number):.17g}" if float(number) else f"{number.numerator}/{number.denominator}"
        )
    except OverflowError:
        digits = len(str(abs(number.numerator) // number.denominator)) - 1
        return f"about 1e{digits}"


def gradient_fault(
    got: Tensor,
    inputs: Inputs,
    reduction: str,
    *,
    sign: int,
    upstream: float = 1.0,
    roundoffs: float = GRADIENT_ROUNDOFFS,
) -> tuple[tuple[int, int], float, float, float, bool] | None:
    """The first position whose gradient is wrong: (position, got, wanted, bound, beyond), or None.

    wanted = sign · 2 (x_recon − x) · mask · upstream / divisor, within 16 unit roundoffs of the
    gradient's dtype (C11), exactly zero outside the mask (C12). Evaluated in numpy.longdouble;
    or in float64 where that is twice as wide as all that is given; where neither is wider than what
    is judged, its two roundings come out of the sixteen. Where a product
    on the way leaves the range of the arithmetic (overflow, or bits lost in subnormals), whatever
    some order of evaluation gives is right: with `beyond`, infinity of the right sign is too.
    """
    recon, target, bits = (as_array(t) for t in inputs)
    mask = bits.astype(np.bool_)
    gradient = as_array(got)
    outside = gradient[~mask]
    if outside.size and not (outside == 0).all():
        r, c = (int(i) for i in np.argwhere(~mask & ~(gradient == 0))[0])
        return (r, c), float(gradient[r, c]), 0.0, 0.0, False
    if not mask.any():
        return None
    recon, target, values = recon[mask], target[mask], gradient[mask]
    divisor = {"sum": 1, "mean": int(mask.sum()), "batch_mean": mask.shape[0]}[reduction]
    working = result_dtype(inputs.x_recon.dtype, inputs.x.dtype)
    fmt, work = format_of(got.dtype), format_of(working)
    # The values are exact in float64, which holds twice the digits of all but itself.
    narrow = torch.float64 not in (inputs.x_recon.dtype, inputs.x.dtype, got.dtype)
    wide = np.float64 if narrow else np.longdouble
    with np.errstate(all="ignore"):
        d = recon.astype(wide) - target.astype(wide)
        wanted = sign * 2 * d * wide(upstream) / divisor
        product = np.maximum(np.maximum(abs(2 * d), abs(2 * d * upstream)), abs(wanted))
        risky = product >= float(work.largest)
        # A scale or product that is subnormal in the working dtype has lost bits before the end.
        factor = min(abs(upstream) / divisor, abs(upstream) or 1.0, 1.0)
        slack = float(fmt.smallest) + (
            2 * np.abs(d) * float(work.smallest) if factor < float(work.smallest_normal) else 0
        )
        slack = slack + float(work.smallest) * max(1.0, abs(upstream))
        bound = roundoffs * float(fmt.roundoff) * np.abs(wanted) + slack
        close = np.abs(values - wanted) <= bound
        same = (np.isnan(values) & np.isnan(wanted)) | (values == wanted)
        top = float(fmt.largest)
        saturated = (
            np.isinf(values) & (np.sign(values) == np.sign(wanted)) & (np.abs(wanted) + bound > top)
        )
        near = (
            (np.abs(values) == top)
            & (np.abs(wanted) + bound >= top)
            & (np.abs(wanted) - bound <= top)
        )
        spilled = risky & np.isinf(values) & (np.sign(values) == np.sign(wanted))
        if upstream == 0:  # times an infinite 2 (x_recon − x)
            spilled |= risky & np.isnan(values)
        right = close & np.isfinite(wanted) | same | saturated | near | spilled
    if right.all():
        return None
    at = int(np.flatnonzero(~right)[0])
    r, c = (int(i) for i in np.argwhere(mask)[at])
    limit = float(np.asarray(bound)[at])
    beyond = bool(risky[at]) or abs(float(wanted[at])) + limit > top
    return (r, c), float(values[at]), float(wanted[at]), limit, beyond
