"""A subject that promises less says so in one line each, and is green for what it claims."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from wavemae.properties import (
    PROPERTIES,
    Claims,
    Subject,
    TargetError,
    conduct,
    load_subject,
)
from wavemae.properties.inputs.cases import Case
from wavemae.properties.inputs.operands import Operand
from wavemae.properties.judge.probe import Probe

from wavemae.models.losses import masked_mse, masked_sse

ROOT = Path(__file__).parents[2]

# Importing torch's compilers takes seconds; claims are read the same way everywhere.
LIGHT = [prop.id for prop in PROPERTIES.values() if prop.cost < 9]


def half_result(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Right, but half inputs get a half result."""
    loss = masked_mse(x_recon, x, mask, reduction=reduction)
    return loss.to(torch.promote_types(x_recon.dtype, x.dtype))


def float32_only(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Right, and refuses every other dtype."""
    for name, tensor in (("x_recon", x_recon), ("x", x)):
        if isinstance(tensor, Tensor) and tensor.dtype != torch.float32:
            raise TypeError(f"{name} must be float32, got {tensor.dtype}; convert it with .float()")
    return masked_mse(x_recon, x, mask, reduction=reduction)


def without_gradients(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean"
) -> Tensor:
    """Right, and detached."""
    with torch.no_grad():
        return masked_mse(x_recon, x, mask, reduction=reduction)


def mean_only(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "mean") -> Tensor:
    """Right, and has no other reduction."""
    if reduction in ("sum", "batch_mean"):
        raise ValueError(f"reduction must be 'mean', got {reduction!r}; there is no other")
    return masked_mse(x_recon, x, mask, reduction=reduction)


def sum_only(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: Any = "sum") -> Tensor:
    """Right, and has no other reduction, so that its default is not the contract's."""
    if reduction in ("mean", "batch_mean"):
        raise ValueError(f"reduction must be 'sum', got {reduction!r}; there is no other")
    return masked_sse(x_recon, x, mask, reduction=reduction)


SUBJECTS = {
    "one function only": Subject("one", masked_sse=masked_sse),
    "half results": Subject("half", masked_mse=half_result, claims=Claims(half_result="half")),
    "float32 only": Subject("f32", masked_mse=float32_only, claims=Claims(dtypes=("float32",))),
    "no gradients": Subject("plain", masked_mse=without_gradients, claims=Claims(gradients=False)),
    "mean only": Subject("mean", masked_mse=mean_only, claims=Claims(reductions=("mean",))),
    "sum only": Subject("sum", masked_sse=sum_only, claims=Claims(reductions=("sum",))),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_one_line_of_claims_makes_it_green(name: str, request: pytest.FixtureRequest) -> None:
    """Every property passes, is not claimed, or needs a target; and most are run.

    Without `--matrix`, as in CI, each is asked a third of them, others than the one before it.
    """
    every = request.config.getoption("--matrix")
    chosen = LIGHT if every else LIGHT[[*SUBJECTS].index(name) % 3 :: 3]
    states = {i: conduct(SUBJECTS[name], i, "quick") for i in chosen}
    blamed = {
        i: o.reason for i, o in states.items() if o.state not in ("pass", "not claimed", "skipped")
    }
    assert blamed == {}
    assert sum(o.state == "pass" for o in states.values()) >= len(chosen) // 3


@pytest.mark.parametrize("name", ["one function only", "mean only", "sum only"])
@pytest.mark.parametrize("identifier", ["C18-compile", "C18-export"])
def test_a_graph_holds_claimed_calls_only(name: str, identifier: str) -> None:
    """Where all calls are put into one graph, so are none that the subject refuses."""
    outcome = conduct(SUBJECTS[name], identifier, "quick")
    assert (outcome.state, outcome.reason) == ("pass", "")


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("half results", "C5-result"),
        ("float32 only", "C2-dtypes"),
        ("no gradients", "C11-oracle"),
        ("mean only", "C4-sizes"),
        ("mean only", "C10-additive"),
        ("sum only", "C4-sizes"),
        ("sum only", "C1-default-reduction"),
    ],
)
def test_without_the_claim_it_is_red(name: str, identifier: str) -> None:
    """The one line was needed."""
    subject = SUBJECTS[name]
    assert conduct(subject, identifier, "quick").state in ("pass", "not claimed")
    bare = Subject("bare", subject.masked_sse, subject.masked_mse)
    assert conduct(bare, identifier, "quick").state == "FAIL"


def test_a_tighter_claim_is_held_to() -> None:
    """Sums that pass 32 additions and more at 2¹² elements do not keep a claim of 20 roundoffs."""
    subject = Subject("tight", masked_sse, masked_mse, claims=Claims(roundoffs=20))
    assert conduct(subject, "C6-depth", "default").state == "FAIL"
    assert conduct(Subject("loose", masked_sse), "C6-depth", "quick").state == "pass"


@pytest.mark.parametrize(("dtype", "reached"), [("float16", math.inf), ("float32", 2.0**17)])
def test_what_reaches_a_half_result_is_a_half(dtype: str, reached: float) -> None:
    """A loss scale beyond its range is infinite there before any loss sees it."""
    claims = Claims(half_result="half")
    probe = Probe(Subject("half", masked_mse=half_result, claims=claims))
    case = Case(x_recon=Operand(dtype), x=Operand(dtype), upstream=2.0**17)
    assert probe.fit(case).upstream == probe.reached(case).upstream == reached


def test_example_in_numpy_is_green(tmp_path: Path) -> None:
    """`python -m wavemae.properties docs/numpy_loss.py:SUBJECT` exits 0; gradients not claimed."""
    target, report = f"{ROOT / 'docs' / 'numpy_loss.py'}:SUBJECT", tmp_path / "report.json"
    command = [sys.executable, "-m", "wavemae.properties", target, "--profile", "quick"]
    command += ["--report-json", str(report), "-n", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (subject,) = json.loads(report.read_text())["subjects"]
    cells = {cell["property"]: cell for cell in subject["cells"]}
    assert cells["C11-oracle"]["reason"] == "gradients is not claimed"
    assert subject["totals"]["pass"] >= 40
    assert subject["totals"]["pass"] + subject["totals"]["not claimed"] == len(PROPERTIES)


def test_claimed_reductions_are_known_ones() -> None:
    """A misspelt reduction, or none at all, is refused with the known ones."""
    for given in (("avg",), ("mean", "none"), ()):
        with pytest.raises(ValueError, match=r"reductions must be one or more of .*batch_mean"):
            Claims(reductions=given)


def test_a_module_states_its_claims(tmp_path: Path) -> None:
    """WAVEMAE_CLAIMS of a module is what it is judged by; a misspelt claim is an error."""
    module = tmp_path / "stated_claims.py"
    text = "from wavemae.models.losses import masked_mse\nWAVEMAE_CLAIMS = {}\n"
    module.write_text(text.format({"roundoffs": 20, "compile": False}))
    assert load_subject(str(module)).claims == Claims(roundoffs=20, compile=False)
    misspelt = tmp_path / "misspelt_claims.py"
    misspelt.write_text(text.format({"roundof": 20}))
    with pytest.raises(TargetError, match=r"WAVEMAE_CLAIMS of .*misspelt_claims\.py.*roundof"):
        load_subject(str(misspelt))


READS_BACK = """
from wavemae.models import losses

WAVEMAE_CLAIMS = {
    "data_independent": False, "compile": False, "transforms": False, "distributed": False,
}


def masked_mse(x_recon, x, mask, *, reduction="mean"):
    if x_recon.is_meta or not mask.any().item():
        assert not x_recon.is_meta, "it needs data"
    return losses.masked_mse(x_recon, x, mask, reduction=reduction)
"""


def test_a_process_begins_only_as_is_claimed(tmp_path: Path) -> None:
    """What needs data is given no meta tensors, though it is asked from its first call on."""
    file = tmp_path / "reads_back.py"
    file.write_text(READS_BACK)
    outcome = conduct(load_subject(str(file)), "C16-own-process", "default")
    assert (outcome.state, outcome.reason) == ("pass", "")
