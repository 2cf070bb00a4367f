"""Options, the cells to measure, the report, and what the JSON tells beside the timings."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cpuinfo import get_cpu_info

from wavemae.fused import native

from . import gate, report
from .implementations import GROWING, IMPLEMENTATIONS
from .measure import Timing, fastest, measure
from .workloads import ONE_PASS, Workload, growth, workloads

_NOT_MEASURED = pytest.StashKey[dict[str, str]]()
_RATIOS = pytest.StashKey[dict[str, float]]()
RECORD = Path(__file__).with_name("recorded_ratios.json")
_ATTEMPTS = 3  # a regression has to show in each


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to measure, and what to do with it."""
    group = parser.getgroup("wavemae benchmarks")
    group.addoption("--scope", choices=("short", "full", "gate"), default="short")
    group.addoption("--budget", type=float, default=1.5, help="seconds of rounds per workload")
    group.addoption(
        "--priority", action="store_true", help="hold up others meanwhile (Linux, root)"
    )
    group.addoption("--threads", type=int, help="torch's threads, its own choice by default")
    group.addoption("--report", type=Path, help="folder for benchmarks.md and its pictures")
    group.addoption("--gate", action="store_true", help=f"hold ratios against {RECORD.name}")
    group.addoption("--gate-record", action="store_true", help=f"write them to {RECORD.name}")
    group.addoption("--plant", choices=IMPLEMENTATIONS, help="make this one twice as slow")


def pytest_configure(config: pytest.Config) -> None:
    """Set the number of threads, and make room for the report."""
    config.stash[_NOT_MEASURED] = {}
    config.stash[_RATIOS] = {}
    if config.getoption("--threads"):
        torch.set_num_threads(config.getoption("--threads"))
    if config.getoption("--report"):
        config.getoption("--report").mkdir(parents=True, exist_ok=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every workload of the scope, and on each every implementation; then those of growth."""
    if "measured" not in metafunc.fixturenames:
        return
    scope = metafunc.config.getoption("--scope")
    cells = dict.fromkeys(workloads(scope), tuple(IMPLEMENTATIONS))
    if scope != "gate":
        cells = {**dict.fromkeys(growth(), GROWING), **cells}
    pairs = [
        (cell, name)
        for cell, names in cells.items()
        for name in ("floor", *([ONE_PASS] if cell.phase != "forward" else []), *names)
    ]
    metafunc.parametrize(
        ("measured", "name"),
        pairs,
        indirect=["measured"],
        ids=[f"{cell.id}-{name}" for cell, name in pairs],
    )


@pytest.fixture
def scope(pytestconfig: pytest.Config) -> str:
    """`short`, `full` or `gate`."""
    return str(pytestconfig.getoption("--scope"))


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the compiler an empty cache and its first job, in which it looks at the processor."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("inductor"))
    torch.compile(torch.square)(torch.ones(1024))


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest, compiler: None) -> tuple[Workload, dict[str, Timing]]:
    """A workload and its timings, all implementations in turns.

    Under the gate it is measured again, twice at most, as long as a ratio is too high.
    """
    config, workload = request.config, request.param
    not_measured = config.stash[_NOT_MEASURED]
    if workload.device == "cuda" and not torch.cuda.is_available():
        not_measured[workload.id] = "this machine has no CUDA device"
        pytest.skip("not measured: this machine has no CUDA device")
    wanted = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and _cell(item) == workload
    }
    chosen = {name: found for name, found in IMPLEMENTATIONS.items() if name in wanted}
    timings: dict[str, Timing] = {}
    for _ in range(_ATTEMPTS if _gated(config) else 1):
        try:
            timings = measure(
                workload,
                chosen,
                config.getoption("--budget"),
                config.getoption("--plant"),
                config.getoption("--priority"),
            )
        except torch.OutOfMemoryError:
            not_measured[workload.id] = "its inputs do not fit the device's memory"
            pytest.skip("not measured: its inputs do not fit the device's memory")
        ratios = gate.ratios(
            workload.id,
            fastest(timings),
            ours=[n for n, found in chosen.items() if found.kind == "ours"],
            peers=[n for n, found in chosen.items() if found.kind == "peer"],
        )
        config.stash[_RATIOS].update(ratios)
        if not _complaints(config, f"{workload.id}: "):
            break
    for name, timing in timings.items():
        if timing.failure:
            not_measured[f"{workload.id}: {name}"] = timing.failure
    return workload, timings


def _gated(config: pytest.Config) -> bool:
    return bool(config.getoption("--gate") and not config.getoption("--gate-record"))


def _complaints(config: pytest.Config, start: str) -> list[str]:
    """What the gate has against the ratios whose keys start so."""
    measured, recorded = config.stash[_RATIOS], gate.read(RECORD)
    return [*gate.complaints(gate.about(start, measured), gate.about(start, recorded)).values()]


def _cell(item: pytest.Function) -> Workload | None:
    cell = item.callspec.params.get("measured") if hasattr(item, "callspec") else None
    return cell if isinstance(cell, Workload) else None


@pytest.fixture
def not_measured(pytestconfig: pytest.Config) -> dict[str, str]:
    """To be told in the report: what, and why."""
    return pytestconfig.stash[_NOT_MEASURED]


@pytest.fixture
def assert_gate(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Fail, under `--gate`, where an implementation's ratios on a workload are too high."""

    def check(workload: str, name: str) -> None:
        if _gated(pytestconfig):
            complaints = _complaints(pytestconfig, f"{workload}: {name} / ")
            assert not complaints, "; ".join(complaints)

    return check


def _machine() -> dict[str, object]:
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": get_cpu_info().get("brand_raw", platform.processor()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        "fused": native.status(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """What a reader needs to know of the machine, and not its name."""
    machine_info.pop("node")
    machine_info["wavemae"] = _machine()


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Tell what was not measured, and write the report."""
    output_json["command"] = os.environ.get("BENCHMARKS_COMMAND", "pytest benchmarks")
    output_json["not_measured"] = config.stash[_NOT_MEASURED]
    output_json["sources"] = {name: found.source for name, found in IMPLEMENTATIONS.items()}
    if config.getoption("--report"):
        report.write(output_json, config.getoption("--report"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """How far each ratio moved from the recorded one."""
    recorded = gate.read(RECORD)
    if not config.getoption("--gate"):
        return
    terminalreporter.section("ratios: recorded, now, now ÷ recorded")
    for key, ratio in config.stash[_RATIOS].items():
        if key in recorded:
            moved = ratio / recorded[key]
            terminalreporter.write_line(f"{recorded[key]:8.2f} {ratio:8.2f} {moved:6.2f}  {key}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Record the ratios, if asked to."""
    if session.config.getoption("--gate-record"):
        measured = session.config.stash[_RATIOS]
        gate.write(RECORD, measured, _machine())
