"""The pinned vectors: as generated, as the schema says, right, and each flag finds its bug."""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from torch import Tensor
from wavemae.properties.inputs.cases import Inputs
from wavemae.properties.judge import oracle
from wavemae.properties.vectors import documents, notes
from wavemae.properties.vectors.__main__ import main

from wavemae.models import losses

ROOT = Path(__file__).parents[2]
NAMES = ("value.json", "gradient.json", "refused.json")
DOCUMENTS = {name: json.loads((documents.FOLDER / name).read_text()) for name in NAMES}
NAN, INF = math.nan, math.inf


def every_test(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every (group, test) of a file."""
    for group in DOCUMENTS[name]["testGroups"]:
        for test in group["tests"]:
            yield group, test


@pytest.fixture(scope="module")
def reader() -> dict[str, Any]:
    """What the code block of docs/vectors.md defines, and under "printed" what it prints."""
    (program,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "vectors.md").read_text(), re.M | re.S
    )
    printed: list[str] = []
    names: dict[str, Any] = {"print": printed.append, "printed": printed}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        exec(program, names)
    return names


def test_files_are_what_the_generator_makes(capsys: pytest.CaptureFixture[str]) -> None:
    """Byte for byte, and no file is left over."""
    assert main(["--check"]) == 0, capsys.readouterr().out
    assert sorted(path.name for path in documents.FOLDER.glob("*.json")) == sorted(NAMES)


def test_check_names_the_file_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One changed digit, one missing and one extra file: exit code 1 and three names."""
    assert main(["--write", str(tmp_path)]) == 0
    value = (tmp_path / "value.json").read_text()
    (tmp_path / "value.json").write_text(value.replace("0x1.64p+5", "0x1.65p+5", 1))
    (tmp_path / "gradient.json").unlink()
    shutil.copy(tmp_path / "refused.json", tmp_path / "other.json")
    assert main(["--check", str(tmp_path)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [Path(line.split()[0]).name for line in told] == [
        "gradient.json",
        "other.json",
        "value.json",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_files_keep_the_schema(name: str) -> None:
    """The published schema takes them, and refuses one without a bound, a flag or a known field."""
    schema = json.loads((documents.FOLDER.parent / documents.SCHEMA).read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    document = DOCUMENTS[name]
    validator.validate(document)
    for spoil in (
        lambda test: test.pop("result"),
        lambda test: test.update(flags=[]),
        lambda test: test.update(unheard_of=1),
        lambda test: test.update(mask=[2]),
    ):
        copy = json.loads(json.dumps(document))
        spoil(copy["testGroups"][0]["tests"][0])
        assert not validator.is_valid(copy)


@pytest.mark.parametrize("name", NAMES)
def test_tests_are_numbered(name: str) -> None:
    """1 to numberOfTests, in order."""
    document = DOCUMENTS[name]
    numbers = [test["tcId"] for _, test in every_test(name)]
    assert numbers == list(range(1, document["numberOfTests"] + 1))


@pytest.mark.parametrize("name", NAMES)
def test_flags_are_described_and_used(name: str) -> None:
    """No flag without a note, no note without a test."""
    used = {flag for _, test in every_test(name) for flag in test["flags"]}
    assert used == set(DOCUMENTS[name]["notes"])


@pytest.mark.parametrize("name", NAMES[:2])
def test_no_call_is_pinned_twice(name: str) -> None:
    """Two tests with the same arguments would be one."""
    answers = ("tcId", "comment", "flags")
    calls = [
        json.dumps(
            [
                {k: v for k, v in group.items() if k != "tests"},
                {k: v for k, v in test.items() if k not in answers},
            ]
        )
        for group, test in every_test(name)
    ]
    assert len(set(calls)) == len(calls)


def test_reader_of_the_docs_passes(reader: dict[str, Any]) -> None:
    """The plain Python port of docs/vectors.md passes every test with an answer, and says so."""
    counts = {name: DOCUMENTS[f"{name}.json"]["numberOfTests"] for name in ("value", "gradient")}
    assert reader["printed"] == [f"{n} of {n} {name} tests passed" for name, n in counts.items()]


@pytest.mark.parametrize(
    ("value", "fmt", "wanted"),
    [
        (Fraction(1, 3), torch.float64, 1 / 3),
        (Fraction(1, 10), torch.float32, float.fromhex("0x1.99999ap-4")),
        (Fraction(2049), torch.float16, 2048.0),
        (Fraction(2051), torch.float16, 2052.0),
        (Fraction(-257), torch.bfloat16, -256.0),
        (Fraction(65520), torch.float16, INF),
        (Fraction(65519), torch.float16, 65504.0),
        (-(Fraction(2) ** 128), torch.float32, -INF),
        (Fraction(3, 2) / 2**149, torch.float32, 2.0**-148),
        (Fraction(1, 2) / 2**149, torch.float32, 0.0),
        (Fraction(0), torch.float32, 0.0),
    ],
)
def test_rounding_is_that_of_ieee(value: Fraction, fmt: torch.dtype, wanted: float) -> None:
    """To nearest, ties to even, subnormals and overflow included; and upwards where asked."""
    assert documents.rounded(value, oracle.format_of(fmt)) == wanted
    assert documents.rounded(abs(value), oracle.format_of(fmt), math.ceil) >= abs(value)


def tensors(reader: dict[str, Any], group: dict[str, Any], test: dict[str, Any]) -> Inputs:
    """The arguments of a test as tensors."""
    dtypes = (group["x_recon_dtype"], group["x_dtype"], "bool")
    built = []
    for name, dtype in zip(("x_recon", "x", "mask"), dtypes, strict=True):
        wide = torch.tensor(reader["listed"](test[name]), dtype=torch.float64)
        tensor = wide.to(getattr(torch, dtype)).reshape(test["shape"])
        assert torch.equal(
            tensor.double().nan_to_num(7.0), wide.reshape(test["shape"]).nan_to_num(7.0)
        )
        built.append(tensor)
    return Inputs(*built)


def keywords(test: dict[str, Any]) -> dict[str, Any]:
    """`reduction=...`, or nothing for the default."""
    return {} if test["reduction"] is None else {"reduction": test["reduction"]}


def test_definition_gives_the_values(reader: dict[str, Any]) -> None:
    """The definition, through torch, on value.json; and the oracle takes what is expected."""
    for group, test in every_test("value.json"):
        inputs = tensors(reader, group, test)
        got = getattr(losses, group["function"])(*inputs, **keywords(test))
        assert str(got.dtype) == f"torch.{group['result_dtype']}", test
        assert reader["judge"](got.item(), test), (test, got.item().hex())
        reduction = test["reduction"] or reader["DEFAULTS"][group["function"]]
        expected = torch.tensor(float.fromhex(test["expected"]), dtype=got.dtype)
        assert oracle.value_fault(expected, oracle.exact(inputs), reduction) is None, test
        overflowed = torch.full_like(expected, INF)
        may_overflow = oracle.value_fault(overflowed, oracle.exact(inputs), reduction) is None
        assert (test["result"] == "acceptable") == (may_overflow and bool(expected.isfinite())), (
            test
        )


def test_value_bounds_are_those_of_the_oracle(reader: dict[str, Any]) -> None:
    """Within the bound by a fifth is right for the oracle, too; beyond by as much is wrong.

    A fifth of nine roundoffs and more: the expected value and the one tried are rounded besides.
    """
    tried = 0
    for group, test in every_test("value.json"):
        expected, bound = (float.fromhex(test[name]) for name in ("expected", "bound"))
        if not (math.isfinite(expected) and bound > 0 and expected > 1e-30):
            continue
        dtype = getattr(torch, group["result_dtype"])
        reduction = test["reduction"] or reader["DEFAULTS"][group["function"]]
        answer = oracle.exact(tensors(reader, group, test))
        for factor, right in ((-1.2, False), (-0.8, True), (0.8, True), (1.2, False)):
            got = torch.tensor(expected + factor * bound, dtype=dtype)
            assert (oracle.value_fault(got, answer, reduction) is None) == right, test
            assert reader["judge"](got.item(), test) == right, test
            tried += 1
    assert tried > 400


@pytest.mark.parametrize("wanting", [("x_recon", "x"), ("x_recon",), ("x",)])
def test_definition_gives_the_gradients(reader: dict[str, Any], wanting: tuple[str, ...]) -> None:
    """The definition on gradient.json; and the oracle takes what is expected."""
    for group, test in every_test("gradient.json"):
        inputs = tensors(reader, group, test)
        leaves = [getattr(inputs, name).requires_grad_() for name in wanting]
        loss = getattr(losses, group["function"])(*inputs, **keywords(test))
        upstream = torch.full_like(loss, float.fromhex(test["upstream"]))
        found = torch.autograd.grad(loss, leaves, upstream)
        reduction = test["reduction"] or reader["DEFAULTS"][group["function"]]
        for name, gradient in zip(wanting, found, strict=True):
            assert gradient.dtype == getattr(inputs, name).dtype
            got = gradient.double().flatten().tolist()
            assert reader["judge_gradient"](got, test, name), (test, gradient)
            expected = torch.tensor(
                [float.fromhex(v) for v in hexes(test[f"grad_{name}"])], dtype=gradient.dtype
            )
            fault = oracle.gradient_fault(
                expected.reshape(test["shape"]),
                inputs,
                reduction,
                sign=1 if name == "x_recon" else -1,
                upstream=float.fromhex(test["upstream"]),
            )
            assert fault is None, (test, fault)


def test_gradients_of_the_two_inputs_are_opposite() -> None:
    """Exactly, where the dtypes are equal."""
    for group, test in every_test("gradient.json"):
        if group["x_recon_dtype"] == group["x_dtype"]:
            pairs = zip(hexes(test["grad_x_recon"]), hexes(test["grad_x"]), strict=True)
            for a, b in pairs:
                assert float.fromhex(a) == -float.fromhex(b) or a == b == "nan", test


def test_definition_refuses_what_is_refused() -> None:
    """The definition on refused.json: TypeError for a dtype, else ValueError, or no error."""
    wanted = {"shape": ValueError, "dtype": TypeError, "reduction": ValueError}
    for group, test in every_test("refused.json"):
        arguments: list[Tensor] = [
            torch.zeros(test[name]["shape"]).to(getattr(torch, test[name]["dtype"]))
            for name in ("x_recon", "x", "mask")
        ]
        loss = getattr(losses, group["function"])
        if test["result"] == "valid":
            assert loss(*arguments, reduction=test["reduction"]).item() == 0
        else:
            with pytest.raises(wanted[test["fault"]]):
                loss(*arguments, reduction=test["reduction"])


def hexes(values: Any) -> list[str]:
    """The numbers of a field one by one, still as text."""
    if isinstance(values, dict):
        return [value for count, value in values["runs"] for _ in range(count)]
    return list(values)


# Wrong implementations in plain Python, each under the flag that names its bug.

LARGEST = {
    "float32": float.fromhex("0x1.fffffep+127"),
    "float64": float.fromhex("0x1.fffffffffffffp+1023"),
}
TINY = {"float16": 2.0**-14, "float32": 2.0**-126, "float64": 2.0**-1022}
BITS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}


@dataclass(frozen=True)
class Call:
    """The arguments of one test; `given` is the reduction before the default takes its place."""

    a: list[float]
    b: list[float]
    mask: list[bool]
    rows: int
    columns: int
    given: str | None
    reduction: str
    dtypes: tuple[str, str]
    result_dtype: str
    upstream: float

    @property
    def narrow(self) -> str:
        """The dtype with fewer bits."""
        return min(self.dtypes, key=lambda dtype: BITS[dtype])

    def of_rows(self) -> Iterator[Call]:
        """Each row as a call of its own."""
        for r in range(self.rows):
            row = slice(r * self.columns, (r + 1) * self.columns)
            yield replace(self, a=self.a[row], b=self.b[row], mask=self.mask[row], rows=1)


def call_of(reader: dict[str, Any], group: dict[str, Any], test: dict[str, Any]) -> Call:
    """The arguments of a test, ready for a formula."""
    a, b, mask = (reader["listed"](test[name]) for name in ("x_recon", "x", "mask"))
    reduction = test["reduction"]
    return Call(
        a,
        b,
        mask,
        test["shape"][0],
        test["shape"][1],
        reduction,
        reduction or reader["DEFAULTS"][group["function"]],
        (group["x_recon_dtype"], group["x_dtype"]),
        group["result_dtype"],
        float.fromhex(test.get("upstream", "0x1p+0")),
    )


def to(dtype: str, value: float) -> float:
    """A number rounded to a dtype."""
    if dtype == "float64" or not math.isfinite(value):
        return value
    if dtype == "float16":
        try:
            return float(struct.unpack("<e", struct.pack("<e", value))[0])
        except OverflowError:
            return math.copysign(INF, value)
    single = ctypes.c_float(value).value
    if dtype == "bfloat16" and math.isfinite(single):
        (bits,) = struct.unpack("<I", struct.pack("<f", single))
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
        return float(struct.unpack("<f", struct.pack("<I", bits))[0])
    return single


def over(a: float, b: float) -> float:
    """The quotient, by zero as IEEE has it."""
    if b:
        return a / b
    return NAN if a == 0 or math.isnan(a) else math.copysign(INF, a)


def square(a: float, b: float) -> float:
    """The squared difference."""
    return (a - b) * (a - b)


def divisor(call: Call) -> int:
    """1, n or B; 0 where there is nothing."""
    return {"sum": 1, "mean": sum(call.mask), "batch_mean": call.rows}[call.reduction]


def masked(call: Call) -> list[tuple[float, float]]:
    """The pairs that count."""
    return list(itertools.compress(zip(call.a, call.b, strict=True), call.mask))


def loss(call: Call, squared: Callable[[float, float], float] = square) -> float:
    """The right formula, unless another square is given."""
    return sum((squared(a, b) for a, b in masked(call)), 0.0) / max(divisor(call), 1)


def everywhere(call: Call) -> Call:
    """The call with a mask of True only, and the divisor that goes with it."""
    return replace(call, mask=[True] * len(call.mask))


def first_row_for_all(call: Call) -> Call:
    """The call with its mask's first row for all rows."""
    return replace(call, mask=call.mask[: call.columns] * call.rows)


def by_columns(call: Call) -> Call:
    """The call with its mask read column by column."""
    places = itertools.product(range(call.rows), range(call.columns))
    return replace(call, mask=[call.mask[c * call.rows + r] for r, c in places])


def without_last(call: Call) -> Call:
    """The call without its last position."""
    return replace(call, a=call.a[:-1], b=call.b[:-1], mask=call.mask[:-1])


def without_first(call: Call) -> Call:
    """The call without its first position."""
    return replace(call, a=call.a[1:], b=call.b[1:], mask=call.mask[1:])


def only(call: Call, taken: Callable[[float], bool]) -> Call:
    """The call masked only where the target is taken."""
    return replace(call, mask=[m and taken(b) for m, b in zip(call.mask, call.b, strict=True)])


def in_dtype(call: Call, dtype: str) -> Call:
    """The call with its inputs rounded to a dtype."""
    return replace(call, a=[to(dtype, a) for a in call.a], b=[to(dtype, b) for b in call.b])


def total_over(call: Call, count: float) -> float:
    """The sum divided by another count."""
    return over(loss(replace(call, reduction="sum")), count)


def mean_of_means(call: Call) -> float:
    """`mean` as the mean of the means of the rows."""
    if call.reduction != "mean":
        return loss(call)
    return over(sum(loss(row) for row in call.of_rows()), call.rows)


def rows_with_mask(call: Call) -> int:
    """How many rows have something masked."""
    return sum(any(row.mask) for row in call.of_rows())


def multiplied(call: Call) -> float:
    """Selected by multiplying with 0 or 1."""
    places = zip(call.a, call.b, call.mask, strict=True)
    squares = (m * to(call.result_dtype, square(a, b)) for a, b, m in places)
    return sum(squares, 0.0) / max(divisor(call), 1)


def in_dtype_throughout(call: Call, dtype: str) -> float:
    """Squares and their sum, added one by one, in a dtype."""
    total = 0.0
    for a, b in masked(call):
        total = to(dtype, total + to(dtype, square(a, b)))
    return total / max(divisor(call), 1)


def counted_in_half(call: Call) -> float:
    """The sum or the count in the narrower input's dtype."""
    if call.reduction != "mean":
        return in_dtype_throughout(call, call.narrow)
    count = 0.0
    for _ in masked(call):
        count = to(call.narrow, count + 1)
    return total_over(call, max(count, 1))


def expanded(call: Call) -> float:
    """The expanded square, in the result's dtype."""

    def cancelling(a: float, b: float) -> float:
        r = call.result_dtype
        return to(r, to(r, to(r, a * a) - to(r, 2 * a * b)) + to(r, b * b))

    return loss(call, cancelling)


def saturated(call: Call) -> float:
    """The sum clamped to the largest number."""
    total = min(loss(replace(call, reduction="sum")), LARGEST[call.result_dtype])
    return total / max(divisor(call), 1)


def flushed(call: Call, value: float) -> float:
    """Zero for what is subnormal in the narrower input's dtype."""
    return value if abs(value) >= TINY[call.narrow] else 0.0


def instead(bad: Callable[[float], bool], value: float) -> Callable[[float, float], float]:
    """A square that becomes another value where it is bad."""
    return lambda a, b: value if bad(square(a, b)) else square(a, b)


WRONG_VALUES: dict[str, tuple[Callable[[Call], float], ...]] = {
    "Ordinary": (lambda c: loss(c, lambda a, b: abs(a - b)), lambda c: loss(c) / 2),
    "DefaultReduction": (lambda c: loss(replace(c, reduction=c.given or "sum")),),
    "OneSided": (
        lambda c: loss(c, lambda a, b: max(a - b, 0) ** 2),
        lambda c: loss(c, lambda a, b: max(b - a, 0) ** 2),
    ),
    "SquareRoot": (lambda c: math.sqrt(loss(c)),),
    "Clamped": (
        lambda c: loss(c, lambda a, b: min(square(a, b), 1.0)),
        lambda c: loss(c, lambda a, b: square(a, b) if abs(a - b) < 1 else 2 * abs(a - b) - 1),
    ),
    "LostSmall": (lambda c: round(loss(c), 9), lambda c: loss(c) + 1e-8),
    "InvertedMask": (lambda c: loss(replace(c, mask=[not m for m in c.mask])),),
    "IgnoredMask": (lambda c: loss(everywhere(c)),),
    "MaskOfFirstRow": (lambda c: loss(first_row_for_all(c)),),
    "TransposedMask": (lambda c: loss(by_columns(c)),),
    "MissedPosition": (lambda c: loss(without_last(c)), lambda c: loss(without_first(c))),
    "MaskFromSentinel": (
        lambda c: loss(only(c, lambda b: b != 0)),
        lambda c: loss(only(c, lambda b: b != -1)),
    ),
    "DividedBySize": (lambda c: total_over(c, len(c.a)) if c.reduction == "mean" else loss(c),),
    "DividedByLength": (
        lambda c: total_over(c, c.columns) if c.reduction == "batch_mean" else loss(c),
    ),
    "MeanOfMeans": (mean_of_means,),
    "EmptyRow": (
        lambda c: total_over(c, rows_with_mask(c)) if c.reduction == "batch_mean" else loss(c),
        lambda c: (
            total_over(c, sum(max(sum(r.mask), 1) for r in c.of_rows()))
            if c.reduction == "mean"
            else loss(c)
        ),
    ),
    "Epsilon": (lambda c: total_over(c, divisor(c) + 1e-8),),
    "EmptyMask": (lambda c: total_over(c, divisor(c)), lambda c: -loss(c)),
    "EmptyBatch": (lambda c: total_over(c, divisor(c)), lambda c: -loss(c)),
    "EmptyLength": (lambda c: total_over(c, divisor(c)), lambda c: -loss(c)),
    "ExactZero": (lambda c: loss(c, lambda a, b: square(a, b) + 1e-12),),
    "MultipliedMask": (multiplied,),
    "HugeOutside": (multiplied,),
    "MaskFromNan": (lambda c: loss(only(c, lambda b: not math.isnan(b))),),
    "HiddenNan": (lambda c: loss(c, instead(math.isnan, 0.0)),),
    "HiddenInf": (
        lambda c: loss(c, instead(math.isinf, LARGEST[c.result_dtype])),
        lambda c: loss(c, instead(math.isinf, NAN)),
    ),
    "InfMinusInf": (lambda c: loss(c, lambda a, b: 0.0 if a == b else square(a, b)),),
    "HalfOverflow": (lambda c: in_dtype_throughout(c, "float16"),),
    "HalfDifference": (lambda c: loss(c, lambda a, b: to(c.narrow, a - b) ** 2),),
    "HalfCount": (counted_in_half,),
    "NarrowedInput": (lambda c: loss(in_dtype(c, c.narrow)),),
    "Float32Only": (lambda c: to("float32", loss(in_dtype(c, "float32"))),),
    "ExpandedSquare": (expanded,),
    "SequentialSum": (lambda c: in_dtype_throughout(c, c.result_dtype),),
    "FlushedSubnormal": (
        lambda c: loss(c, instead(lambda s: s < TINY[c.result_dtype], 0.0)),
        lambda c: loss(c, lambda a, b: square(flushed(c, a), flushed(c, b))),
    ),
    "SquareUnderflow": (lambda c: loss(c, lambda a, b: square(a, b) + 1e-30),),
    "SumOverflow": (
        saturated,
        lambda c: 0.0 if math.isinf(to(c.result_dtype, loss(c))) else loss(c),
    ),
    "OpenOverflow": (saturated,),
}


def wrong_value(
    reader: dict[str, Any],
    group: dict[str, Any],
    test: dict[str, Any],
    formula: Callable[[Call], float],
) -> bool:
    """Whether a formula fails a value test."""
    try:
        got = to(group["result_dtype"], formula(call_of(reader, group, test)))
    except OverflowError:  # Python's own, where IEEE has an infinity
        return False
    return not reader["judge"](got, test)


def test_right_formula_fails_no_value(reader: dict[str, Any]) -> None:
    """What the wrong ones are made from is right."""
    assert not any(wrong_value(reader, *test, loss) for test in every_test("value.json"))


@pytest.mark.parametrize("flag", sorted(notes.VALUE_NOTES))
def test_value_flag_finds_its_bug(reader: dict[str, Any], flag: str) -> None:
    """Each wrong formula fails a test with the flag that names it."""
    flagged = [test for test in every_test("value.json") if flag in test[1]["flags"]]
    for formula in WRONG_VALUES[flag]:
        assert any(wrong_value(reader, *test, formula) for test in flagged)


def test_every_value_test_finds_a_bug(reader: dict[str, Any]) -> None:
    """No test is idle: a wrong formula of one of its flags fails it."""
    for group, test in every_test("value.json"):
        formulas = itertools.chain.from_iterable(WRONG_VALUES[flag] for flag in test["flags"])
        assert any(wrong_value(reader, group, test, formula) for formula in formulas), test


Slopes = tuple[list[float], list[float]]


def slopes(call: Call, slope: Callable[[Call, float, float], float] | None = None) -> Slopes:
    """Both gradients by the right formula, or by another one for a position, given (call, a, b)."""
    slope = slope or right_slope
    places = zip(call.a, call.b, call.mask, strict=True)
    recon = [slope(call, a, b) if m else 0.0 for a, b, m in places]
    return recon, [-g for g in recon]


def right_slope(call: Call, a: float, b: float) -> float:
    """2 (a - b) * upstream / divisor."""
    return 2 * (a - b) * call.upstream / max(divisor(call), 1)


def multiplied_slopes(call: Call) -> Slopes:
    """Selected by multiplying with 0 or 1, and the mean times n or n / B for the others."""
    count = sum(call.mask)
    scale = over(call.upstream, count) * over(count, divisor(call))
    places = zip(call.a, call.b, call.mask, strict=True)
    recon = [m * (to(call.result_dtype, 2 * (a - b)) * scale) for a, b, m in places]
    return recon, [-g for g in recon]


def raising_slopes(call: Call) -> Slopes:
    """Divides by B and by L, which may be zero."""
    return slopes(replace(call, upstream=call.upstream / call.rows * call.rows / call.columns))


def slopes_by_rows(call: Call) -> Slopes:
    """Each row divided by its own count."""
    found = [multiplied_slopes(row) for row in call.of_rows()]
    return [g for recon, _ in found for g in recon], [g for _, x in found for g in x]


def changed(change: Callable[[float], float]) -> Callable[[Call], Slopes]:
    """The right gradients with a change at each position that is masked."""
    return lambda call: slopes(call, lambda c, a, b: change(right_slope(c, a, b)))


def through_the_loss(call: Call) -> Slopes:
    """A factor loss / loss, which is NaN where the loss is not finite."""
    total = to(call.dtypes[0], loss(replace(call, reduction="sum")))
    factor = total / total if total else 1.0
    return slopes(call, lambda c, a, b: right_slope(c, a, b) * factor)


def subtracted_in(call: Call, dtype: str) -> Slopes:
    """The difference rounded to a dtype."""
    return slopes(call, lambda c, a, b: right_slope(c, to(dtype, a - b), 0.0))


def sign_of(value: float) -> float:
    """1, -1 or 0."""
    return math.copysign(1.0, value) if value else 0.0


def padded(gradients: Slopes, call: Call, *, front: bool) -> Slopes:
    """Zero for the position that was left out, if there was one."""
    missing = [0.0] * (len(call.a) - len(gradients[0]))
    a, b = (missing + g if front else g + missing for g in gradients)
    return a, b


WRONG_GRADIENTS: dict[str, tuple[Callable[[Call], Slopes], ...]] = {
    "Ordinary": (changed(sign_of),),
    "DefaultReduction": (lambda c: slopes(replace(c, reduction=c.given or "sum")),),
    "MissingFactor": (changed(lambda g: g / 2),),
    "MissingScale": (lambda c: slopes(replace(c, reduction="sum")),),
    "MissingMinus": (lambda c: (slopes(c)[0], slopes(c)[0]),),
    "IgnoredUpstream": (
        lambda c: slopes(replace(c, upstream=1.0)),
        lambda c: slopes(replace(c, upstream=abs(c.upstream))),
    ),
    "ZeroDifference": (
        lambda c: slopes(c, lambda c, a, b: over(right_slope(c, a, b) * (a - b), a - b)),
    ),
    "Clipped": (changed(lambda g: g if math.isnan(g) else max(-1.0, min(1.0, g))),),
    "LostSmall": (
        changed(lambda g: 0.0 if abs(g) < 1e-8 else g),
        changed(lambda g: 0.0 if abs(g) < TINY["float16"] else g),
    ),
    "ForgottenMask": (
        lambda c: slopes(
            replace(everywhere(c), upstream=c.upstream / max(divisor(c), 1), reduction="sum")
        ),
    ),
    "MaskOfFirstRow": (lambda c: slopes(first_row_for_all(c)),),
    "MissedPosition": (
        lambda c: padded(slopes(without_last(c)), c, front=False),
        lambda c: padded(slopes(without_first(c)), c, front=True),
    ),
    "DividedBySize": (
        lambda c: (
            slopes(c, lambda c, a, b: 2 * (a - b) * c.upstream / len(c.a))
            if c.reduction == "mean"
            else slopes(c)
        ),
    ),
    "EmptyRow": (slopes_by_rows,),
    "EmptyMask": (multiplied_slopes,),
    "EmptyBatch": (raising_slopes,),
    "EmptyLength": (raising_slopes,),
    "MultipliedMask": (multiplied_slopes,),
    "HugeOutside": (multiplied_slopes,),
    "HiddenNan": (changed(lambda g: 0.0 if math.isnan(g) else g),),
    "HiddenInf": (changed(lambda g: sign_of(g) * LARGEST["float32"] if math.isinf(g) else g),),
    "SpreadNan": (through_the_loss,),
    "HalfDifference": (
        lambda c: subtracted_in(c, c.narrow),
        lambda c: subtracted_in(c, "float16"),
    ),
    "Float32Only": (lambda c: subtracted_in(in_dtype(c, "float32"), "float32"),),
    "HalfOverflow": (changed(lambda g: max(-65504.0, min(65504.0, g)) if g == g else g),),
    "LossOverflow": (through_the_loss,),
}


def wrong_gradient(
    reader: dict[str, Any],
    group: dict[str, Any],
    test: dict[str, Any],
    formula: Callable[[Call], Slopes],
) -> bool:
    """Whether a formula fails a gradient test; an error is a failure."""
    call = call_of(reader, group, test)
    try:
        gradients = formula(call)
    except ZeroDivisionError:
        return True
    return not all(
        reader["judge_gradient"]([to(dtype, g) for g in gradient], test, name)
        for name, gradient, dtype in zip(("x_recon", "x"), gradients, call.dtypes, strict=True)
    )


def test_right_formula_fails_no_gradient(reader: dict[str, Any]) -> None:
    """What the wrong ones are made from is right."""
    assert not any(wrong_gradient(reader, *test, slopes) for test in every_test("gradient.json"))


@pytest.mark.parametrize("flag", sorted(notes.GRADIENT_NOTES))
def test_gradient_flag_finds_its_bug(reader: dict[str, Any], flag: str) -> None:
    """Each wrong formula fails a test with the flag that names it."""
    flagged = [test for test in every_test("gradient.json") if flag in test[1]["flags"]]
    for formula in WRONG_GRADIENTS[flag]:
        assert any(wrong_gradient(reader, *test, formula) for test in flagged)


def test_every_gradient_test_finds_a_bug(reader: dict[str, Any]) -> None:
    """No test is idle: a wrong formula of one of its flags fails it."""
    for group, test in every_test("gradient.json"):
        formulas = itertools.chain.from_iterable(WRONG_GRADIENTS[flag] for flag in test["flags"])
        assert any(wrong_gradient(reader, group, test, formula) for formula in formulas), test
