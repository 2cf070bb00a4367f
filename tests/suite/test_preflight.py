"""The targets are tried by one worker, for the process that waits for its answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from wavemae.properties.run import preflight

_NOTICES_A_FORK = """
from wavemae.properties.run import preflight
if hasattr(preflight, "used"):
    raise RuntimeError("in a fork of a process that has used the device")
from wavemae.models.losses import masked_mse
"""


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_device_that_was_used_is_not_used_in_a_fork(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA refuses that; on the CPU a fork is what saves the seconds of an import."""
    target = tmp_path / "notices.py"
    target.write_text(_NOTICES_A_FORK)

    def used(device: str) -> None:
        monkeypatch.setattr(preflight, "used", True, raising=False)

    monkeypatch.setattr(preflight, "device_fault", used)
    (answer,) = preflight.examine([str(target)], device).targets.values()
    forked = "in a fork" in str(answer.fault)
    assert forked is (device == "cpu" and sys.platform == "linux")


def test_what_is_told_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, and an error too."""
    found = preflight.Answer(None, {"loss.py": preflight.Found(imports="from loss import a")})
    monkeypatch.setattr(preflight, "examine", lambda asked, device: found)
    preflight.tell(tmp_path, ["loss.py"], "cpu")
    assert preflight.told(tmp_path, 0.0, lambda: "it ended afterwards") == found

    def fails(asked: list[str], device: str) -> None:
        raise ImportError("no torch")

    monkeypatch.setattr(preflight, "examine", fails)
    preflight.tell(tmp_path, ["loss.py"], "cpu")
    with pytest.raises(RuntimeError, match="ImportError: no torch"):
        preflight.told(tmp_path, 0.0, lambda: None)


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    """Neither for a process that ended, nor for one that is there and does not tell."""
    ends = iter([None, None, "a worker's process ended"])
    with pytest.raises(RuntimeError, match="process ended"):
        preflight.told(tmp_path, 60.0, lambda: next(ends))
    with pytest.raises(RuntimeError, match=r"within 0\.05 s"):
        preflight.told(tmp_path, 0.05, lambda: None)
