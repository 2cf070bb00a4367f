"""What the suite prints as a program is one: it fails on the loss, and passes once mended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from wavemae.properties import (
    PROPERTIES,
    Case,
    Claims,
    ContractBroken,
    Mask,
    Operand,
    check_loss,
    conduct,
    load_subject,
)
from wavemae.properties.inputs.masks import MASK_PATTERNS
from wavemae.properties.inputs.values import Constant, Lattice, Palette, Reals, Spike, Tree
from wavemae.properties.judge.bits import same_bits
from wavemae.properties.run.reproducers import NOT_ALONE

from wavemae.models.losses import masked_sse

from ..mutants import MUTANTS

needs_forks = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="each program runs in a fork, which this system has not"
)
# Of every way to make a call, and of every kind of assertion.
FEW = (
    "unknown_keywords_swallowed",
    "x_uint8_accepted",
    "reduction_number_accepted",
    "shape_mismatch_only_warns",
    "message_without_what_came",
    "reduction_checked_after_the_sum",
    "mask_inverted",
    "result_is_a_float",
    "negative_zero",
    "row_with_nan_left_out",
    "later_rows_weigh_more",
    "upstream_read_at_start_of_storage",
    "gradient_outside_the_mask",
    "second_order_without_upstream_term",
    "upstream_tangent_lost",
    "mask_left_inverted",
    "losses_collected",
    "python_generator_advanced",
    "prints",
    "count_remembered_by_identity",
    "leaks_under_autocast_to_float16",
    "zeros_in_another_thread",
    "dtype_of_first_call",
    "vmap_rule_uses_first_mask",
    "aborts_without_the_runner",
)


# The tests come last on the path: beside them lies a package that may be installed elsewhere.
RUNNER = """
import runpy, sys
sys.path.append({root!r})
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def ran(pairs: list[tuple[str, str]], folder: Path) -> list[dict[str, Any]]:
    """What became of the programs of these mutants, as these properties find them."""
    package = __package__ or ""
    root = str(Path(__file__).parents[len(package.split("."))])
    program = RUNNER.format(root=root, module=f"{package}.program_runner")
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, input=json.dumps(pairs), capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_forks
def test_programs_fail_on_mutants_and_pass_on_the_definition(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 1 with an AssertionError, and 0 on the definition; every mutant with `--matrix`."""
    every = request.config.getoption("--matrix")
    names = [*MUTANTS] if every else FEW
    rows = ran([(name, MUTANTS[name].killed_by[0]) for name in names], tmp_path)
    assert [row["mutant"] for row in rows] == [*names]
    found = [row for row in rows if row.get("state") == "FAIL"]
    wrong = [row for row in found if not _shows(row)]
    with capsys.disabled():
        if every:
            alone, asking = (sum(row["alone"] is kind for row in found) for kind in (True, False))
            print(f"\n{len(rows)} mutants, {len(found)} findings: the programs of", end=" ")
            print(f"{len(found) - len(wrong)} reproduce; {alone} stand alone, {asking} do not")
    assert not wrong, json.dumps(wrong, indent=1)
    assert every or len(found) == len(rows)  # that mutants are noticed is for test_mutants.py


def _shows(row: dict[str, Any]) -> bool:
    """One mutant races in memory that another thread has freed, which may as well crash."""
    wrong, right = row.get("wrong", {"code": 0, "said": ""}), row.get("right", {})
    failed: bool = wrong["code"] == 1 and "Error" in wrong["said"]
    races = row["mutant"] == "interleaved_call_replaces_inputs"
    crashed: bool = races and wrong["said"] == "killed by SIGSEGV"
    return (failed or crashed) and right.get("code") == 0


STATEFUL = """
from wavemae.models import losses

_rows = []


def masked_sse(x_recon, x, mask, *, reduction="batch_mean"):
    right = losses.masked_sse(x_recon, x, mask, reduction=reduction)
    if reduction != "batch_mean" or x_recon.shape[0] == 0:
        return right
    _rows.append(x_recon.shape[0])
    return right * x_recon.shape[0] / _rows[0]
"""


@needs_forks
def test_a_program_that_shows_nothing_is_not_shown(tmp_path: Path) -> None:
    """It is tried first: where the call alone is right, the program has the suite ask again."""
    file = tmp_path / "with a space" / "stateful.py"
    file.parent.mkdir()
    file.write_text(STATEFUL)
    subject = load_subject(str(file))
    outcome = conduct(subject, "C4-oracle", "quick", tried=True)
    assert outcome.violation is not None
    program = outcome.violation.program(subject.imports)
    assert program is not None
    assert program.startswith(NOT_ALONE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "ContractBroken" in done.stderr
    sys.modules.pop("stateful", None)


@needs_forks
def test_again_runs_as_printed(tmp_path: Path) -> None:
    """In a folder with a space, on a name in a file; and the program of the run, from elsewhere."""
    folder = tmp_path / "my losses"
    folder.mkdir()
    (folder / "wrong.py").write_text(
        "from types import SimpleNamespace\n\nfrom wavemae.models import losses\n\n\n"
        'def masked_mse(x_recon, x, mask, *, reduction="mean"):\n'
        "    return 2 * losses.masked_mse(x_recon, x, mask, reduction=reduction)\n\n\n"
        "OURS = SimpleNamespace(masked_mse=masked_mse)\n"
    )
    command = [sys.executable, "-m", "wavemae.properties", "my losses/wrong.py:OURS"]
    command += ["-k", "C4-oracle", "--profile", "quick", "-n", "0"]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [*command, "--report-json", str(report)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.search(r"^again:  (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    again = subprocess.run(
        found[1] + " -n 0", shell=True, cwd=tmp_path, env=environment, capture_output=True
    )
    assert again.returncode == 1, again.stderr
    (cell,) = json.loads(report.read_text())["subjects"][0]["cells"]
    program = cell["counterexample"]["script"]
    assert "wavemae.properties" not in program
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert alone.returncode == 1
    assert alone.stderr.splitlines()[-1].startswith("AssertionError: the value is wrong: got ")


@pytest.mark.parametrize(
    "recipe",
    [
        Lattice(5, 2.0),
        Reals(7, 3.0, 1.0),
        Constant(1.1),
        Palette(3, (0.5, 1.5, 2.5)),
        Spike(0.0, 2.0, -1),
        Spike(0.5, 2.0, (1, 5)),
        Tree(16, 4, 2.0**-24),
    ],
    ids=["lattice", "reals", "constant", "palette", "spike", "spikes", "tree"],
)
def test_recipes_are_written_with_torch_alone(recipe: Any) -> None:
    """Above 64 elements too a program has the bits, strides and flags that the case has."""
    for shape in ((9, 11), (300, 7), (1, 70)):
        for pattern in MASK_PATTERNS:
            recon = Operand("float32", recipe, outside=float("nan"), edits=((3, float("inf")),))
            target = Operand("float64", recipe, "sliding_windows", outside=1.0)
            case = Case(shape=shape, x_recon=recon, x=target, mask=Mask(pattern, 11))
            program = case.script(call=False)
            assert "wavemae" not in program
            names: dict[str, Any] = {}
            exec(program, names)
            for name, tensor in case.build()._asdict().items():
                assert same_bits(names[name], tensor), program


def multiplied(x_recon: Any, x: Any, mask: Any, *, reduction: str = "mean") -> Any:
    """The most common formula: what stands outside the mask leaks."""
    return ((x_recon - x) ** 2 * mask).sum() / mask.sum()


NARROW = Claims(reductions=("mean",), half_result="half", strict_inputs=False)


def test_check_loss_says_what_is_wrong() -> None:
    """The result is false, prints itself, and holds a program for each finding."""
    only = ["C8-excluded-value"]
    found = check_loss(multiplied, claims=NARROW, clauses=only, profile="quick", name="mine")
    assert not found
    assert found.violated == ["C8"]
    assert "C8-excluded-value" in str(found)
    verdict = f"mine: 1 FAIL; violates C8; 1 of {len(PROPERTIES)} properties selected"
    assert str(found).endswith(verdict)
    page = found._repr_html_()
    assert "<details>" in page
    assert "assert repr(got)" in page
    program = found.programs["C8-excluded-value"]
    assert f"from {multiplied.__module__} import multiplied as masked_mse" in program
    with pytest.raises(AssertionError, match="changes with what stands outside the mask"):
        exec(program, {})


def test_check_loss_raises_if_told_to() -> None:
    """An AssertionError that carries the result; and nothing where nothing is violated."""
    with pytest.raises(ContractBroken, match="violates C7") as raised:
        check_loss(multiplied, claims=NARROW, clauses=["C7"], profile="quick", on_fail="raise")
    assert raised.value.checked.violated == ["C7"]
    found = check_loss(masked_sse=masked_sse, clauses="C7", profile="quick", on_fail="raise")
    assert found
    selected = f"1 of {len(PROPERTIES)} properties selected"
    assert str(found) == f"loss: 1 pass; no clause is violated; {selected}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"clauses": ["C21"]}, "got 'C21'"),
        ({"on_fail": "print"}, "on_fail must be"),
        ({"masked_mse": None}, "neither masked_sse nor masked_mse"),
        ({"masked_mse": 3}, "must be callable"),
    ],
    ids=["clause", "on_fail", "nothing", "number"],
)
def test_check_loss_names_what_it_was_given(given: dict[str, Any], words: str) -> None:
    """What cannot be understood is named before anything runs."""
    function: Callable[..., Any] = multiplied
    with pytest.raises(ValueError, match=words):
        check_loss(**{"masked_mse": function, "profile": "quick", **given})


def test_checking_leaves_torch_alone() -> None:
    """In a notebook the session goes on as before."""
    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.get_num_threads()
    check_loss(multiplied, claims=NARROW, clauses=["C7"], profile="quick")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
