"""Programs in other languages as subjects: both examples, a mistake in each, and misfits."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from wavemae.properties import PROPERTIES, TargetError, conduct, load_subject
from wavemae.properties.ports import first_line, pipes
from wavemae.properties.ports.unasked import UNASKED

from wavemae import properties

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
STUB = f"{sys.executable} {ROOT / 'tests' / 'suite' / 'port_stub.py'}"
SCHEMA = json.loads((Path(properties.__file__).parent / "ports.schema.json").read_text())

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler cc")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")


def c_port(folder: Path, *flags: str) -> str:
    """The command of the C port, compiled as it says itself."""
    made = folder / "port"
    subprocess.run(
        ["cc", "-O2", *flags, "-o", str(made), str(EXAMPLES / "port.c"), "-lm"], check=True
    )
    return str(made)


def node_port(*arguments: str) -> str:
    """The command of the JavaScript port."""
    return " ".join(["node", str(EXAMPLES / "port.js"), *arguments])


def stub(behaviour: str) -> first_line.PortSubject:
    """A port that behaves so on questions with three rows."""
    found = load_subject(f"command:{STUB} '{behaviour}'")
    assert isinstance(found, first_line.PortSubject)
    return found


def states(command: str, *clauses: str) -> dict[str, str]:
    """How each property of these clauses, or of all, goes on a port."""
    subject = load_subject(f"command:{command}")
    return {
        identifier: conduct(subject, identifier, "quick").state
        for identifier, prop in PROPERTIES.items()
        if not clauses or prop.clause in clauses
    }


@needs_cc
def test_the_c_port_is_green(tmp_path: Path) -> None:
    """Every property of the quick profile that can be asked of a port holds of it."""
    found = states(c_port(tmp_path))
    assert set(found.values()) == {"pass", "not claimed"}
    assert list(found.values()).count("pass") >= 50


@needs_node
def test_the_javascript_port_is_green() -> None:
    """Clauses of each kind: refusals, value, accuracy, empty masks, NaN, gradients, determinism."""
    found = states(node_port(), "C3", "C5", "C7", "C8", "C9", "C11", "C12", "C16")
    assert conduct(load_subject(f"command:{node_port()}"), "C6-large", "quick").state == "pass"
    assert set(found.values()) == {"pass", "not claimed"}


@needs_cc
def test_the_mistake_in_the_c_port_is_found(tmp_path: Path) -> None:
    """Compiled with -DMISTAKE it multiplies by the mask: C8 fails, and C11 does not."""
    found = states(c_port(tmp_path, "-DMISTAKE"), "C8", "C11")
    assert found["C8-excluded-value"] == found["C8-excluded-sizes"] == "FAIL"
    assert found["C11-oracle"] == "pass"


@needs_node
def test_the_mistake_in_the_javascript_port_is_found() -> None:
    """With --mistake the gradient of a mean is divided by too much: C11 fails, and C7 does not."""
    found = states(node_port("--mistake"), "C7", "C11")
    assert "FAIL" in [state for name, state in found.items() if name.startswith("C11-")]
    assert found["C7-empty"] == "pass"


def test_a_gradient_of_another_dtype_is_found_though_torch_would_convert_it() -> None:
    """Before autograd sees it."""
    outcome = conduct(stub("narrows gradients"), "C11-oracle", "quick")
    assert outcome.state == "FAIL"
    assert outcome.violation is not None
    assert "has another kind than" in outcome.violation.what
    assert "torch.float32" in outcome.violation.got


def test_every_property_that_is_asked_can_fail() -> None:
    """A port that lies fails them all; one that refuses everything, and gives no reason, the rest.

    What neither fails would say nothing of any port.
    """
    subjects = stub("lies"), stub("mumbles")
    for identifier in PROPERTIES:
        outcomes = [conduct(subject, identifier, "quick").state for subject in subjects]
        if outcomes[0] != "not claimed":
            assert "FAIL" in outcomes, identifier


def test_the_loop_of_the_docs_is_that_of_the_example() -> None:
    """Every function that docs/ports.md shows stands in examples/port.c, line for line."""
    page, example = ROOT / "docs" / "ports.md", EXAMPLES / "port.c"
    (shown,) = re.findall(r"```c\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    functions = shown.strip().split("\n\n")
    assert len(functions) == 2
    assert all(function in example.read_text(encoding="utf-8") for function in functions)


def test_the_examples_of_the_docs_are_lines_of_the_protocol() -> None:
    """Question, answer and refusal in docs/ports.md are valid by the schema."""
    page = (ROOT / "docs" / "ports.md").read_text(encoding="utf-8")
    lines = re.findall(r'^ *({"id".*})$', page, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        jsonschema.validate(json.loads(line), SCHEMA)
    names = set(SCHEMA["$defs"]["greeting"]["properties"])
    assert (
        names == set(re.findall(r"^   \| `(\w+)` \|", page, re.MULTILINE)) == set(first_line.SAYS)
    )


def test_what_is_not_asked_is_named() -> None:
    """Each property that no port is asked is known to the suite, and has its reason."""
    assert set(UNASKED) <= set(PROPERTIES)
    outcome = conduct(stub("lies"), "C15-layouts", "quick")
    assert (outcome.state, outcome.reason) == ("not claimed", UNASKED["C15-layouts"])


@pytest.mark.parametrize(
    ("behaviour", "what", "got"),
    [
        ("hangs", "gave no answer within 1 s and was ended", "nothing"),
        ("exits", "ended (exit code 1) before its answer", "out of memory, it says"),
        ("is killed", "ended (killed by SIGKILL) before its answer", "nothing"),
        ("chatters", "no JSON object", "debug: three rows"),
        ("stops short", "gave no answer within 1 s", "7 of 8 bytes of value"),
        ("counts wrong", "is not to question", '"id"'),
        ("forgets", "does not hold value", '"tensors": []'),
        ("miscounts", "dtype, shape and bytes of value disagree", '"bytes": 9'),
        ("invents a dtype", "the dtype of value is none of", '["float64"]'),
        ("says fault", "a fault is one of dtype, shape, reduction", "mood"),
    ],
)
def test_no_answer_is_a_verdict(behaviour: str, what: str, got: str) -> None:
    """It names what happened, what was asked and a program that asks it; then a new one starts."""
    subject = stub(behaviour)
    if behaviour == "is killed" and sys.platform == "win32":
        pytest.skip("Windows has no signals")
    outcome = conduct(subject, "C10-permutation", "quick")
    violation = outcome.violation
    assert outcome.state == "FAIL"
    assert violation is not None
    assert what in violation.what
    assert "x_recon float64 (3, " in violation.what
    assert got in violation.got
    script = violation.program(subject.imports)
    assert script is not None
    with pytest.raises(properties.Violation, match="masked_"):
        exec(script, {})
    assert conduct(subject, "C9-sentinels", "quick").state in ("pass", "FAIL")
    right = torch.ones(1, 2, dtype=torch.float64)
    subject.restart()
    assert subject.masked_sse(right, 3 * right, right.bool()).item() == 8  # type: ignore[misc]


def test_a_program_is_started_three_times() -> None:
    """After three ends no property starts it again, and each says so."""
    subject = stub("exits")
    for identifier in ("C4-oracle", "C10-permutation", "C5-result"):
        assert "exit code 1" in conduct(subject, identifier, "quick").reason
    for identifier in ("C4-oracle", "C4-sizes"):
        assert "not started again" in conduct(subject, identifier, "quick").reason


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"protocol": 2}, "names protocol 2, not 1"),
        ({"protocol": 1, "dtypes": ["float8"]}, "dtypes must be a list of some of"),
        ({"protocol": 1, "functions": []}, "functions must be a list"),
        ({"protocol": 1, "reductions": "sum"}, "reductions must be a list"),
        ({"protocol": 1, "gradients": 1}, "gradients must be true or false"),
        ({"protocol": 1, "roundoffs": "few"}, "roundoffs must be a number"),
        ({"protocol": 1, "half_result": "quarter"}, "half_result must be"),
        ({"protocol": 1, "compile": True}, "it says compile; known are"),
    ],
)
def test_a_first_line_that_is_none(said: dict[str, Any], why: str) -> None:
    """It is refused, as it is by the schema, and the message says what is wrong."""
    with pytest.raises(TargetError, match=why):
        stub(json.dumps(said))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, SCHEMA)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("", "a command is empty"),
        ("'", "cannot be split into words"),
        ("no-such-program", "there is no program 'no-such-program'"),
        (f"{sys.executable} -c pass", "ended (exit code 0) before its first line"),
        (f"{sys.executable} -c print(1)", "its first line is no JSON object: 1"),
    ],
)
def test_a_command_that_is_no_port(command: str, why: str) -> None:
    """The error says what there was instead."""
    with pytest.raises(TargetError, match=re.escape(why)):
        load_subject(f"command:{command}")


def test_functions_dtypes_and_reductions_are_those_it_claims() -> None:
    """What a port leaves out of its first line, and what it says, becomes its claims."""
    said = {"protocol": 1, "functions": ["masked_mse"], "reductions": ["mean"], "roundoffs": 64}
    subject = stub(json.dumps(said))
    assert subject.functions == ("masked_mse",)
    assert subject.claims.reductions == ("mean",)
    assert subject.claims.roundoffs == 64
    assert len(subject.claims.dtypes) == 4
    assert subject.claims.strict_inputs
    assert not subject.claims.compile
    assert str(ROOT / "tests" / "suite" / "port_stub.py") in subject.sources()


def test_bad_input_reaches_no_port_that_does_not_claim_to_refuse_it() -> None:
    """It may be as simple as the loop in docs/ports.md; the adapter refuses in its place."""
    subject = stub("exits")
    x, mask = torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.bool)
    loss: Any = subject.masked_mse
    for given, error in (
        ((x.long(), x, mask), TypeError),
        ((x, x.float(), mask), TypeError),
        ((x, x, mask.double()), TypeError),
        ((x, x[:1], mask), ValueError),
        ((x[0], x[0], mask[0]), ValueError),
    ):
        with pytest.raises(error):
            loss(*given)
    with pytest.raises(ValueError, match="none"):
        loss(x, x, mask, reduction="none")
    assert subject.ended() is None


@needs_cc
def test_the_lines_are_those_of_the_schema(tmp_path: Path) -> None:
    """First line, questions, answers and refusals, as they cross to the C port and back."""
    command, number = c_port(tmp_path), iter(range(1, 9))
    raw = bytes(48)
    tensors = [pipes.Wired(name, "float64", (2, 3), raw) for name in ("x_recon", "x")]
    mask = pipes.Wired("mask", "bool", (2, 3), bytes(6))
    upstream = pipes.Wired("upstream", "float64", (), bytes(8))
    asked = [
        (["value"], "mean", [*tensors, mask]),
        (["grad_x_recon", "grad_x"], None, [*tensors, mask, upstream]),
        (["value"], 'quo"te\\', [*tensors, mask]),
        (["value"], "sum", [*tensors, mask._replace(dtype="uint8")]),
        (["value"], "sum", [*tensors, mask._replace(shape=(6,))]),
    ]
    sent = b""
    for want, reduction, given in asked:
        line = pipes.question(next(number), "masked_mse", reduction, want, given)
        jsonschema.validate(json.loads(line), SCHEMA)
        sent += line + b"".join(tensor.data for tensor in given)
    done = subprocess.run([command], input=sent, stdout=subprocess.PIPE, check=True)
    lines = [line for line in done.stdout.replace(b"\0", b"").split(b"\n") if line]
    told = [json.loads(line) for line in lines]
    for line in told:
        jsonschema.validate(line, SCHEMA)
    assert [line.get("id") for line in told] == [None, 1, 2, 3, 4, 5]
    faults = [line.get("fault") for line in told[1:]]
    assert faults == [None, None, "reduction", "dtype", "shape"]


def test_the_command_counts_ends_and_goes_on(tmp_path: Path) -> None:
    """`--command` is a target like others; three properties end the stub, the rest is not run."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "wavemae.properties", "--command", f"{STUB} exits"]
    command += ["--profile", "quick", "--clause", "C4,C14", "-n", "0", "--report-json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    (subject,) = json.loads(report.read_text())["subjects"]
    assert subject["totals"]["FAIL"] == 3
    assert subject["totals"]["not run"] >= 3
    failed = [cell for cell in subject["cells"] if cell["state"] == "FAIL"]
    assert all("exit code 1" in cell["reason"] for cell in failed)
    assert "--command '" in failed[0]["counterexample"]["again"]
    assert "port_stub.py" in [Path(source["file"]).name for source in subject["sources"]]
