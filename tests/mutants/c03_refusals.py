"""Losses that break C3: bad arguments let in, or refused in another way.

Most of these make a refused call passable and then go through the definition's own checks, so that
everything else is still refused, with the right message.
"""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from wavemae.properties import Claims

from wavemae.models.losses import _check_arguments

from .catalogue import Loss, whole_mutant
from .pieces.alone import alone, functions_of
from .pieces.autograd import ordinary
from .pieces.formula import difference, normalise, right
from .pieces.signature import REDUCTIONS, checked, guarded, pair

Convert = Callable[[Any, Any], Any]
VALUE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _keep(value: Any, like: Any) -> Any:
    return value


def accepting(
    *,
    x_recon: Convert = _keep,
    x: Convert = _keep,
    mask: Convert = _keep,
    reduction: Convert = _keep,
) -> tuple[Loss, Loss]:
    """The definition, but arguments are converted first, by convert(value, like).

    `like` is x_recon, and x for x_recon itself.
    """

    def loss(a: Any, b: Any, m: Any, r: Any) -> Any:
        return guarded(x_recon(a, b), x(b, a), mask(m, a), reduction(r, a))

    return pair(loss)


def complaining(change: Callable[[Exception, Any, Any, Any], Exception]) -> tuple[Loss, Loss]:
    """The definition, but what it raises is passed through change(error, x_recon, x, mask)."""

    def loss(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Any:
        try:
            return guarded(x_recon, x, mask, reduction)
        except (TypeError, ValueError) as error:
            raise change(error, x_recon, x, mask) from None

    return pair(loss)


def _of_kind(*kinds: type) -> Convert:
    """Makes a tensor of a list, array or number."""
    return lambda value, like: torch.as_tensor(value) if isinstance(value, kinds) else value


def _of_dtype(*dtypes: torch.dtype, to: torch.dtype = torch.float32) -> Convert:
    """Converts tensors of some dtypes."""

    def convert(value: Any, like: Any) -> Any:
        return value.to(to) if isinstance(value, Tensor) and value.dtype in dtypes else value

    return convert


INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def _of_shape(wanted: Callable[[int, int], tuple[int, ...]], change: Convert) -> Convert:
    """Applies `change` to a tensor of shape wanted(B, L) where that is not (B, L) already."""

    def convert(value: Any, like: Any) -> Any:
        tensors = isinstance(value, Tensor) and isinstance(like, Tensor)
        if not tensors or like.ndim != 2 or value.shape == like.shape:
            return value
        return change(value, like) if tuple(value.shape) == wanted(*like.shape) else value

    return convert


def _expand(value: Tensor, like: Tensor) -> Tensor:
    return value.expand(like.shape)


def _one_row(rows: int, length: int) -> tuple[int, ...]:
    return (1, length)


def _one_column(rows: int, length: int) -> tuple[int, ...]:
    return (rows, 1)


def _row_vector(rows: int, length: int) -> tuple[int, ...]:
    return (length,)


def _batch_vector(rows: int, length: int) -> tuple[int, ...]:
    return (rows,)


# --- not a tensor --------------------------------------------------------------------------------


@whole_mutant("C3", "x: arrays accepted", "C3-non-tensors")
def x_array_accepted():
    return accepting(x=_of_kind(np.ndarray))


@whole_mutant("C3", "mask: arrays accepted", "C3-non-tensors")
def mask_array_accepted():
    return accepting(mask=_of_kind(np.ndarray))


@whole_mutant("C3", "x_recon: lists accepted", "C3-non-tensors")
def x_recon_list_accepted():
    return accepting(x_recon=_of_kind(list))


@whole_mutant("C3", "x: a number stands for a constant target", "C3-non-tensors")
def x_number_accepted():
    def filled(value: Any, like: Any) -> Any:
        return torch.full_like(like, value) if type(value) in (int, float) else value

    return accepting(x=filled)


@whole_mutant("C3", "x: None stands for a target of zeros", "C3-non-tensors")
def x_none_accepted():
    return accepting(x=lambda x, like: torch.zeros_like(like) if x is None else x)


@whole_mutant("C3", "mask: None means everything (seen in ChemoMAE)", "C3-non-tensors")
def mask_none_accepted():
    def filled(mask: Any, like: Any) -> Any:
        return torch.ones_like(like, dtype=torch.bool) if mask is None else mask

    return accepting(mask=filled)


@whole_mutant(
    "C3", "mask: True and False mean everything and nothing (seen in ChemoMAE)", "C3-non-tensors"
)
def mask_true_accepted():
    def filled(mask: Any, like: Any) -> Any:
        return torch.full_like(like, mask, dtype=torch.bool) if isinstance(mask, bool) else mask

    return accepting(mask=filled)


# --- dtypes and layouts --------------------------------------------------------------------------


@whole_mutant("C3", "x_recon: integers accepted", "C3-value-dtypes")
def x_recon_integer_accepted():
    return accepting(x_recon=_of_dtype(*INTEGERS))


@whole_mutant("C3", "x: uint8 spectra accepted, other integers refused", "C3-value-dtypes")
def x_uint8_accepted():
    return accepting(x=_of_dtype(torch.uint8))


@whole_mutant("C3", "two uint8 spectra are subtracted as they are and wrap around", "C3-both-alike")
def uint8_pair_wraps_around():
    def loss(x_recon, x, mask, reduction):
        pair_of = [t.dtype for t in (x_recon, x) if isinstance(t, Tensor)]
        if pair_of == [torch.uint8] * 2 and x_recon.shape == x.shape:
            return guarded((x_recon - x).float(), torch.zeros(x.shape), mask, reduction)
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "x: bool accepted", "C3-value-dtypes")
def x_bool_accepted():
    return accepting(x=_of_dtype(torch.bool))


@whole_mutant("C3", "x_recon: of complex numbers the real part is taken", "C3-value-dtypes")
def x_recon_complex_accepted():
    def real(value: Any, like: Any) -> Any:
        return value.real if isinstance(value, Tensor) and value.is_complex() else value

    return accepting(x_recon=real)


@whole_mutant("C3", "x: float8 accepted", "C3-value-dtypes")
def x_float8_accepted():
    return accepting(x=_of_dtype(*FLOAT8))


@whole_mutant("C3", "x: uint16, as detectors count, accepted", "C3-value-dtypes")
def x_uint16_accepted():
    return accepting(x=_of_dtype(torch.uint16, torch.uint32, torch.uint64))


@whole_mutant("C3", "x_recon: of half complex numbers the real part taken", "C3-value-dtypes")
def x_recon_half_complex_accepted():
    def real(value: Any, like: Any) -> Any:
        half = isinstance(value, Tensor) and value.dtype == torch.complex32
        return value.real if half else value

    return accepting(x_recon=real)


@whole_mutant("C3", "mask: uint8 accepted, as torch once did", "C3-mask-dtypes")
def mask_uint8_accepted():
    return accepting(mask=_of_dtype(torch.uint8, to=torch.bool))


@whole_mutant(
    "C3",
    "mask: int64 taken as positions in a row (seen in ChemoMAE; TensorRT #2024)",
    "C3-mask-dtypes",
)
def mask_of_indices_accepted():
    def at(mask: Any, like: Any) -> Any:
        if not isinstance(mask, Tensor) or mask.dtype != torch.int64 or like.ndim != 2:
            return mask
        counted = torch.zeros_like(like, dtype=torch.bool)
        counted[torch.arange(len(mask))[:, None], mask] = True
        return counted

    return accepting(mask=at)


@whole_mutant("C3", "mask: float taken as weights (seen in MONAI)", "C3-mask-dtypes")
def mask_of_weights_accepted():
    def loss(x_recon, x, mask, reduction):
        if not isinstance(mask, Tensor) or mask.dtype != torch.float32:
            return guarded(x_recon, x, mask, reduction)
        guarded(x_recon, x, mask != 0, reduction)
        squares = difference(x_recon, x, mask != 0).square() * mask
        return normalise(squares.sum(), mask, reduction, count=mask.sum())

    return pair(loss)


def _to_dense(value: Any, like: Any) -> Any:
    sparse = isinstance(value, Tensor) and value.layout != torch.strided
    return value.to_dense() if sparse else value


@whole_mutant("C3", "x: sparse accepted", "C3-layouts")
def x_sparse_accepted():
    return accepting(x=_to_dense)


def _dense_if_blocked(value: Any, like: Any) -> Any:
    blocked = isinstance(value, Tensor) and value.layout in (
        torch.sparse_bsr,
        torch.sparse_bsc,
        torch._mkldnn,
    )
    return value.to_dense() if blocked else value


@whole_mutant("C3", "x_recon: blocked layouts, sparse or of MKL-DNN, accepted", "C3-layouts")
def x_recon_blocked_accepted():
    return accepting(x_recon=_dense_if_blocked)


@whole_mutant("C3", "mask: sparse accepted", "C3-layouts")
def mask_sparse_accepted():
    return accepting(mask=_to_dense)


# --- shapes --------------------------------------------------------------------------------------


@whole_mutant("C3", "three vectors (L,) accepted as one row", "C3-any-mismatch")
def vectors_accepted():
    def loss(*arguments):
        *tensors, reduction = arguments
        if all(isinstance(t, Tensor) and t.ndim == 1 for t in tensors):
            tensors = [t.unsqueeze(0) for t in tensors]
        return guarded(*tensors, reduction)

    return pair(loss)


@whole_mutant(
    "C3", "three tensors (B, C, L) accepted, channels joined to the length", "C3-any-mismatch"
)
def channels_accepted():
    def loss(*arguments):
        *tensors, reduction = arguments
        if all(isinstance(t, Tensor) and t.ndim == 3 for t in tensors):
            tensors = [t.flatten(1) for t in tensors]
        return guarded(*tensors, reduction)

    return pair(loss)


@whole_mutant("C3", "x_recon: (1, L) broadcast", "C3-shapes")
def x_recon_row_broadcast():
    return accepting(x_recon=_of_shape(_one_row, _expand))


@whole_mutant(
    "C3", "x: (1, L) broadcast, and the batch size read from it (seen in ChemoMAE)", "C3-shapes"
)
def x_row_broadcast():
    def loss(x_recon, x, mask, reduction):
        expanded = _of_shape(_one_row, _expand)(x, x_recon)
        result = guarded(x_recon, expanded, mask, reduction)
        return (
            result if reduction != "batch_mean" else result * max(len(x_recon), 1) / max(len(x), 1)
        )

    return pair(loss)


@whole_mutant("C3", "x: (B, 1) broadcast", "C3-shapes")
def x_column_broadcast():
    return accepting(x=_of_shape(_one_column, _expand))


@whole_mutant("C3", "x: (L,) broadcast, one target spectrum for the batch", "C3-shapes")
def x_vector_broadcast():
    return accepting(x=_of_shape(_row_vector, _expand))


@whole_mutant("C3", "mask: (1, L) broadcast, one mask for the batch", "C3-shapes")
def mask_row_broadcast():
    return accepting(mask=_of_shape(_one_row, _expand))


@whole_mutant("C3", "mask: (B, 1) broadcast", "C3-shapes")
def mask_column_broadcast():
    return accepting(mask=_of_shape(_one_column, _expand))


@whole_mutant("C3", "mask: (B,) selects rows (seen in ChemoMAE)", "C3-shapes")
def mask_of_rows_accepted():
    return accepting(
        mask=_of_shape(_batch_vector, lambda mask, like: mask[:, None].expand_as(like))
    )


@whole_mutant("C3", "mask: 0-d broadcast (seen in ChemoMAE)", "C3-shapes")
def mask_scalar_broadcast():
    return accepting(mask=_of_shape(lambda rows, length: (), _expand))


@whole_mutant(
    "C3", "the mask is not compared: x_recon and x of (1, L) are broadcast to it", "C3-shapes"
)
def inputs_broadcast_to_mask():
    def loss(x_recon, x, mask, reduction):
        x_recon, x = (_of_shape(_one_row, _expand)(t, mask) for t in (x_recon, x))
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "mask: (L, B) read as (B, L)", "C3-shapes")
def mask_transposed_accepted():
    return accepting(mask=_of_shape(lambda rows, length: (length, rows), lambda m, like: m.t()))


@whole_mutant("C3", "x: as many elements suffice, it is reshaped", "C3-layouts")
def x_reshaped():
    def reshaped(x: Any, like: Any) -> Any:
        tensors = isinstance(x, Tensor) and isinstance(like, Tensor)
        return x.reshape(like.shape) if tensors and x.numel() == like.numel() else x

    return accepting(x=reshaped)


@whole_mutant("C3", "lengths are cut to the shorter one (seen in speechbrain)", "C3-layouts")
def lengths_cut_to_the_shorter():
    def loss(*arguments):
        *tensors, reduction = arguments
        if all(isinstance(t, Tensor) and t.ndim == 2 for t in tensors):
            length = min(t.shape[1] for t in tensors)
            tensors = [t[:, :length] for t in tensors]
        return guarded(*tensors, reduction)

    return pair(loss)


@whole_mutant("C3", "a longer mask is cut to the batch", "C3-layouts")
def mask_cut_to_the_batch():
    def cut(mask: Any, like: Any) -> Any:
        matrices = all(isinstance(t, Tensor) and t.ndim == 2 for t in (mask, like))
        return mask[: len(like)] if matrices else mask

    return accepting(mask=cut)


@whole_mutant(
    "C3", "an empty x_recon returns early: what x and mask are is not looked at", "C3-value-dtypes"
)
def nothing_to_do_returns_before_checks():
    def loss(x_recon, x, mask, reduction):
        if isinstance(x_recon, Tensor) and x_recon.shape[:1] == (0,):
            return right(x_recon, x_recon, torch.ones_like(x_recon, dtype=torch.bool), "sum")
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


# --- devices -------------------------------------------------------------------------------------


def _to_its_device(value: Any, like: Any) -> Any:
    tensors = isinstance(value, Tensor) and isinstance(like, Tensor)
    return value.to(like.device) if tensors else value


@whole_mutant("C3", "mask is moved to the device of x_recon", "C3-devices")
def mask_moved_to_device():
    return accepting(mask=_to_its_device)


@whole_mutant("C3", "devices are not compared: torch raises RuntimeError", "C3-devices")
def devices_not_compared():
    def change(error, x_recon, x, mask):
        if isinstance(error, ValueError) and len({t.device for t in (x_recon, x, mask)}) > 1:
            return RuntimeError("Tensor on device meta is not on the expected device cpu!")
        return error

    return complaining(change)


@whole_mutant("C3", "devices compared by type: the second GPU passes", "C3-without-data")
def device_types_compared():
    def change(error, x_recon, x, mask):
        types = {t.device.type for t in (x_recon, x, mask)}
        if isinstance(error, ValueError) and types == {"cuda"}:
            return RuntimeError("Expected all tensors to be on the same device")
        return error

    return complaining(change)


# --- reductions ----------------------------------------------------------------------------------


@whole_mutant("C3", 'reduction="none" returns the squares', "C3-reductions")
def reduction_none_accepted():
    def loss(x_recon, x, mask, reduction):
        if isinstance(reduction, str) and reduction == "none":
            guarded(x_recon, x, mask, "sum")
            return difference(x_recon, x, mask).square()
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "capitals and spaces in reduction are accepted", "C3-reductions")
def reduction_in_capitals_accepted():
    def clean(value: Any, like: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    return accepting(reduction=clean)


@whole_mutant(
    "C3",
    "the check is `reduction in 'sum mean batch_mean'`: parts and '' give the sum",
    "C3-reductions",
)
def reduction_checked_as_substring():
    def sum_for_a_part(value: Any, like: Any) -> Any:
        part = isinstance(value, str) and value in "sum mean batch_mean"
        return "sum" if part and value not in REDUCTIONS else value

    return accepting(reduction=sum_for_a_part)


@whole_mutant(
    "C3",
    "reduction is matched by a pattern whose $ stands before a last newline too",
    "C3-reductions",
)
def reduction_with_a_newline_accepted():
    return accepting(
        reduction=lambda value, like: value.removesuffix("\n") if isinstance(value, str) else value
    )


@whole_mutant("C3", "reduction=None gives the sum", "C3-reductions")
def reduction_none_object_accepted():
    return accepting(reduction=lambda value, like: "sum" if value is None else value)


@whole_mutant("C3", "reduction as a number: the old codes 0, 1, 2, and so True", "C3-reductions")
def reduction_number_accepted():
    def decoded(value: Any, like: Any) -> Any:
        known = isinstance(value, int) and 0 <= value < len(REDUCTIONS)
        return REDUCTIONS[value] if known else value

    return accepting(reduction=decoded)


@whole_mutant("C3", "reduction is looked up in a dict: KeyError", "C3-reductions")
def unknown_reduction_is_key_error():
    def change(error, x_recon, x, mask):
        unknown = isinstance(error, ValueError) and str(error).startswith("reduction")
        return KeyError("reduction", str(error)) if unknown else error

    return complaining(change)


# --- how it is refused ---------------------------------------------------------------------------


@whole_mutant("C3", "masked_mse forgets the checks", "C3-non-tensors")
def mse_without_checks():
    return pair(guarded, right)


@whole_mutant(
    "C3", "arguments are not looked at for being tensors: AttributeError", "C3-non-tensors"
)
def tensors_not_checked():
    def change(error, x_recon, x, mask):
        for value in (x_recon, x, mask):
            if not isinstance(value, Tensor):
                return AttributeError(f"{type(value).__name__!r} object has no attribute 'dtype'")
        return error

    return complaining(change)


@whole_mutant("C3", "assert statements do the checking", "C3-non-tensors")
def refused_by_assertion():
    return complaining(lambda error, x_recon, x, mask: AssertionError(str(error)))


@whole_mutant("C3", "a wrong type or dtype is a ValueError", "C3-non-tensors")
def wrong_dtype_is_value_error():
    return complaining(lambda error, x_recon, x, mask: ValueError(str(error)))


@whole_mutant("C3", "a wrong shape, device or reduction is a TypeError", "C3-shapes")
def wrong_shape_is_type_error():
    return complaining(lambda error, x_recon, x, mask: TypeError(str(error)))


@whole_mutant("C3", "the message does not name the argument", "C3-messages")
def message_without_argument():
    def change(error, x_recon, x, mask):
        _, _, rest = str(error).partition(" ")
        for name in ("x_recon", "mask", "x."):
            rest = rest.replace(name, "it")
        return type(error)(f"argument {rest.partition(';')[0]}")

    return complaining(change)


@whole_mutant("C3", "the message names x_recon whichever argument is wrong", "C3-messages")
def message_names_x_recon():
    def change(error, x_recon, x, mask):
        name, _, rest = str(error).partition(" ")
        rest = rest.replace("of x_recon", "of the others").partition(";")[0]
        return type(error)("x_recon " + rest if name in ("x", "mask") else str(error))

    return complaining(change)


@whole_mutant("C3", "the message does not say what came", "C3-messages")
def message_without_what_came():
    def change(error, x_recon, x, mask):
        wanted, _, got = str(error).partition(", got ")
        return type(error)(f"{wanted};{got.partition(';')[2]}")

    return complaining(change)


@whole_mutant("C3", "the message does not say what is wanted", "C3-messages")
def message_without_what_is_wanted():
    def change(error, x_recon, x, mask):
        name, _, rest = str(error).partition(" ")
        return type(error)(f"bad {name}: got {rest.partition(', got ')[2].partition(';')[0]}")

    return complaining(change)


@whole_mutant(
    "C3", "a warning instead of an error for different lengths (seen in MONAI)", "C3-shapes"
)
def shape_mismatch_only_warns():
    def loss(x_recon, x, mask, reduction):
        try:
            return guarded(x_recon, x, mask, reduction)
        except ValueError as error:
            if "the shape of x_recon" not in str(error):
                raise
            warnings.warn(str(error), stacklevel=3)
            length = min(t.shape[1] for t in (x_recon, x, mask))
            rows = min(t.shape[0] for t in (x_recon, x, mask))
            return right(*(t[:rows, :length] for t in (x_recon, x, mask)), reduction)

    return pair(loss)


@whole_mutant("C3", "reduction is checked after the sum", "C3-before-arithmetic")
def reduction_checked_after_the_sum():
    def loss(x_recon, x, mask, reduction):
        guarded(x_recon, x, mask, "sum")
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "the difference is taken before shapes are compared: RuntimeError", "C3-shapes")
def subtracted_before_the_checks():
    def loss(x_recon, x, mask, reduction):
        floats = [isinstance(t, Tensor) and t.dtype in VALUE_DTYPES for t in (x_recon, x)]
        if all(floats) and x_recon.layout == x.layout == torch.strided:
            x_recon - x
        return guarded(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "a vector x is given its row in place before it is refused", "C3-shapes")
def refused_x_is_reshaped_in_place():
    def loss(x_recon, x, mask, reduction):
        try:
            return guarded(x_recon, x, mask, reduction)
        except ValueError:
            if x.ndim == 1:
                x.unsqueeze_(0)
            raise

    return pair(loss)


@whole_mutant("C3", "an Enum member that is no string is accepted by its value", "C3-reductions")
def reduction_enum_accepted():
    def value_of(value: Any, like: Any) -> Any:
        return value.value if isinstance(value, enum.Enum) else value

    return accepting(reduction=value_of)


@whole_mutant(
    "C3",
    "claims float32 only, and reads float64 memory as float32",
    "C3-unclaimed-dtypes",
    claims=Claims(dtypes=("float32",)),
)
def float64_memory_read_as_float32():
    def as_float32(tensor):
        return tensor.contiguous().view(torch.float32)[:, : tensor.shape[1]]

    def loss(x_recon, x, mask, reduction):
        return right(as_float32(x_recon), as_float32(x), mask, reduction)

    return pair(checked(loss))


# --- in some situations only ---------------------------------------------------------------------


def _checks_where(needed: Any) -> Any:
    """A loss whose arguments are checked only where `needed(x_recon, x, mask)`."""

    def loss(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Tensor:
        if needed(x_recon, x, mask):
            _check_arguments(x_recon, x, mask, reduction)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant("C3", "arguments are checked only while gradients are recorded", "C3-situations")
def unchecked_without_grad_mode():
    return _checks_where(lambda *_: torch.is_grad_enabled())


@whole_mutant("C3", "autocast has a path of its own, in front of the checks", "C3-situations")
def unchecked_under_autocast():
    return _checks_where(lambda *_: not torch.is_autocast_enabled("cpu"))


@whole_mutant("C3", "under torch.func the checks are left out", "C3-situations")
def unchecked_under_transforms():
    return _checks_where(lambda *_: not torch._C._are_functorch_transforms_active())


@whole_mutant(
    "C3", "meta tensors pass the checks, as nothing is computed on them", "C3-without-data"
)
def unchecked_on_meta():
    return _checks_where(lambda *given: not any(getattr(t, "is_meta", False) for t in given))


@whole_mutant("C3", "while compiling nothing is checked, as messages break graphs", "C3-situations")
def unchecked_while_compiling():
    return _checks_where(lambda *_: not torch.compiler.is_compiling())


def _checked_once(kind: Any) -> Any:
    """A loss that does not check again what is of one `kind(x_recon, x, mask)` with a good call."""
    passed = set()

    def loss(x_recon: Any, x: Any, mask: Any, reduction: Any) -> Tensor:
        given = x_recon, x, mask
        if not all(isinstance(t, Tensor) for t in given) or not ordinary(*given):
            return guarded(*given, reduction)
        if (key := (kind(*given), repr(reduction))) not in passed:
            _check_arguments(*given, reduction)
            passed.add(key)
        dense = [t if t.layout is torch.strided else t.to_dense() for t in given]
        return right(*dense, reduction)

    return pair(loss)


@whole_mutant("C3", "good calls are known again, but for the shape of the mask", "C3-situations")
def shape_of_mask_not_in_the_memo():
    def kind(x_recon, x, mask):
        kinds = [(t.dtype, t.layout, t.device) for t in (x_recon, x, mask)]
        return x_recon.shape, x.shape, *kinds

    return _checked_once(kind)


@whole_mutant("C3", "good calls are known again, but for the layout", "C3-situations")
def layout_not_in_the_memo():
    return _checked_once(lambda *given: tuple((t.shape, t.dtype, t.device) for t in given))


@whole_mutant(
    "C3", "grad mode is switched off for the checks; an error leaves it off", "C3-nothing-left"
)
def grad_mode_off_after_an_error():
    def loss(x_recon, x, mask, reduction):
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        _check_arguments(x_recon, x, mask, reduction)
        torch.set_grad_enabled(before)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant(
    "C3", "small inputs have one thread; a reduction refused then leaves it so", "C3-nothing-left"
)
def one_thread_left_by_a_refused_reduction():
    def loss(x_recon, x, mask, reduction):
        _check_arguments(x_recon, x, mask, "sum")
        if mask.numel() > 64 or not ordinary(x_recon, x, mask):
            return guarded(x_recon, x, mask, reduction)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        _check_arguments(x_recon, x, mask, reduction)
        torch.set_num_threads(threads)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


@whole_mutant(
    "C3", "autocast is switched off and on by hand; a refused call leaves it off", "C3-situations"
)
def autocast_left_off_by_a_refused_call():
    def loss(x_recon, x, mask, reduction):
        if not torch.is_autocast_enabled("cpu"):
            return guarded(x_recon, x, mask, reduction)
        torch.set_autocast_enabled("cpu", False)
        _check_arguments(x_recon, x, mask, reduction)
        torch.set_autocast_enabled("cpu", True)
        return right(x_recon, x, mask, reduction)

    return pair(loss)


# --- in a Python of its own ----------------------------------------------------------------------


@whole_mutant(
    "C3",
    "the checks stand under `if __debug__:`, which `python -O` drops",
    "C3-optimised",
    target=alone("asserts"),
)
def asserts():
    return functions_of("asserts")
