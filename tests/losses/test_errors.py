"""Everything outside C2 is refused, with a message that says what to do instead (C3)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from wavemae import masked_mse, masked_sse

Loss = Callable[..., Tensor]

VALUES = torch.zeros(3, 4)
MASK = torch.ones(3, 4, dtype=torch.bool)
GOOD: dict[str, Any] = {"x_recon": VALUES, "x": VALUES, "mask": MASK}

either_loss = pytest.mark.parametrize("loss", [masked_sse, masked_mse])


class BadInput(NamedTuple):
    """One argument replaced by something wrong, and what the error must be and say."""

    what: str
    argument: str
    value: Any
    error: type[Exception]
    says: tuple[str, ...]


def not_a_tensor() -> list[BadInput]:
    """Lists, arrays, None and Python numbers, for each of the three tensors."""
    rows = []
    for name, good in GOOD.items():
        for value, got in [
            (good.tolist(), "list"),
            (good.numpy(), "ndarray"),
            (None, "NoneType"),
            (1.0, "float"),
            (1, "int"),
            (True, "bool"),
            (np.float32(1.0), "float32"),
        ]:
            says = (f"{name} must be a torch.Tensor", f"got {got}", f"torch.as_tensor({name})")
            rows.append(BadInput(got, name, value, TypeError, says))
    return rows


def wrong_dtype() -> list[BadInput]:
    """Values that are not floats of 16, 32 or 64 bits, and masks that are not bool."""
    rows = []
    for name in ("x_recon", "x"):
        for dtype in (
            torch.uint8,
            torch.int32,
            torch.int64,
            torch.bool,
            torch.complex64,
            torch.float8_e4m3fn,
            torch.float8_e5m2,
        ):
            wanted = f"{name} must be float16, bfloat16, float32 or float64"
            says = (wanted, f"got {dtype}", f"{name}.float()")
            rows.append(BadInput(str(dtype), name, VALUES.to(dtype), TypeError, says))
    for dtype in (torch.uint8, torch.int64, torch.float32, torch.float16):
        says = (
            f"mask must be bool (True = masked = counted), got {dtype}",
            "mask.bool()",
            "~visible",
        )
        rows.append(BadInput(str(dtype), "mask", MASK.to(dtype), TypeError, says))
    return rows


def wrong_layout() -> list[BadInput]:
    """Sparse and nested tensors."""
    rows = []
    for name, good in GOOD.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch says of CSR and of nesting that it is beta.
            layouts = [
                ("sparse COO", "torch.sparse_coo", good.to_sparse_coo()),
                ("sparse CSR", "torch.sparse_csr", good.to_sparse_csr()),
                ("nested", "nested", torch.nested.nested_tensor([good[0], good[1]])),
                (
                    "nested, jagged",
                    "nested",
                    torch.nested.nested_tensor([good[0], good[1]], layout=torch.jagged),
                ),
            ]
        for what, layout, value in layouts:
            says = (
                f"{name} must be a dense tensor (torch.strided)",
                f"got layout {layout}",
                f"{name}.to_dense()",
            )
            rows.append(BadInput(what, name, value, TypeError, says))
    return rows


def wrong_ndim() -> list[BadInput]:
    """0-d, 1-D and 3-D tensors, also (B,) and (L,), which elsewhere would broadcast."""
    rows = []
    for name, good in GOOD.items():
        for shape in [(), (3,), (4,), (12,), (1, 3, 4), (3, 4, 1)]:
            value = good.new_ones(shape)
            says = (f"{name} must have shape (B, L)", f"got {shape}", f"{name}.reshape(B, L)")
            rows.append(BadInput(str(shape), name, value, ValueError, says))
    return rows


def wrong_shape() -> list[BadInput]:
    """2-D tensors of another shape, also those that would broadcast, and those of the same size."""
    rows = []
    for name, good in GOOD.items():
        for shape in [(1, 4), (3, 1), (1, 1), (4, 3), (2, 6), (3, 5), (2, 4), (0, 4), (3, 0)]:
            # Where x_recon is the odd one, x is the first to differ from it.
            other, wanted, got = (
                ("x", shape, (3, 4)) if name == "x_recon" else (name, (3, 4), shape)
            )
            says = (
                f"{other} must have the shape of x_recon, {wanted}, got {got}",
                "nothing is broadcast",
                f"expand {other} first",
            )
            rows.append(BadInput(str(shape), name, good.new_ones(shape), ValueError, says))
    return rows


def wrong_device() -> list[BadInput]:
    """One tensor on another device than the other two; meta stands for any of them."""
    rows = []
    for name, good in GOOD.items():
        other, wanted, got = ("x", "meta", "cpu") if name == "x_recon" else (name, "cpu", "meta")
        says = (
            f"{other} must be on the device of x_recon, {wanted}, got {got}",
            f"{other}.to(x_recon.device)",
        )
        rows.append(BadInput("meta", name, good.to("meta"), ValueError, says))
    return rows


def wrong_reduction() -> list[BadInput]:
    """Names that are no reduction here, and things that are no string."""
    wanted = "'sum', 'mean' or 'batch_mean'"
    rows = [
        BadInput(
            repr(value),
            "reduction",
            value,
            ValueError,
            (f"reduction must be {wanted}, got {value!r}", "(x_recon - x).square()[mask]"),
        )
        for value in ("none", "SUM", "Mean", "", "avg", "batchmean", "mean ")
    ]
    for value in (None, 3, True, ["mean"], b"mean"):
        says = ("reduction must be a string", f"got {type(value).__name__} ({value!r})", wanted)
        rows.append(BadInput(repr(value), "reduction", value, TypeError, says))
    return rows


BAD_INPUTS = [
    *not_a_tensor(),
    *wrong_dtype(),
    *wrong_layout(),
    *wrong_ndim(),
    *wrong_shape(),
    *wrong_device(),
    *wrong_reduction(),
]


class Operations(TorchDispatchMode):
    """Records every operation that reaches PyTorch's kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Record and go on."""
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@either_loss
@pytest.mark.parametrize("bad", [pytest.param(b, id=f"{b.argument}-{b.what}") for b in BAD_INPUTS])
def test_bad_input(loss: Loss, bad: BadInput) -> None:
    """The error has its type, and names the argument, what came, what is wanted, the way out."""
    with pytest.raises(bad.error) as caught:
        loss(**{**GOOD, bad.argument: bad.value})
    assert type(caught.value) is bad.error
    for fragment in bad.says:
        assert fragment in str(caught.value)


@either_loss
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b, id=f"{b.argument}-{b.what}")
        for b in BAD_INPUTS
        if b.what != "nested, jagged"
    ],
)
def test_bad_input_raises_before_any_arithmetic(loss: Loss, bad: BadInput) -> None:
    """No operation has run when the error is raised (a jagged tensor cannot be watched so)."""
    with Operations() as operations, pytest.raises(bad.error):
        loss(**{**GOOD, bad.argument: bad.value})
    assert operations.seen == []


@either_loss
def test_operations_are_seen_when_nothing_is_wrong(loss: Loss) -> None:
    """The recorder of the test above does see the arithmetic of a good call."""
    with Operations() as operations:
        loss(**GOOD)
    assert any("sub" in operation for operation in operations.seen)


@either_loss
@pytest.mark.parametrize("argument", ["x_recon", "x", "mask"])
def test_missing_argument(loss: Loss, argument: str) -> None:
    """None of the three tensors has a default."""
    some = {name: tensor for name, tensor in GOOD.items() if name != argument}
    with pytest.raises(TypeError, match=rf"missing 1 required positional argument: '{argument}'"):
        loss(**some)


@either_loss
def test_reduction_by_position(loss: Loss) -> None:
    """A fourth positional argument is refused, right or wrong (C1)."""
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
        loss(VALUES, VALUES, MASK, "mean")


@either_loss
def test_all_arguments_of_one_broadcastable_set(loss: Loss) -> None:
    """(B, 1) against (1, L) is refused although PyTorch would broadcast both to (B, L)."""
    message = "x must have the shape of x_recon, (3, 1), got (1, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        loss(torch.zeros(3, 1), torch.zeros(1, 4), MASK)


@either_loss
def test_bad_input_is_refused_also_when_nothing_would_be_computed(loss: Loss) -> None:
    """An empty batch does not hide a mask of another dtype or shape."""
    empty = torch.zeros(0, 4)
    with pytest.raises(TypeError, match=r"mask must be bool"):
        loss(empty, empty, torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"got \(0, 5\)"):
        loss(empty, empty, torch.zeros(0, 5, dtype=torch.bool))
