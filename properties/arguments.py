"""C1–C3: the signature, what is taken, and what is refused before any arithmetic."""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .cases import (
    DEFAULT_REDUCTION,
    DTYPES,
    FUNCTIONS,
    REDUCTIONS,
    Case,
    Inputs,
    Lattice,
    Mask,
    Operand,
)
from .effort import Effort
from .probe import Probe, same_bits
from .registry import prop
from .strategies import CALLS, cases, small_grid
from .violation import Violation

NAMES = ("x_recon", "x", "mask")
STRICT = ("strict_inputs",)


@dataclass(frozen=True)
class Bad:
    """A bad call: the argument at fault, what stands there, the error, facts the message must hold.

    `make` is an expression for the bad argument; `good` is the tensor that would have been right.
    """

    argument: str
    make: str
    error: type[Exception] | tuple[type[Exception], ...]
    facts: tuple[str, ...]

    def value(self, good: Tensor) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that sparse and half complex are in beta
            return eval(self.make, {"torch": torch, "np": np, "good": good, "nan": float("nan")})


def _refused(probe: Probe, bad: Bad, case: Case, *, words: bool = False) -> None:
    """Raise unless the bad call is refused with the right error and nothing is modified.

    With `words`, judge the message instead: it must name the argument and state the facts.
    """
    inputs = probe.build(case)
    probe.note(inputs.mask)
    given: dict[str, Any] = dict(zip(NAMES, inputs, strict=True))
    if bad.argument in given:
        given[bad.argument] = bad.value(given[bad.argument])
    before = {name: (t.clone(), t._version) for name, t in given.items() if _plain_tensor(t)}
    text = partial(_bad_call, probe, bad, case)
    wanted = " or ".join(
        e.__name__ for e in (bad.error if isinstance(bad.error, tuple) else (bad.error,))
    )
    what = f"{bad.argument} = {bad.make}"
    message = ""
    try:
        probe.calls += 1
        keyword = {} if case.reduction is None else {"reduction": case.reduction}
        if bad.argument == "reduction":
            keyword = {"reduction": bad.value(inputs.x)}
        got = probe.function(case.function)(*given.values(), **keyword)
    except bad.error as error:
        message = str(error)
    except Exception as error:
        if words:
            return  # another property judges the type
        raise Violation(
            f"{what} is refused with the wrong kind of error",
            got=f"{type(error).__name__}: {error}",
            wanted=wanted,
            script=text,
        ) from None
    else:
        if words:
            return
        raise Violation(f"{what} is accepted", got=got, wanted=wanted, script=text)
    if words:
        _informs(bad, message, text)
        return
    for name, (copy, version) in before.items():
        tensor = given[name]
        if tensor._version != version or not same_bits(tensor, copy):
            raise Violation(
                f"{name} was modified by a call that was refused",
                got=tensor,
                wanted=copy,
                script=text,
            )


def _bad_call(probe: Probe, bad: Bad, case: Case) -> str:
    reduction = "" if case.reduction is None else f", reduction={case.reduction!r}"
    lines = case.script(probe.subject.imports, call=False).splitlines()
    if bad.argument in NAMES:
        lines += [f"good = {bad.argument}", f"{bad.argument} = {bad.make}"]
    else:
        reduction = f", reduction={bad.make}"
    return "\n".join([*lines, f"{case.function}(x_recon, x, mask{reduction})  # must raise"])


def _plain_tensor(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and value.device.type != "meta"
        and value.element_size() <= 8
        and value.dtype != torch.complex32  # which torch cannot compare
        and not value.is_quantized
        and not str(value.dtype).startswith("torch.float8")
    )


def _informs(bad: Bad, message: str, script: Callable[[], str]) -> None:
    if not re.search(rf"(?<![A-Za-z_0-9]){bad.argument}(?![A-Za-z_0-9])", message):
        raise Violation(
            f"the message does not name the argument {bad.argument}",
            got=message,
            wanted=f"the word {bad.argument}",
            script=script,
        )
    lower = message.lower()
    for fact in bad.facts:
        if not re.search(fact, lower):
            raise Violation(
                "the message does not say what came",
                got=message,
                wanted=f"something that matches {fact!r}",
                script=script,
            )


NON_TENSORS = tuple(
    Bad(name, make, TypeError, (fact,))
    for name in NAMES
    for make, fact in (
        ("good.tolist()", r"list|\[\["),
        ("good.numpy()", "array|numpy"),
        ("None", "none"),
        ("1.0", r"float|1\.0"),
        ("1", r"int|\b1\b"),
        ("True", "bool|true"),
        ("tuple(good)", r"tuple|\(tensor"),
        ("'mask'", "str|'mask'"),
    )
)
VALUE_DTYPES = tuple(
    Bad(name, f"good.to(torch.{dtype})", TypeError, (fact,))
    for name in ("x_recon", "x")
    for dtype, fact in (
        ("int64", "int64|long"),
        ("int32", "int32|int"),
        ("int16", "int16|short"),
        ("int8", "int8|char"),
        ("uint8", "uint8|byte"),
        ("uint16", "uint16"),
        ("uint32", "uint32"),
        ("uint64", "uint64"),
        ("bool", "bool"),
        ("complex32", "complex|chalf"),
        ("complex64", "complex"),
        ("complex128", "complex"),
        ("float8_e4m3fn", "float8"),
        ("float8_e5m2", "float8"),
        ("float8_e4m3fnuz", "float8"),
        ("float8_e5m2fnuz", "float8"),
    )
) + tuple(
    Bad(
        name,
        f"torch.quantize_per_tensor(good.detach().float(), 0.1, 0, torch.{dtype})",
        TypeError,
        (dtype,),
    )
    for name in ("x_recon", "x")
    for dtype in ("qint8", "quint8")
)
MASK_DTYPES = tuple(
    Bad("mask", make, TypeError, (fact,))
    for make, fact in (
        ("good.to(torch.uint8)", "uint8|byte"),
        ("good.to(torch.uint8) * 255", "uint8|byte"),
        ("good.to(torch.int8)", "int8|char"),
        ("good.to(torch.int32)", "int32|int"),
        ("good.to(torch.int64)", "int64|long"),
        ("good.to(torch.float16)", "float16|half"),
        ("good.to(torch.float32)", "float32|float"),
        ("good.to(torch.float64)", "float64|double"),
        ("good.to(torch.bfloat16)", "bfloat16"),
        ("good.to(torch.complex64)", "complex"),
        ("torch.zeros_like(good, dtype=torch.int64)", "int64|long"),
        ("torch.ones_like(good, dtype=torch.float32) / 2", "float32|float"),
    )
)
LAYOUTS = tuple(
    Bad(name, make, TypeError, (fact,))
    for name in NAMES
    for make, fact in (
        ("good.to_sparse()", "sparse|coo"),
        ("good.to_sparse_csr()", "sparse|csr"),
        ("good.to_sparse_csc()", "sparse|csc"),
        ("good.to_sparse_bsr((1, 2))", "sparse|bsr"),
        ("good.to_sparse_bsc((3, 1))", "sparse|bsc"),
        ("good.detach().float().to_mkldnn()", "mkldnn|layout"),
    )
    if "mkldnn" not in make or (name != "mask" and torch.backends.mkldnn.is_available())
)
SHAPES = tuple(
    Bad(name, make, ValueError, (fact,))
    for name in NAMES
    for make, fact in (
        ("good[0]", r"\b4\b|\b1\b|dim"),
        ("good[:, 0]", r"\b3\b|\b1\b|dim"),
        ("good[0, 0]", r"\(\)|\[\]|0|scalar|dim"),
        ("good[None]", r"1\D+3\D+4|\b3\b|dim"),
        ("good[..., None]", r"3\D+4\D+1|\b3\b|dim"),
        ("good[:1]", r"\b1\b"),
        ("good[:, :1]", r"\b1\b"),
        ("good[:1, :1]", r"\b1\b"),
        ("good[:2]", r"\b2\b"),
        ("good[:, :2]", r"\b2\b"),
        ("good[:0]", r"\b0\b"),
        ("good[:, :0]", r"\b0\b"),
        ("good.t()", r"\b[34]\b"),
        ("good.reshape(2, 6)", r"\b[26]\b"),
        ("good.reshape(1, 12)", r"\b1\b|\b12\b"),
        ("good.reshape(-1)", r"12|\b1\b|dim"),
        ("good.repeat(1, 2)", r"\b8\b"),
        ("good.repeat(2, 1)", r"\b6\b"),
    )
)
DEVICES = tuple(Bad(name, "good.to('meta')", ValueError, ("meta",)) for name in NAMES)
REDUCTION = tuple(
    Bad("reduction", make, error, (fact,))
    for make, error, fact in (
        ("'none'", ValueError, "none"),
        ("'SUM'", ValueError, "sum"),
        ("'Mean'", ValueError, "mean"),
        ("''", ValueError, r"''|\"\"|empty"),
        ("'batchmean'", ValueError, "batchmean"),
        ("'batch-mean'", ValueError, "batch-mean"),
        ("' mean'", ValueError, "mean"),
        ("'sum '", ValueError, "sum"),
        ("'means'", ValueError, "means"),
        ("'m'", ValueError, "m"),
        ("None", (TypeError, ValueError), "none"),
        ("3", (TypeError, ValueError), "3|int"),
        ("0", (TypeError, ValueError), "0|int"),
        ("True", (TypeError, ValueError), "true|bool"),
        ("b'sum'", (TypeError, ValueError), "sum|bytes"),
        ("['sum']", (TypeError, ValueError), "sum|list"),
        ("('mean',)", (TypeError, ValueError), "mean|tuple"),
        ("torch.mean", (TypeError, ValueError), "mean|builtin|function"),
        ("__import__('enum').Enum('R', {'SUM': 'sum'}).SUM", (TypeError, ValueError), "sum|enum"),
    )
)

_BASE = Case(shape=(3, 4), mask=Mask("bernoulli", 3))


def _bases(argument: str, effort: Effort) -> Iterator[Case]:
    """Good calls to spoil, with masks among them that a hasty early return would take."""
    calls = CALLS if argument != "reduction" else tuple((f, None) for f in FUNCTIONS)
    masks, dtypes = ["bernoulli", "empty", "full"], ["float32", "float16"]
    if effort.thin > 1:
        calls, masks, dtypes = (calls[0], calls[-1]), ["full", "empty"], ["float32"]
    for function, reduction in calls:
        for mask, dtype in itertools.product(masks, dtypes):
            grads = ("x_recon",) if mask == "full" else ()
            yield _BASE.but(
                function=function,
                reduction=reduction,
                mask=Mask(mask, 3),
                x_recon=Operand(dtype, Lattice(1)),
                x=Operand(dtype, Lattice(2)),
                grads=grads,
            )


def _all_refused(
    probe: Probe, effort: Effort, table: tuple[Bad, ...], shapes: tuple[tuple[int, int], ...]
) -> None:
    for bad in table:
        for case in _bases(bad.argument, effort):
            if "numpy" in bad.make or "tolist" in bad.make:
                case = case.but(grads=())
            for shape in shapes:
                _refused(probe, bad, probe.fit(case.but(shape=shape)))


_REFUSED_FIRST = (
    "A bad argument that gets through is computed with: broadcast, taken as indices, or as weights."
)


@prop(
    "C1-default-reduction",
    statement='Without `reduction`, masked_sse is "batch_mean" and masked_mse is "mean".',
    rationale="The two functions differ in their default and in nothing else.",
    catches="a default of the other function, or of F.mse_loss",
    needs=("default",),
    cases=cases(empty=False),
    grid=lambda effort: small_grid(
        effort,
        shapes=((1, 2), (2, 1), (2, 3), (3, 2)),
        pairs=(("float32", "float32"), ("float64", "float64"), ("float16", "float16")),
        calls=tuple((f, None) for f in FUNCTIONS),
    ),
)
def default_reduction(probe: Probe, case: Case) -> None:
    if DEFAULT_REDUCTION[case.function] not in probe.claims.reductions:
        (other,) = {*probe.subject.functions} - {case.function}
        case = case.but(function=other)
    case = case.but(reduction=None)
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


@prop(
    "C1-keywords",
    statement="x_recon, x and mask may be given by name, in any order, with the same result.",
    rationale="Names are part of the signature: training code calls losses by keyword.",
    catches="renamed or swapped parameters",
    cases=cases(empty=False),
    weight=0.3,
)
def keywords(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    plain = probe.call(case, inputs)
    given: dict[str, Any] = {} if case.reduction is None else {"reduction": case.reduction}
    function = probe.function(case.function)
    keyword = ", ".join(
        [f"{n}={n}" for n in reversed(NAMES)] + [f"{k}={v!r}" for k, v in given.items()]
    )
    for named in (
        function(mask=inputs.mask, x=inputs.x, x_recon=inputs.x_recon, **given),
        function(inputs.x_recon, mask=inputs.mask, x=inputs.x, **given),
    ):
        if not isinstance(named, Tensor) or not same_bits(plain, named):
            raise Violation(
                "by name the result is another one",
                got=named,
                wanted=plain,
                script="\n".join(
                    [
                        case.script(probe.subject.imports),
                        f"print({case.function}({keyword}))",
                    ]
                ),
            )


@prop(
    "C1-equal-strings",
    fixed=True,
    statement="A reduction is known by its value: a string made at run time does as well.",
    rationale="Configuration files and command lines make strings that are equal, not identical.",
    catches="`is` between strings",
    grid=lambda effort: (
        _BASE.but(function=function, reduction=reduction)
        for function, reduction in CALLS
        if reduction is not None
    ),
)
def equal_strings(probe: Probe, case: Case) -> None:
    assert case.reduction is not None
    inputs = probe.build(case)
    probe.note(inputs.mask)
    probe.calls += 1
    made = "".join(list(case.reduction))
    loss = probe.function(case.function)(*inputs, reduction=made)
    try:
        probe.right_value(loss, case, inputs)
    except Violation as violation:
        call = f"{case.function}(x_recon, x, mask, reduction=''.join({list(case.reduction)}))"
        violation.script = f"{case.script(probe.subject.imports, call=False)}\nprint({call})"
        raise


def _no_such_call(probe: Probe, case: Case, call: str, what: str) -> None:
    """Raise unless `call`, which stands for arguments after the function's name, is a TypeError."""
    loss = getattr(probe.subject, case.function)
    if loss is None:
        return
    inputs = probe.build(case)
    probe.note(inputs.mask)
    probe.calls += 1
    try:
        got = eval(f"loss({call})", {"loss": loss, **inputs._asdict()})
    except TypeError:
        return
    script = case.script(probe.subject.imports, call=False)
    script += f"\n{case.function}({call})  # must raise TypeError"
    raise Violation(what, got=got, wanted="TypeError", script=script)


@prop(
    "C1-keyword-only",
    fixed=True,
    statement="`reduction` given by position raises TypeError.",
    rationale="A fourth positional argument may mean anything; the keyword cannot be mistaken.",
    catches="a signature without the bare star",
    needs=STRICT,
)
def keyword_only(probe: Probe) -> None:
    for function, reduction in itertools.product(FUNCTIONS, REDUCTIONS):
        case = _BASE.but(function=function, reduction=reduction)
        call = f"x_recon, x, mask, {reduction!r}"
        _no_such_call(probe, case, call, "reduction is taken by position")


@prop(
    "C1-required-arguments",
    fixed=True,
    statement="x_recon, x and mask are required: leaving one out raises TypeError.",
    rationale="A forgotten mask must not become a mask that counts everything.",
    catches="defaults for arguments that have none",
    needs=STRICT,
)
def required_arguments(probe: Probe) -> None:
    for function, reduction in itertools.product(FUNCTIONS, (None, *REDUCTIONS)):
        case = _BASE.but(function=function, reduction=reduction)
        rest = "" if reduction is None else f", reduction={reduction!r}"
        for call in ("x_recon, x", "x_recon, mask=mask", "x=x, mask=mask", "x_recon"):
            _no_such_call(probe, case, call + rest, "an argument may be left out")


@prop(
    "C1-unknown-keyword",
    fixed=True,
    statement="A keyword that the signature does not have raises TypeError.",
    rationale='`reduciton="sum"` must not train silently with the default.',
    catches="**kwargs swallowed",
    needs=STRICT,
)
def unknown_keyword(probe: Probe) -> None:
    for function, keyword in itertools.product(FUNCTIONS, ("reduciton", "weight", "size_average")):
        case = _BASE.but(function=function, reduction=None)
        _no_such_call(probe, case, f"x_recon, x, mask, {keyword}='sum'", f"{keyword}= is taken")


@prop(
    "C2-dtypes",
    statement="Each of x_recon and x may be float16, bfloat16, float32 or float64, in any pairing.",
    rationale="Under AMP the model's output is half and the target is not.",
    catches="a kernel that knows one dtype, or only equal ones",
    cases=cases(tier="lattice"),
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3), (1, 5), (4, 4)), patterns=("full", "bernoulli")
    ),
)
def dtypes(probe: Probe, case: Case) -> None:
    loss, inputs = probe.loss(case)
    probe.right_value(loss, case, inputs)


class _Spectrum(Tensor):
    """A tensor subclass with nothing of its own."""


@prop(
    "C2-subclasses",
    statement="Parameters, tensor subclasses and inputs that require grad are tensors like others.",
    rationale="A decoder may end in a parameter; data sets wrap tensors.",
    catches="`type(x) is Tensor`; leaves or parameters refused",
    grid=lambda effort: small_grid(
        effort, shapes=((2, 3),), patterns=("bernoulli", "empty"), pairs=(("float32", "float32"),)
    ),
)
def subclasses(probe: Probe, case: Case) -> None:
    inputs = probe.build(case)
    probe.note(inputs.mask)
    kinds: list[Callable[[Tensor], Tensor]] = [lambda t: t.as_subclass(_Spectrum)]
    if probe.claims.gradients:
        kinds[:0] = [torch.nn.Parameter, lambda t: t.clone().requires_grad_() * 1]
    for kind in kinds:
        for given in (
            (kind(inputs.x_recon), inputs.x),
            (inputs.x_recon, kind(inputs.x)),
            (kind(inputs.x_recon), kind(inputs.x)),
        ):
            as_given = Inputs(*given, inputs.mask)
            loss = probe.call(case, as_given)
            probe.right_value(loss.as_subclass(Tensor), case, inputs)
            wrt = tuple(n for n in ("x_recon", "x") if getattr(as_given, n).requires_grad)
            if wrt and not probe.excused(inputs):
                found = probe.pull(case.but(grads=wrt), loss, as_given)
                probe.right_gradients(found, case, inputs)


@prop(
    "C3-non-tensors",
    fixed=True,
    statement="Anything but a tensor, for any argument, raises TypeError.",
    rationale=_REFUSED_FIRST,
    catches="lists and arrays converted in silence; None or True taken as a mask",
    needs=STRICT,
    scaled=True,
)
def non_tensors(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, NON_TENSORS, ((3, 4),))


@prop(
    "C3-value-dtypes",
    fixed=True,
    statement="Integer, bool, complex, quantized or float8 values raise TypeError.",
    rationale="uint8 spectra wrap around when they are subtracted; complex squares are no errors.",
    catches="integer wrap-around; complex values; silent promotion of float8",
    needs=STRICT,
    scaled=True,
)
def value_dtypes(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, VALUE_DTYPES, ((3, 4), (1, 1), (0, 4)))


@prop(
    "C3-unclaimed-dtypes",
    fixed=True,
    statement="A dtype that the subject does not claim is refused, or answered rightly.",
    rationale="Not to support a dtype is no fault; to answer wrongly in it is.",
    catches="kernels that read the memory of another dtype as their own",
    needs=STRICT,
)
def unclaimed_dtypes(probe: Probe) -> None:
    claimed = probe.claims.dtypes[0]
    others = [dtype for dtype in DTYPES if dtype not in probe.claims.dtypes]
    base = probe.fit(_BASE)
    loss, inputs = probe.loss(base)
    probe.right_value(loss, base, inputs)
    for dtype, (function, reduction) in itertools.product(others, CALLS):
        for pair in ((dtype, dtype), (claimed, dtype), (dtype, claimed)):
            case = _BASE.but(function=function, reduction=reduction)
            if getattr(probe.subject, function) is None:
                continue
            case = case.but(x_recon=Operand(pair[0], Lattice(1)), x=Operand(pair[1], Lattice(2)))
            try:
                loss, inputs = probe.loss(case)
            except (TypeError, ValueError):
                continue
            probe.right_value(loss, case, inputs)


@prop(
    "C3-mask-dtypes",
    fixed=True,
    statement="A mask that is not bool raises TypeError.",
    rationale="An integer mask indexes rows, a {0, 255} mask weighs, a float mask may be anything.",
    catches="integer mask taken as indices; non-binary mask taken as weights",
    needs=STRICT,
    scaled=True,
)
def mask_dtypes(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, MASK_DTYPES, ((3, 4), (1, 1), (0, 4)))


_PAIRS = (
    *(f"good.to(torch.{d})" for d in ("uint8", "int64", "int32", "bool", "complex64")),
    "(good * 30).to(torch.uint8)",
    "good.detach().numpy()",
    "good.tolist()",
    "good.to_sparse()",
)


@prop(
    "C3-both-alike",
    fixed=True,
    statement="Two inputs that are wrong in the same way are refused like one.",
    rationale="uint8 spectra against uint8 reconstructions agree with each other, and wrap around.",
    catches="checks that only compare x_recon and x with one another",
    needs=STRICT,
)
def both_alike(probe: Probe) -> None:
    for make, (function, reduction) in itertools.product(_PAIRS, CALLS):
        case = probe.fit(_BASE.but(function=function, reduction=reduction))
        inputs = probe.build(case)
        probe.note(inputs.mask)
        bad = Bad("x_recon", make, TypeError, ())
        for everything in (False, True):
            given = [bad.value(t) for t in inputs[:2]]
            given.append(bad.value(inputs.mask) if everything else inputs.mask)
            script = [case.script(probe.subject.imports, call=False)]
            script += [f"x_recon, x = [{make} for good in (x_recon, x)]"]
            script += [f"good = mask\nmask = {make}"] if everything else []
            script += [
                f"{function}(x_recon, x, mask, reduction={reduction!r})  # must raise TypeError"
            ]
            try:
                got = probe.raw(case, *given)
            except TypeError:
                continue
            except Exception as error:
                got = f"{type(error).__name__}: {error}"
            raise Violation(
                f"x_recon and x{' and mask' if everything else ''}, each {make}, are not refused",
                got=got,
                wanted="TypeError",
                script="\n".join(script),
            )


@prop(
    "C3-layouts",
    fixed=True,
    statement="Sparse inputs, and other layouts that are not strided, raise TypeError.",
    rationale="A sparse tensor's unstored values are zeros to some operations, absent to others.",
    catches="sparse tensors half accepted",
    needs=STRICT,
    scaled=True,
)
def layouts(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, LAYOUTS, ((3, 4),))


@prop(
    "C3-shapes",
    fixed=True,
    statement="A tensor not 2-D, or of another shape, raises ValueError; none is broadcast.",
    rationale="A (B,) target against (B, 1) silently makes B² differences, and still trains.",
    catches="broadcasting; a (B,) mask that selects rows; lengths truncated to the shorter",
    needs=STRICT,
    scaled=True,
)
def shapes(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, SHAPES, ((3, 4),))


_DIMENSIONS = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@prop(
    "C3-any-mismatch",
    statement="Whenever the three shapes are not one and the same (B, L), ValueError is raised.",
    rationale="A check of pairs, or of sizes alone, lets some triples through.",
    catches="checks of numel or of one dimension; only x_recon compared",
    needs=STRICT,
    scaled=True,
)
def any_mismatch(probe: Probe, effort: Effort) -> None:
    dims = (0, 1, 2, 3)
    twos = list(itertools.product(dims, dims))
    others: list[tuple[int, ...]] = [
        (),
        *((d,) for d in dims),
        *twos,
        (2, 3, 1),
        (1, 2, 3),
        (1, 1, 1),
    ]
    number = effort.seed
    probe.note(torch.ones(1, 1, dtype=torch.bool))
    for base, other, odd in itertools.product(twos, others, range(7)):
        if base == other:
            continue
        number += 1
        if number % (7 if effort.thin > 1 else 2):
            continue
        function, reduction = CALLS[number % len(CALLS)]
        # The odd one out is one of the three, two of the three, or all three are 1-D or 3-D alike.
        spots = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))[odd]
        if odd == 6 and len(other) == 2:
            continue
        shapes = [other if spot in spots else base for spot in range(3)]
        tensors = [torch.ones(shape) for shape in shapes[:2]] + [torch.ones(shapes[2]).bool()]
        keyword = {} if reduction is None else {"reduction": reduction}
        text = "\n".join(
            [
                "import torch",
                probe.subject.imports,
                f"x_recon, x = torch.ones({shapes[0]}), torch.ones({shapes[1]})",
                f"mask = torch.ones({shapes[2]}, dtype=torch.bool)",
                f"{function}(x_recon, x, mask"
                + (f", reduction={reduction!r})" if reduction else ")")
                + "  # must raise ValueError",
            ]
        )
        probe.calls += 1
        try:
            got = probe.function(function)(*tensors, **keyword)
        except ValueError:
            continue
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        raise Violation(
            f"shapes {shapes[0]}, {shapes[1]} and {shapes[2]} are not refused with ValueError",
            got=got,
            wanted="ValueError",
            script=text,
        )


@prop(
    "C3-devices",
    fixed=True,
    statement="Inputs on different devices raise ValueError.",
    rationale="Moving a tensor in silence costs a synchronisation and hides a mistake.",
    catches="silent `.to(device)`; torch's own RuntimeError from the middle of the arithmetic",
    needs=STRICT,
    scaled=True,
)
def devices(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, DEVICES, ((3, 4), (1, 1), (0, 4)))


@prop(
    "C3-reductions",
    fixed=True,
    statement='Any reduction but "sum", "mean" and "batch_mean" is refused.',
    rationale='A misspelt reduction must not fall into another branch; "none" is not offered.',
    catches='an else branch that takes everything; "none" returning a tensor per element',
    needs=STRICT,
    scaled=True,
)
def reductions(probe: Probe, effort: Effort) -> None:
    _all_refused(probe, effort, REDUCTION, ((3, 4), (0, 4)))


@prop(
    "C3-messages",
    fixed=True,
    statement="The error's message names the argument and says what came.",
    rationale="Three tensors go in; a message that does not say which one is wrong costs an hour.",
    catches="bare assertions; messages of torch's internals",
    needs=STRICT,
)
def messages(probe: Probe) -> None:
    tables = (NON_TENSORS, VALUE_DTYPES, MASK_DTYPES, LAYOUTS, SHAPES, DEVICES, REDUCTION)
    for bad in itertools.chain(*tables):
        for function, reduction in CALLS:
            case = probe.fit(_BASE.but(function=function, reduction=reduction))
            _refused(probe, bad, case, words=True)


class _Arithmetic(TorchDispatchMode):
    """Records operators that compute with values."""

    NAMES = frozenset(
        [
            "sub",
            "add",
            "mul",
            "div",
            "pow",
            "square",
            "where",
            "sum",
            "mean",
            "masked_fill",
            "mse_loss",
            "index",
            "masked_select",
            "rsub",
            "neg",
            "abs",
            "count_nonzero",
            "nonzero",
            "dot",
            "bmm",
            "mm",
            "addcmul",
            "isnan",
            "nan_to_num",
            "bitwise_not",
            "logical_not",
            "any",
            "all",
            "item",
            "_local_scalar_dense",
            "clamp",
            "clamp_min",
        ]
    )

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.removesuffix("_")
        if name in self.NAMES:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@prop(
    "C3-before-arithmetic",
    fixed=True,
    statement="Bad input is refused before any arithmetic.",
    rationale="An error from the middle comes late, speaks of internals, may leave work behind.",
    catches="checks after the subtraction; an unknown reduction noticed at the end",
    needs=STRICT,
)
def before_arithmetic(probe: Probe) -> None:
    tables = (VALUE_DTYPES[:2], MASK_DTYPES, SHAPES, DEVICES, REDUCTION, NON_TENSORS[::5])
    for bad in itertools.chain(*tables):
        for function, reduction in CALLS:
            case = probe.fit(_BASE.but(function=function, reduction=reduction))
            inputs = probe.build(case)
            probe.note(inputs.mask)
            given: dict[str, Any] = dict(zip(NAMES, inputs, strict=True))
            keyword: dict[str, Any] = {} if reduction is None else {"reduction": reduction}
            if bad.argument in given:
                given[bad.argument] = bad.value(given[bad.argument])
            else:
                keyword = {"reduction": bad.value(inputs.x)}
            probe.calls += 1
            # That it raises, and what, is the business of the other C3 properties.
            with _Arithmetic() as recorded, contextlib.suppress(Exception):
                probe.function(function)(*given.values(), **keyword)
            if recorded.seen:
                script = case.script(probe.subject.imports, call=False)
                call = f"{function}(x_recon, x, mask"
                if bad.argument in given:
                    script += f"\ngood = {bad.argument}\n{bad.argument} = {bad.make}\n{call})"
                else:
                    script += f"\n{call}, reduction={bad.make})"
                raise Violation(
                    f"with {bad.argument} = {bad.make} it computed before it refused",
                    got=", ".join(recorded.seen[:4]),
                    wanted="no operator that computes",
                    script=script,
                )
