"""Other processes at work are noticed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .calm import CALM, Others
from .threads import busy_process


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="calm.py reads Linux's account of time")
def test_a_busy_process_is_noticed() -> None:
    """It takes a good part of a processor, whatever else goes on."""
    with busy_process(), Others() as others:
        time.sleep(1)
    assert others.share is not None
    assert others.share > 2 * CALM
