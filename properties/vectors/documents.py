"""From pinned calls to the text of the files; the answers are those of `judge/oracle.py`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..inputs.cases import FUNCTIONS, Case, Inputs
from ..inputs.values import INF
from ..judge import oracle
from .gradient import gradient_pins
from .notes import GRADIENT_NOTES, REFUSED_NOTES, VALUE_NOTES, Note
from .pins import Pin
from .refused import Refusal, refusals
from .value import value_pins

GENERATOR_VERSION = "2"
FOLDER = Path(__file__).parent
SCHEMA = "vectors.schema.json"
_LONGEST_LIST = 16


def rounded(
    value: Fraction, fmt: oracle.Format, to_integer: Callable[[Fraction], int] = round
) -> float:
    """The number of a format nearest to a rational, ties to even; or above it, by `math.ceil`."""
    if abs(value) >= fmt.overflow:
        return INF if value > 0 else -INF
    if value == 0:
        return 0.0
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > abs(value):
        exponent -= 1
    step = max(Fraction(2) ** exponent * 2 * fmt.roundoff, fmt.smallest)
    return float(to_integer(value / step) * step)


def _hex(value: float) -> str:
    """As C's %a prints it: float.hex without the zeros at the end."""
    mantissa, p, exponent = value.hex().partition("p")
    return mantissa.rstrip("0").rstrip(".") + p + exponent if p else mantissa


def _listed(values: list[Any]) -> Any:
    """The values row by row, or where they are many, the runs of equal ones with their lengths."""
    if len(values) <= _LONGEST_LIST:
        return values
    return {"runs": [[len(list(run)), value] for value, run in itertools.groupby(values)]}


def _hexes(tensor: Tensor) -> list[str]:
    return [_hex(value) for value in oracle.as_array(tensor).ravel().tolist()]


def _result_dtype(inputs: Inputs) -> torch.dtype:
    return oracle.result_dtype(inputs.x_recon.dtype, inputs.x.dtype)


def _described(pin: Pin, inputs: Inputs) -> dict[str, Any]:
    """The fields that say what is called."""
    return {
        "comment": pin.comment,
        "flags": list(pin.flags),
        "shape": list(pin.case.shape),
        "x_recon": _listed(_hexes(inputs.x_recon)),
        "x": _listed(_hexes(inputs.x)),
        "mask": _listed([int(bit) for bit in inputs.mask.flatten().tolist()]),
        "reduction": pin.case.reduction,
    }


def value_test(pin: Pin) -> dict[str, Any]:
    """The call, the correctly rounded result, the exact one, and how far off is allowed (C6)."""
    inputs = pin.case.build()
    reduction, dtype = pin.case.effective_reduction, _result_dtype(inputs)
    fmt, answer = oracle.format_of(dtype), oracle.exact(inputs)
    wanted = answer.reduced(reduction)
    test = _described(pin, inputs)
    if isinstance(wanted, str):
        return test | {"expected": wanted, "bound": _hex(0.0), "result": "valid"}
    expected, bound, result = rounded(wanted, fmt), 0.0, "valid"
    roundoffs = oracle.sum_roundoffs(answer.selected, dtype)
    allowed = oracle.value_bound(answer, reduction, dtype, roundoffs)
    if expected == INF:
        assert wanted - allowed >= fmt.overflow, "too close to the end of the range to be pinned"
    elif wanted:
        # About the rounded result rather than the exact one, so that ports need no rationals.
        bound = rounded(allowed + abs(Fraction(expected) - wanted), fmt, math.ceil)
        assert isinstance(answer.total, Fraction)
        if answer.total * (1 + Fraction(roundoffs) * fmt.roundoff) >= fmt.overflow:
            result = "acceptable"
    return test | {
        "expected": _hex(expected),
        "exact": str(wanted),
        "bound": _hex(bound),
        "result": result,
    }


def gradient_test(pin: Pin) -> dict[str, Any]:
    """The call, the upstream gradient, and each input's gradient with its bounds (C11, C12)."""
    inputs = pin.case.build()
    test = _described(pin, inputs) | {"upstream": _hex(pin.case.upstream)}
    for name, tensor, sign in (("x_recon", inputs.x_recon, 1), ("x", inputs.x, -1)):
        slopes = _slopes_of(pin.case, inputs, tensor.dtype, sign)
        test[f"grad_{name}"] = _listed([_hex(expected) for expected, _ in slopes])
        test[f"bound_{name}"] = _listed([_hex(bound) for _, bound in slopes])
    return test | {"result": "valid"}


def _slopes_of(
    case: Case, inputs: Inputs, dtype: torch.dtype, sign: int
) -> list[tuple[float, float]]:
    """Each position's 2 (x_recon - x) * mask * upstream / divisor, times the sign; its bound."""
    divisor = oracle.exact(inputs).divisor(case.effective_reduction)
    fmt, work = oracle.format_of(dtype), oracle.format_of(_result_dtype(inputs))
    found = []
    arrays = (oracle.as_array(tensor).ravel().tolist() for tensor in inputs)
    for a, b, counted in zip(*arrays, strict=True):
        if not counted:
            found.append((0.0, 0.0))
            continue
        if not (math.isfinite(a) and math.isfinite(b)):
            found.append((sign * case.upstream * (a - b), 0.0))
            continue
        difference, upstream = Fraction(a) - Fraction(b), Fraction(case.upstream)
        wanted = sign * 2 * difference * upstream / divisor
        gain = max(Fraction(1), abs(upstream))
        assert abs(2 * difference) * gain < work.largest, "an order of evaluation may overflow"
        expected, bound = rounded(wanted, fmt), 0.0
        if wanted and math.isfinite(expected):
            # The slack of oracle.gradient_fault for subnormals, in both dtypes.
            slack = fmt.smallest + work.smallest * gain
            allowed = oracle.GRADIENT_ROUNDOFFS * fmt.roundoff * abs(wanted) + slack
            bound = rounded(allowed + abs(Fraction(expected) - wanted), fmt, math.ceil)
        found.append((expected, bound))
    return found


def refused_test(refusal: Refusal) -> dict[str, Any]:
    """The call by shapes and dtypes, and which kind of fault must be reported."""
    named = zip(("x_recon", "x", "mask"), refusal.shapes, refusal.dtypes, strict=True)
    test: dict[str, Any] = {"comment": refusal.comment, "flags": [refusal.flag]}
    test |= {name: {"shape": list(shape), "dtype": dtype} for name, shape, dtype in named}
    test["reduction"] = refusal.reduction
    if refusal.fault is None:
        return test | {"result": "valid"}
    return test | {"result": "invalid", "fault": refusal.fault}


def documents() -> dict[str, dict[str, Any]]:
    """What each file holds, by its name."""
    return {
        "value.json": _document("value", VALUE_NOTES, _grouped("Value", value_pins(), value_test)),
        "gradient.json": _document(
            "gradient", GRADIENT_NOTES, _grouped("Gradient", gradient_pins(), gradient_test)
        ),
        "refused.json": _document(
            "refusal",
            REFUSED_NOTES,
            [
                {
                    "type": "Refusal",
                    "function": function,
                    "tests": [*map(refused_test, refusals())],
                }
                for function in FUNCTIONS
            ],
        ),
    }


def _grouped(
    kind: str, pins: list[Pin], make: Callable[[Pin], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tests of equal function and dtypes side by side, in the order in which these first come."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for pin in pins:
        key = (pin.case.function, pin.case.x_recon.dtype, pin.case.x.dtype)
        if key not in groups:
            groups[key] = {"type": kind, "function": key[0]}
            groups[key] |= {"x_recon_dtype": key[1], "x_dtype": key[2]}
            result = str(_result_dtype(pin.case.build())).removeprefix("torch.")
            groups[key] |= {"result_dtype": result, "tests": []}
        groups[key]["tests"].append(make(pin))
    return list(groups.values())


def _document(subject: str, notes: dict[str, Note], groups: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = itertools.count(1)
    for group in groups:
        group["tests"] = [{"tcId": next(numbers)} | test for test in group["tests"]]
    return {
        "algorithm": f"masked squared error, {subject}",
        "schema": SCHEMA,
        "generatorVersion": GENERATOR_VERSION,
        "contract": "CONTRACT.md",
        "numberOfTests": next(numbers) - 1,
        "notes": {
            flag: {"bugType": kind, "clause": clause, "description": description}
            for flag, (kind, clause, description) in sorted(notes.items())
        },
        "testGroups": groups,
    }


def text(document: dict[str, Any]) -> str:
    """The document as JSON with one test a line, so that a change shows as the lines it touches."""
    head = json.dumps({k: v for k, v in document.items() if k != "testGroups"}, indent=1)
    groups = []
    for group in document["testGroups"]:
        opening = json.dumps({k: v for k, v in group.items() if k != "tests"})[:-1]
        lines = ",\n".join(json.dumps(test) for test in group["tests"])
        groups.append(f'{opening}, "tests": [\n{lines}\n]}}')
    return head[:-2] + ',\n "testGroups": [\n' + ",\n".join(groups) + "\n]\n}\n"


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    return {name: text(document) for name, document in documents().items()}


def differing(folder: Path) -> list[str]:
    """The names of the files in a folder that are not as generated, missing or extra."""
    wanted = files()
    names = sorted({*wanted, *(path.name for path in folder.glob("*.json"))})
    return [name for name in names if wanted.get(name, "").encode() != _bytes(folder / name)]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
