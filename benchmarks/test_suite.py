"""The suite's own speed: each profile on the definition, and the time to kill a mutant."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from .recorded_clock import CLOCK, hand_over

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("profile", ["quick", "default", "deep"])
def test_profile(
    benchmark: BenchmarkFixture, profile: str, scope: str, not_measured: dict[str, str]
) -> None:
    """One run of the command, as a user would make it."""
    if scope == "gate" or (scope == "short" and profile == "deep"):
        not_measured[f"suite: profile {profile}"] = f"not in the scope {scope}"
        pytest.skip(f"not measured: the profile {profile} is not in the scope {scope}")
    command = [sys.executable, "-I", "-m", "wavemae.properties", "--profile", profile]
    benchmark.group = "suite"
    benchmark.extra_info.update(suite=f"profile {profile} on the definition")
    done = benchmark.pedantic(subprocess.run, args=(command,), kwargs={"capture_output": True})
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.benchmark(timer=CLOCK)
def test_time_to_kill(
    benchmark: BenchmarkFixture, tmp_path: Path, scope: str, not_measured: dict[str, str]
) -> None:
    """Seconds until the first killer of each mutant has struck, quick profile first."""
    if scope != "full":
        not_measured["suite: time to kill a mutant"] = f"not in the scope {scope}"
        pytest.skip(f"not measured: the mutants are not in the scope {scope}")
    file = tmp_path / "junit.xml"
    command = [sys.executable, "-I", "-m", "pytest", "tests/suite/test_mutants.py", "-k", "dies"]
    # Only this older form of the XML has a place for what a test records.
    command += [f"--junitxml={file}", "-o", "junit_family=xunit1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
    samples = [
        float(found.attrib["value"])
        for found in ET.parse(file).iter("property")
        if found.attrib["name"] == "seconds to the kill"
    ]
    benchmark.group = "suite"
    benchmark.extra_info.update(suite="time to kill a mutant", mutants=len(samples))
    hand_over(benchmark, samples)
