"""The files that a subject comes from: which are named, and how many of them the terminal shows."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from wavemae.properties.__main__ import main as verify
from wavemae.properties.sources import files
from wavemae.properties.subject import load_subject

from wavemae.models import losses

FILES = {
    "srcs_total.py": "def total(t):\n    return t.sum()\n",
    "srcs_kernel.py": "class Kernel:\n    pass\n",
    "srcs_loss.py": """
import srcs_total, torch
from srcs_kernel import Kernel
from torch.nn import functional as F
def loss(a, b, m):
    found = srcs_total.total(F.mse_loss(a, b, reduction="none") * m)
    return found / (torch.sum(m) if Kernel else never)
""",
    "adapter.py": """
import functools, srcs_loss
from wavemae.properties import Subject
def masked_mse(x_recon, x, mask, reduction="mean"):
    return srcs_loss.loss(x_recon, x, mask)
SUBJECT = Subject("s", masked_mse=functools.partial(masked_mse))
""",
}
NAMES = ["adapter.py", "srcs_loss.py", "srcs_total.py", "srcs_kernel.py"]


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An adapter beside three modules of its user's."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "adapter.py:SUBJECT"


def test_an_adapter_brings_the_loss_and_what_it_names(adapter: str) -> None:
    """Functions, modules and classes, by their files; nothing that is installed."""
    assert [Path(file).name for file in load_subject(adapter).sources()] == NAMES


def test_installed_functions_are_named_and_not_followed() -> None:
    """The file of the subject's own function is named wherever it lies."""
    assert files([json.dumps]) == [inspect.getfile(json)]
    assert files([losses.masked_sse]) == [inspect.getfile(losses)]


def test_names_without_a_value_and_calls_without_code_are_no_errors() -> None:
    """A closure over what comes later, a builtin, an object without a file."""

    def early() -> object:
        return late

    assert files([early, len, 3]) == [__file__]
    late = len
    assert files([early]) == [__file__]


def test_the_terminal_shows_three_files_of_a_target(
    adapter: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Others are counted there, and named in the report."""
    options = ["--clause", "C1", "--profile", "quick", "--report-json", "r.json"]
    assert verify([adapter, *options]) == 1
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("file")]
    assert shown == [
        *(f"file     {name}" for name in NAMES[:3]),
        "files    1 more, which every report names",
    ]
    (subject,) = json.loads((tmp_path / "r.json").read_text())["subjects"]
    assert [source["file"] for source in subject["sources"]] == NAMES
