"""Bad calls, each said by the argument at fault and the expression that stands there."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cases import FUNCTIONS, NAMES, Case
from .effort import Effort
from .grids import CALLS
from .masks import Mask
from .operands import Operand
from .values import Lattice


@dataclass(frozen=True)
class Bad:
    """A bad call: the argument at fault, what stands there, the error, facts the message must hold.

    `make` is an expression for the bad argument; `good` is the tensor that would have been right.
    Where it is only `unlike` the others, a message may as well begin with another one of the three,
    and say of that what came, which then matches `unlike`, and that it is not like this one.
    """

    argument: str
    make: str
    error: type[Exception] | tuple[type[Exception], ...]
    facts: tuple[str, ...]
    unlike: str = ""

    def value(self, good: Tensor) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that sparse and half complex are in beta
            return eval(self.make, {"torch": torch, "np": np, "good": good, "nan": float("nan")})


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
        ("float8_e8m0fnu", "float8"),
    )
    if hasattr(torch, dtype)  # older torches have fewer
) + tuple(
    Bad(
        name,
        f"torch.quantize_per_tensor(good.detach().float(), 0.1, 0, torch.{dtype})",
        TypeError,
        (f"{dtype}|quantized",),
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
    Bad(name, make, ValueError, (fact,), unlike=r"\b3\D+4\b")
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
DEVICES = tuple(
    Bad(name, "good.to('meta')", ValueError, ("meta",), unlike="cpu|cuda") for name in NAMES
)
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
        ("'batch'", ValueError, "batch"),
        ("'um'", ValueError, "um"),
        ("'sum,mean'", ValueError, "sum,mean"),
        ("'summean'", ValueError, "summean"),
        ("None", Exception, "none"),
        ("3", Exception, "3|int"),
        ("0", Exception, "0|int"),
        ("True", Exception, "true|bool"),
        ("b'sum'", Exception, "sum|bytes"),
        ("['sum']", Exception, "sum|list"),
        ("('mean',)", Exception, "mean|tuple"),
        ("torch.mean", Exception, "mean|builtin|function"),
        (
            "__import__('enum').Enum('Kind', {'SUM': 'sum'}).SUM",
            Exception,
            "sum|enum|kind",
        ),
        (r"'mean\n'", ValueError, "mean"),
        (r"'sum\n'", ValueError, "sum"),
    )
)
BASE = Case(shape=(3, 4), mask=Mask("bernoulli", 3))


def bases(argument: str, effort: Effort) -> Iterator[Case]:
    """Good calls to spoil, with masks among them that a hasty early return would take."""
    calls = CALLS if argument != "reduction" else tuple((f, None) for f in FUNCTIONS)
    masks, dtypes = ["bernoulli", "empty", "full"], ["float32", "float16"]
    if effort.quick:
        calls, masks, dtypes = (calls[0], calls[-1]), ["full", "empty"], ["float32"]
    for function, reduction in calls:
        for mask, dtype in itertools.product(masks, dtypes):
            grads = ("x_recon",) if mask == "full" else ()
            yield BASE.but(
                function=function,
                reduction=reduction,
                mask=Mask(mask, 3),
                x_recon=Operand(dtype, Lattice(1)),
                x=Operand(dtype, Lattice(2)),
                grads=grads,
            )


ALIKE = (
    *(f"good.to(torch.{d})" for d in ("uint8", "int64", "int32", "bool", "complex64")),
    "(good * 30).to(torch.uint8)",
    "good.detach().numpy()",
    "good.tolist()",
    "good.to_sparse()",
)
FEW_TENSORS = (VALUE_DTYPES[0], VALUE_DTYPES[10], MASK_DTYPES[0], MASK_DTYPES[6])
FEW_SHAPES = tuple(
    b for b in SHAPES if b.make in ("good[:, :1]", "good[:1]", "good[None]", "good.t()")
)
FEW = (
    *FEW_TENSORS,
    *FEW_SHAPES,
    *NON_TENSORS[::5],
    *LAYOUTS[::6],
    *REDUCTION[:1],
    *REDUCTION[9:12],
)
