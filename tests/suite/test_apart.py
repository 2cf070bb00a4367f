"""The other Python drops the asserts of a loss, and leaves torch its own."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from wavemae.properties.judge import apart


def _executed(name: str, file: Path) -> None:
    code = apart._without_cache(SourceFileLoader(name, str(file)), name)
    assert code is not None
    exec(code, {})


def test_torch_keeps_its_asserts(tmp_path: Path) -> None:
    """Its compiler looks at how one is compiled, and fails under `python -O`."""
    file = tmp_path / "asserts.py"
    file.write_text("assert False, 'kept'")
    _executed("asserts", file)
    with pytest.raises(AssertionError, match="kept"):
        _executed("torch.asserts", file)
