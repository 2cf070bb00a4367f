"""Door 1, from outside: exit codes, the table, reports, and subjects that misbehave."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import wavemae.properties
from wavemae.properties import Case

RIGHT = "from wavemae.models.losses import masked_mse, masked_sse\n"
INVERTED = """
from wavemae.models import losses
def masked_mse(x_recon, x, mask, *, reduction="mean"):
    losses._check_arguments(x_recon, x, mask, reduction)
    return losses.masked_mse(x_recon, x, ~mask, reduction=reduction)
"""


SCHEMA = json.loads(
    (Path(wavemae.properties.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
)


@dataclass
class Run:
    """What a run of the command left."""

    code: int
    output: str
    report: dict[str, Any]

    def cells(self, target: str) -> dict[str, dict[str, Any]]:
        """Cells by property."""
        (subject,) = (s for s in self.report["subjects"] if s["target"] == target)
        return {cell["property"]: cell for cell in subject["cells"]}


def run(folder: Path, *arguments: str) -> Run:
    """`python -m wavemae.properties ...` in a folder, profile quick; its report fits the schema."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "wavemae.properties", *arguments]
    command += ["--profile", "quick", "--report-json", str(report)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    found = json.loads(report.read_text()) if report.exists() else {}
    if found:
        jsonschema.validate(found, SCHEMA)
    return Run(done.returncode, done.stdout + done.stderr, found)


def write(folder: Path, name: str, text: str) -> str:
    """A module file in the folder; its name is the target."""
    (folder / name).write_text(text)
    return name


def test_no_violation_exits_0(tmp_path: Path) -> None:
    """Without a target the definition is run; -k reaches pytest."""
    done = run(tmp_path, "-k", "C7-empty or C4-functions-agree", "-n", "0")
    assert done.code == 0, done.output
    assert "C7-empty                    pass" in done.output
    assert "wavemae.models.losses: 2 pass; no clause is violated" in done.output


def test_violation_exits_1_and_explains(tmp_path: Path) -> None:
    """Statement, got, wanted, bound, a program that pastes and runs, and the line to run again."""
    target = write(tmp_path, "inverted.py", INVERTED)
    done = run(tmp_path, target, "-k", "C4-oracle", "-n", "0")
    assert done.code == 1, done.output
    for words in (
        "sum, mean and batch_mean equal exact rational arithmetic",
        "  got     ",
        "  wanted  ",
        "  bound   ± ",
        "minimal case, pastes and runs:",
        "    from inverted import masked_mse",
        "again:  python -m wavemae.properties inverted.py -k C4-oracle --profile quick --seed 0",
        "violates C4",
    ):
        assert words in done.output, done.output
    found = done.cells(target)["C4-oracle"]["counterexample"]
    case = Case.from_dict(found["case"])
    assert case.count == 1, "the simplest case of the grid is one element"
    names: dict[str, Any] = {}
    sys.path.insert(0, str(tmp_path))
    try:
        exec(found["script"], names)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("inverted", None)
    assert names["loss"].item() == float(found["got"].split()[0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("masked_mse = 3", "neither masked_sse nor masked_mse"),
        ("import nothing_of_this_name", "failed on import: ModuleNotFoundError"),
        ("import os\nos._exit(7)", "ended the process on import or in a smoke call (exit 7)"),
        ("raise SystemExit('no')", "failed on import: SystemExit: no"),
        ("def masked_mse(a):\n    return 0", "answers none of the simplest calls"),
    ],
)
def test_unusable_target_exits_2(tmp_path: Path, text: str, reason: str) -> None:
    """A target that cannot be used says why; nothing is blamed on it."""
    done = run(tmp_path, write(tmp_path, "broken.py", text), "-n", "0")
    assert done.code == 2, done.output
    assert reason in done.output
    (subject,) = done.report["subjects"]
    assert reason in subject["unusable"]
    assert subject["cells"] == []


def test_missing_targets_and_bad_options_exit_2(tmp_path: Path) -> None:
    """A name that leads nowhere, an unknown profile, a selection of nothing."""
    assert "there is no module 'no.such'" in run(tmp_path, "no.such", "-n", "0").output
    assert run(tmp_path, "no.such", "-n", "0").code == 2
    assert run(tmp_path, "-k", "C99", "-n", "0").code == 2
    assert run(tmp_path, "--profile", "huge").code == 2


MISBEHAVING = {
    "exits.py": "import sys\n{call}    if not mask.any():\n        sys.exit(3)\n{end}",
    "interrupts.py": "{call}    if not mask.any():\n        raise KeyboardInterrupt\n{end}",
    "dies.py": "import os\n{call}    if not mask.any():\n        os._exit(9)\n{end}",
    "hangs.py": "import time\n{call}    if not mask.any():\n        time.sleep(600)\n{end}",
    "prints.py": "{call}    print('loss')\n{end}",
    "warns.py": "import warnings\n{call}    warnings.warn('slow')\n{end}",
    "not_a_tensor.py": "{call}    return 1.5\n",
    "changes_default.py": "import torch\n{call}    torch.set_default_dtype(torch.float64)\n{end}",
    "changes_grad_mode.py": "import torch\n{call}    torch.set_grad_enabled(False)\n{end}",
}
CALL = 'def masked_mse(x_recon, x, mask, *, reduction="mean"):\n'
END = "    return losses.masked_mse(x_recon, x, mask, reduction=reduction)\n"


LOST = "its result was lost when a worker process ended; run it again alone"


def misbehave(folder: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """Reasons by target and property, of these subjects and a right one, five properties each."""
    targets = [
        write(folder, name, "from wavemae.models import losses\n" + text.format(call=CALL, end=END))
        for name, text in MISBEHAVING.items()
        if name in names
    ]
    targets.append(write(folder, "right.py", RIGHT))
    chosen = "C7-empty or C16-silent or C5-result or C16-globals or C16-history"
    done = run(folder, *targets, "-k", chosen, "-n", "2", "--timeout", "15")
    assert done.code == 1, done.output
    reasons = {t: {p: c["reason"] for p, c in done.cells(t).items()} for t in targets}
    assert {t: len(rows) for t, rows in reasons.items()} == dict.fromkeys(targets, 5)
    return reasons


def test_misbehaving_subjects_cost_their_own_rows(tmp_path: Path) -> None:
    """Each gets its rows with the reason; the right one in the same run, last, is untouched."""
    reasons = misbehave(tmp_path, [n for n in MISBEHAVING if n not in ("dies.py", "hangs.py")])
    assert "SystemExit" in reasons["exits.py"]["C7-empty"]
    assert "KeyboardInterrupt" in reasons["interrupts.py"]["C7-empty"]
    assert "stdout" in reasons["prints.py"]["C16-silent"]
    assert "warnings" in reasons["warns.py"]["C16-silent"]
    assert "not a tensor" in reasons["not_a_tensor.py"]["C5-result"]
    assert "default dtype" in reasons["changes_default.py"]["C16-globals"]
    assert "grad mode" in reasons["changes_grad_mode.py"]["C16-globals"]
    assert reasons["right.py"] == dict.fromkeys(reasons["right.py"], "")


def test_dead_and_hanging_processes_cost_their_own_rows(tmp_path: Path) -> None:
    """A worker that ends may take a finished row with it, which then says so; none is missing."""
    reasons = misbehave(tmp_path, ["dies.py", "hangs.py"])
    assert "its process died" in reasons["dies.py"]["C7-empty"]
    assert "no answer within 15 s" in reasons["hangs.py"]["C7-empty"]
    assert set(reasons["right.py"].values()) <= {"", LOST}


def test_expected_failures_are_strict(tmp_path: Path) -> None:
    """A reason keeps the row from failing the run; a pass, an unknown id or no reason does not."""
    subject = (
        INVERTED
        + """
from wavemae.properties import Subject
expects = Subject("i", masked_mse=masked_mse, expected_failures={"C4-oracle": "mask inverted"})
wrongly = Subject("i", masked_mse=masked_mse, expected_failures={"C7-empty": "why not"})
unknown = Subject("i", masked_mse=masked_mse, expected_failures={"C4-orakel": "a typo"})
"""
    )
    write(tmp_path, "mine.py", subject)
    expected = run(tmp_path, "mine.py:expects", "-k", "C4-oracle", "-n", "0")
    assert expected.code == 0, expected.output
    assert "xfail  mine.py:expects C4-oracle: mask inverted" in expected.output
    passes = INVERTED.replace("~mask", "mask")
    write(tmp_path, "mine.py", passes + subject.removeprefix(INVERTED))
    unexpected = run(tmp_path, "mine.py:wrongly", "-k", "C7-empty", "-n", "0")
    assert unexpected.code == 1, unexpected.output
    assert "XPASS" in unexpected.output
    unknown = run(tmp_path, "mine.py:unknown", "-n", "0")
    assert unknown.code == 2
    assert "'C4-orakel'" in unknown.output


def test_several_targets_make_one_table(tmp_path: Path) -> None:
    """Totals agree with cells, in JSON and Markdown."""
    targets = [write(tmp_path, "right.py", RIGHT), write(tmp_path, "inverted.py", INVERTED)]
    markdown = tmp_path / "table.md"
    done = run(tmp_path, *targets, "-k", "C4-oracle or C7", "-n", "0", "--report-md", str(markdown))
    assert done.code == 1
    for subject in done.report["subjects"]:
        states = [cell["state"] for cell in subject["cells"]]
        assert {s: states.count(s) for s in subject["totals"]} == subject["totals"]
        assert sum(subject["totals"].values()) == len(states) == 2
    text = markdown.read_text()
    assert "| property | right.py | inverted.py |" in text
    assert "| `C4-oracle` | pass | FAIL |" in text


def test_importing_the_suite_imports_no_implementation() -> None:
    """`wavemae.properties` knows no loss: a broken definition cannot break its judge."""
    program = "import sys, wavemae.properties; print([m for m in sys.modules if 'wavemae.m' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
