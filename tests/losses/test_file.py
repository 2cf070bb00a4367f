"""losses.py as a file: short, alone, importable by three names, its examples true."""

from __future__ import annotations

import ast
import doctest
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import wavemae
from wavemae.models import losses

SOURCE = Path(inspect.getfile(losses))

# Run by an interpreter that finds no wavemae: the copy alone has to give 3² + 4² over two.
USE_OF_THE_COPY = """
import importlib.util, sys
sys.path.insert(0, {folder!r})
sys.modules["wavemae"] = None  # an import of it, were there one, now fails
import vendored, torch
x = torch.zeros(1, 3)
x_recon = torch.tensor([[3.0, float("nan"), 4.0]])
visible = torch.tensor([[False, True, False]])
print(vendored.__file__)
print(vendored.masked_mse(x_recon, x, ~visible).item())
print(vendored.masked_sse(x_recon, x, ~visible).item())
"""


def test_a_copy_works_alone(tmp_path: Path) -> None:
    """Copied under another name and imported where there is no wavemae, it computes the same."""
    copy = tmp_path / "vendored.py"
    shutil.copyfile(SOURCE, copy)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", USE_OF_THE_COPY.format(folder=str(tmp_path))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [str(copy), "12.5", "25.0"]


def test_imports_only_torch_and_the_standard_library() -> None:
    """No import in the file, however nested, needs anything else; none is relative."""
    imported = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            imported.add(node.module.split(".")[0])
    assert "torch" in imported
    assert imported - {"torch"} <= sys.stdlib_module_names


def test_one_function_under_every_name() -> None:
    """The package, wavemae.models and wavemae.models.losses export the same objects."""
    for name in ("masked_mse", "masked_sse", "Reduction"):
        of_file = getattr(losses, name)
        assert getattr(wavemae, name) is of_file
        assert getattr(wavemae.models, name) is of_file
        assert name in losses.__all__


def test_docstring_examples() -> None:
    """Both docstrings carry an example, and every line of them prints what it says."""
    ran = doctest.testmod(losses, extraglobs={"torch": torch})
    assert ran.failed == 0
    names = {test.name for test in doctest.DocTestFinder().find(losses) if test.examples}
    assert names == {"wavemae.models.losses.masked_sse", "wavemae.models.losses.masked_mse"}


def test_short_enough_to_read() -> None:
    """The file stays under 200 lines, so that whoever copies it can read it first."""
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) < 200


def test_minimal_use() -> None:
    """Random data off by 0.1, scored where it was not visible: 0.01 a position, never negative."""
    torch.manual_seed(0)
    x = torch.randn(4, 16)
    x_recon = x + 0.1
    visible = torch.rand(4, 16) < 0.25
    sse, mse = losses.masked_sse(x_recon, x, ~visible), losses.masked_mse(x_recon, x, ~visible)
    assert sse.item() >= 0.0
    assert mse.item() >= 0.0
    # x + 0.1 rounds by up to 2^-23 where |x| is in [2, 4): 0.1 is off by about 1e-6 of itself.
    assert mse.item() == pytest.approx(0.01, rel=1e-5)
    assert sse.item() == pytest.approx(0.01 * int((~visible).sum()) / 4, rel=1e-5)
