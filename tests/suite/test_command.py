"""Door 1, from outside: exit codes, the table, reports, and subjects that misbehave."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import wavemae.properties
from wavemae.properties import PROPERTIES, Case

import wavemae
from wavemae.models import losses

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
    """Without a target the definition is run; -k reaches pytest; the last lines say all of it."""
    done = run(tmp_path, "-k", "C7-empty or C4-functions-agree", "-n", "0", "--seed", "7")
    assert done.code == 0, done.output
    file = Path(inspect.getfile(losses))
    assert done.output.splitlines()[-8:] == [
        "target   wavemae.models.losses",
        f"file     {file}",
        f"sha-256  {hashlib.sha256(file.read_bytes()).hexdigest()}",
        f"suite    wavemae {wavemae.__version__}, torch {torch.__version__}, device cpu, "
        "profile quick, seed 7",
        "only     -k 'C7-empty or C4-functions-agree'",
        "verdict  wavemae.models.losses: 2 pass; no clause is violated; "
        f"2 of {len(PROPERTIES)} properties selected",
        "         2 of 2 clauses hold",
        "next     python -m wavemae.properties wavemae.models.losses"
        "  # the default profile asks more",
    ]
    assert "C7-empty                    pass" not in done.output, "the table is for -v"


def test_targets_stand_anywhere(tmp_path: Path) -> None:
    """Among options and their values; the clauses are exact; an adapter shows whose loss it is."""
    (tmp_path / "sp ace").mkdir()
    targets = [write(tmp_path, name, RIGHT) for name in ("right.py", "sp ace/lössé.py")]
    first, *rest = ["-x", targets[0], "-n", "0", "-p", "no:junitxml", "-o", "junit_family=xunit1"]
    done = run(tmp_path, first, *rest, "--clause", "C1", "--timeout", "90", targets[1])
    assert done.code == 0, done.output
    for target in targets:
        assert {cell["clause"] for cell in done.cells(target).values()} == {"C1"}
        (subject,) = (s for s in done.report["subjects"] if s["target"] == target)
        files = [source["file"] for source in subject["sources"]]
        assert files == [target, inspect.getfile(losses)], "below this folder from here"
        assert f"\nfile     {target}\n" in done.output


def test_what_judges_nothing_is_not_green(tmp_path: Path) -> None:
    """A selection of nothing, set-up only, and claims that leave nothing to ask."""
    target = write(
        tmp_path,
        "bare.py",
        RIGHT + "from wavemae.properties import Claims, Subject\n"
        "bare = Subject('bare', masked_mse=masked_mse, claims=Claims(compile=False))\n",
    )
    nothing = run(tmp_path, target, "-k", "C99", "-n", "0")
    assert (nothing.code, "nothing is selected by -k 'C99'" in nothing.output) == (2, True)
    unclaimed = run(tmp_path, f"{target}:bare", "--clause", "C18", "-n", "0")
    assert unclaimed.code == 2
    assert "not claimed; nothing was judged" in unclaimed.output
    planned = run(tmp_path, target, "--setup-plan", "--clause", "C1", "-n", "0")
    assert planned.code == 2
    assert {cell["state"] for cell in planned.cells(target).values()} == {"not run"}
    listed = run(tmp_path, target, "--collect-only", "--clause", "C1", "-n", "0")
    assert (listed.code, "nothing was judged: this only lists" in listed.output) == (0, True)


def test_no_report_names_a_folder_of_the_machine(tmp_path: Path) -> None:
    """Where an exception came from is written from here too; programs alone say otherwise."""
    (tmp_path / "pkg").mkdir()
    raises = "def masked_mse(x_recon, x, mask, *, reduction='mean'):\n    if len(x) > 2:\n"
    raises += "        raise ValueError('no')\n    return (x_recon - x)[mask].square().mean()\n"
    target = write(tmp_path, "pkg/raises.py", raises)
    files = ["--report-md", "a.md", "--report-html", "a.html"]
    done = run(tmp_path, target, "-k", "C4-every-position", "-n", "0", *files)
    assert done.code == 1, done.output
    texts = [done.output, json.dumps(done.report)]
    texts += [(tmp_path / name).read_text() for name in files[1::2]]
    for text in texts:
        assert "raised at pkg/raises.py:3 in masked_mse" in text
        lines = re.split(r"\n|\\n", text)
        assert all("sys.path.insert" in line for line in lines if str(tmp_path) in line)
        assert any("pkg/raises.py" in line and "raised at" not in line for line in lines)


def test_a_file_that_changes_while_it_is_judged_is_not_green(tmp_path: Path) -> None:
    """The verdict would be on neither version."""
    text = "import pathlib\npathlib.Path(__file__).open('a').write('#\\n')\n" + RIGHT
    done = run(tmp_path, write(tmp_path, "grows.py", text), "--clause", "C7", "-n", "0")
    assert done.code == 2
    assert "grows.py changed while it was judged" in done.output


def test_a_mistake_of_the_suite_is_shown_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State "error", a line that asks for a report, no clause violated, exit code 2."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # where -p finds its plugin
    target = write(tmp_path, "right.py", RIGHT)
    text = "def pytest_configure(config):\n    from wavemae.properties.judge import oracle\n"
    write(tmp_path, "breaks.py", text + "    oracle.value_fault = None\n")
    done = run(tmp_path, "-p", "breaks", target, "-k", "C4-oracle or C7-empty", "-n", "0")
    assert done.code == 2, done.output
    assert "error in the suite, at " in done.output
    assert "please report this line" in done.output
    assert "contract.py" in done.cells(target)["C4-oracle"]["reason"]
    assert done.report["subjects"][0]["violated"] == []


def test_a_hang_in_one_process_costs_its_row(tmp_path: Path) -> None:
    """Under `-n 0` a time limit interrupts the call, and the run goes on."""
    text = MISBEHAVING["hangs.py"].format(call=CALL, end=END)
    target = write(tmp_path, "hangs.py", "from wavemae.models import losses\n" + text)
    done = run(tmp_path, target, "-k", "C7-empty or C1-keyword-only", "-n", "0", "--timeout", "3")
    assert done.code == 1, done.output
    cells = done.cells(target)
    assert cells["C7-empty"]["reason"] == "no answer within 3 s"
    assert cells["C1-keyword-only"]["state"] == "pass"


def test_violation_exits_1_and_explains(tmp_path: Path) -> None:
    """Statement, got, wanted, bound, a program that pastes and runs, and the line to run again."""
    target = write(tmp_path, "inverted.py", INVERTED)
    done = run(tmp_path, target, "-k", "C4-oracle", "-n", "0")
    assert done.code == 1, done.output
    for words in (
        "C4-oracle: The value is right",
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
    try:
        with pytest.raises(AssertionError, match="the value is wrong: got "):
            exec(found["script"], names)
    finally:
        sys.path.remove(str(tmp_path))  # where the program puts it
        sys.modules.pop("inverted", None)
    assert names["loss"].item() == float(found["got"].split()[0])


# A target that cannot be used, and words of the line that says why.
UNUSABLE = {
    "number.py": ("masked_mse = 3", "number.py has neither masked_sse nor masked_mse"),
    "none.py:NONE": ("NONE = None", "none.py:NONE has neither masked_sse nor masked_mse"),
    "lacks.py:SUBJECT": ("x = 1", "lacks.py has no attribute 'SUBJECT'"),
    "imports.py": (
        "x = 1\nimport nothing_of_this_name",
        "failed on import: ModuleNotFoundError: No module named 'nothing_of_this_name' "
        "({file}, line 2)",
    ),
    "syntax.py": (
        "x = 1\ndef f(:",
        "failed on import: SyntaxError: invalid syntax ({file}, line 2)",
    ),
    "exits.py": ("import os\nprint('so')\nos._exit(7)", "or in a smoke call (exit code 7): so"),
    "crashes.py": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "ended the process on import or in a smoke call (killed by SIGSEGV)",
    ),
    "leaves.py": ("raise SystemExit('no')", "failed on import: SystemExit: no ({file}, line 1)"),
    "answers.py": (
        "print('hello')\ndef masked_mse(a):\n    return 0",
        "answers none of the simplest calls; the first raised TypeError: ",
    ),
    "elsewhere.py:SUBJECT": (
        "from wavemae.properties import Claims, Subject\n"
        "SUBJECT = Subject('s', masked_mse=print, claims=Claims(devices=('cuda',)))",
        "does not claim the device 'cpu'",
    ),
}


@pytest.mark.parametrize("workers", ["0", "1"])
def test_unusable_targets_exit_2_before_anything_runs(tmp_path: Path, workers: str) -> None:
    """Each says why in a line, whether workers are asked for or not; nothing is blamed on it."""
    for target, (text, _) in UNUSABLE.items():
        write(tmp_path, target.partition(":")[0], text)
    right = write(tmp_path, "right.py", RIGHT)
    done = run(tmp_path, *UNUSABLE, right, "-n", workers)
    assert done.code == 2, done.output
    said = done.output.splitlines()
    assert len(said) == len(UNUSABLE)
    for subject, line in zip(done.report["subjects"], [*said, ""], strict=True):
        assert subject["cells"] == []
        target = subject["target"]
        if target != right:
            reason = UNUSABLE[target][1].format(file=target.partition(":")[0])
            assert reason in line
            assert target.partition(":")[0] in line
            assert reason in subject["unusable"]


def test_a_device_that_is_not_there_exits_2(tmp_path: Path) -> None:
    """Also one that torch has and that holds no numbers."""
    for device in ("meta", "no_such_device"):
        done = run(tmp_path, "--device", device, "-n", "0")
        assert done.code == 2
        assert (
            f"torch {torch.__version__} has no device {device!r} that holds numbers" in done.output
        )
        assert done.output.count("\n") == 1


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


def misbehave(folder: Path, names: list[str], *chosen: str) -> dict[str, dict[str, str]]:
    """Reasons by target and property, of these subjects and a right one."""
    targets = [
        write(folder, name, "from wavemae.models import losses\n" + text.format(call=CALL, end=END))
        for name, text in MISBEHAVING.items()
        if name in names
    ]
    targets.append(write(folder, "right.py", RIGHT))
    done = run(folder, *targets, "-k", " or ".join(chosen), "-n", "2", "--timeout", "15")
    assert done.code == 1, done.output
    reasons = {t: {p: c["reason"] for p, c in done.cells(t).items()} for t in targets}
    assert {t: len(rows) for t, rows in reasons.items()} == dict.fromkeys(targets, len(chosen))
    return reasons


def test_misbehaving_subjects_cost_their_own_rows(tmp_path: Path) -> None:
    """Each gets its rows with the reason; the right one in the same run, last, is untouched."""
    survive = [name for name in MISBEHAVING if name not in ("dies.py", "hangs.py")]
    reasons = misbehave(tmp_path, survive, "C7-empty", "C16-silent", "C5-result", "C16-globals")
    assert "SystemExit" in reasons["exits.py"]["C7-empty"]
    assert "KeyboardInterrupt" in reasons["interrupts.py"]["C7-empty"]
    assert "stdout" in reasons["prints.py"]["C16-silent"]
    assert "warnings" in reasons["warns.py"]["C16-silent"]
    assert "not a tensor" in reasons["not_a_tensor.py"]["C5-result"]
    assert "default dtype" in reasons["changes_default.py"]["C16-globals"]
    assert "grad mode" in reasons["changes_grad_mode.py"]["C16-globals"]
    assert reasons["right.py"] == dict.fromkeys(reasons["right.py"], "")


def test_dead_and_hanging_processes_cost_their_own_rows(tmp_path: Path) -> None:
    """A worker that ends may take a finished row with it, which is then read from its ledger."""
    reasons = misbehave(tmp_path, ["dies.py", "hangs.py"], "C7-empty", "C4-functions-agree")
    assert "its process died" in reasons["dies.py"]["C7-empty"]
    assert "no answer within 15 s" in reasons["hangs.py"]["C7-empty"]
    assert set(reasons["right.py"].values()) == {""}


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
    assert "xfail    mine.py:expects C4-oracle: mask inverted" in expected.output
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
