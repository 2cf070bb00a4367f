"""The pytest plugin behind the command: collects properties, runs them, draws the table.

It is passed with -p, so that workers of pytest-xdist load it too. pytest selects, times out,
distributes and reports; what is here is what pytest cannot know. The process that only distributes
never imports torch.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .effort import PROFILES
from .preflight import faults, patience
from .report import BAD_STATES, Cell, Table

if TYPE_CHECKING:
    from .subject import Subject

SUITE = Path(__file__).parent / "suite" / "pytest.ini"
_TABLE = pytest.StashKey[Table]()
_ANSWER = pytest.StashKey[Path]()
_loaded: dict[str, Subject] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("wavemae", "wavemae property suite")
    group.addoption("--wavemae-target", action="append", default=[], help="what to test")
    group.addoption("--wavemae-profile", default="default", choices=sorted(PROFILES))
    group.addoption("--wavemae-seed", type=int, default=0)
    group.addoption("--wavemae-device", default="cpu")
    group.addoption("--wavemae-report-json", default=None)
    group.addoption("--wavemae-report-md", default=None)


def pytest_configure(config: pytest.Config) -> None:
    settings = {
        "torch": metadata.version("torch"),
        "device": config.getoption("--wavemae-device"),
        "profile": config.getoption("--wavemae-profile"),
        "seed": config.getoption("--wavemae-seed"),
    }
    config.stash[_TABLE] = Table(config.getoption("--wavemae-target"), settings)
    worker = getattr(config, "workerinput", None)
    if worker is None:
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        config.stash[_ANSWER] = Path(folder.name) / "faults.json"
        return
    # Imports make hundreds of thousands of objects that stay: searching them for garbage again and
    # again, and once more at exit, is a fifth of a short run.
    gc.set_threshold(50_000, 20, 50)
    config.add_cleanup(gc.freeze)
    import torch

    from . import engine  # noqa: F401

    gc.freeze()
    config.stash[_ANSWER] = Path(worker["wavemae_answer"])
    # Or each worker would start a thread for every core.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // worker["workercount"]))


def _unusable(config: pytest.Config) -> dict[str, str]:
    """Targets that cannot be used, and why. One process asks, the others wait for its answer."""
    answer = config.stash[_ANSWER]
    if not answer.exists() and getattr(config, "workerinput", {}).get("workerid") in (None, "gw0"):
        from . import engine  # noqa: F401  # what the asked processes inherit

        draft = answer.with_suffix(".draft")
        draft.write_text(json.dumps(faults(config.stash[_TABLE].targets)))
        draft.rename(answer)
    end = time.monotonic() + 2 * patience(len(config.stash[_TABLE].targets)) + 60
    while not answer.exists():
        if time.monotonic() > end:
            raise pytest.UsageError("the worker that tries the targets gave no answer")
        time.sleep(0.02)
    found: dict[str, str] = json.loads(answer.read_text())
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["wavemae_answer"] = str(node.config.stash[_ANSWER])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return SuiteFile.from_parent(parent, path=file_path) if file_path == SUITE else None


class SuiteFile(pytest.File):
    """All targets that can be used."""

    def collect(self) -> Iterable[pytest.Collector]:
        unusable = _unusable(self.config)
        for target in self.config.stash[_TABLE].targets:
            if target not in unusable:
                yield Target.from_parent(self, name=target)


class Target(pytest.Collector):
    """All properties, for one target."""

    def collect(self) -> Iterable[pytest.Item]:
        from .engine import PROPERTIES

        for identifier in sorted(PROPERTIES, key=lambda i: -PROPERTIES[i].cost):
            yield PropertyItem.from_parent(self, name=identifier)


class PropertyFailure(Exception):
    """Carries the explanation to the report."""


class PropertyItem(pytest.Item):
    """One property of one target."""

    def runtest(self) -> None:
        from .engine import SuiteError, conduct, explain
        from .subject import load_subject

        assert self.parent is not None
        target, options = self.parent.name, self.config.option
        profile, seed, device = (
            options.wavemae_profile,
            options.wavemae_seed,
            options.wavemae_device,
        )
        if target not in _loaded:
            _loaded[target] = load_subject(target)
        subject = _loaded[target]
        try:
            outcome = conduct(subject, self.name, profile, seed, device)
        except SuiteError as error:
            self._record(Cell(self.name, "error", str(error)))
            raise PropertyFailure(str(error)) from None
        again = f"python -m wavemae.properties {target} -k {self.name} --profile {profile}"
        again += f" --seed {seed}" + ("" if device == "cpu" else f" --device {device}")
        text = explain(subject, outcome, self.name, again)
        found = outcome.violation
        counterexample = found and {
            "what": found.what,
            "got": found.got,
            "wanted": found.wanted,
            "bound": found.bound,
            "case": found.case.to_dict() if found.case is not None else None,
            "script": found.program(subject.imports),
            "again": again,
        }
        reason = outcome.reason
        self._record(
            Cell(
                self.name,
                outcome.state,
                reason,
                outcome.calls,
                outcome.examples,
                counterexample=counterexample or None,
            )
        )
        if outcome.state in ("not claimed", "skipped"):
            pytest.skip(reason)
        if outcome.state == "xfail":
            pytest.xfail(reason)
        if outcome.state in BAD_STATES:
            raise PropertyFailure(text)

    def _record(self, cell: Cell) -> None:
        self.user_properties.append(("wavemae", json.dumps(vars(cell))))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, PropertyFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        assert self.parent is not None
        return self.path, None, f"{self.parent.name} {self.name}"


class Recorder:
    """Fills the table from the reports; lives in the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.table = config.stash[_TABLE]
        self.started: dict[str, float] = {}
        self.collected: set[str] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.collected.update(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        parts = report.nodeid.split("::")
        if len(parts) < 3:
            return
        target, identifier = "::".join(parts[1:-1]), parts[-1]
        recorded = dict(report.user_properties).get("wavemae")
        if recorded is not None and report.when == "call":
            cell = Cell(**json.loads(str(recorded)))
            cell.seconds = report.duration
            self.table.add(target, cell)
        elif report.failed:
            self.table.add(target, Cell(identifier, "FAIL", self._died(report)))

    def _fill_in(self) -> None:
        """Rows whose report went down with a worker process are errors, not gaps."""
        for nodeid in self.collected:
            _, *names, identifier = nodeid.split("::")
            target = "::".join(names)
            if identifier not in self.table.cells.get(target, {}):
                reason = "its result was lost when a worker process ended; run it again alone"
                self.table.add(target, Cell(identifier, "error", reason))

    def _died(self, report: pytest.TestReport) -> str:
        if report.when in ("setup", "call", "teardown"):
            return str(report.longrepr)
        seconds = time.monotonic() - self.started.get(report.nodeid, time.monotonic())
        limit = self.config.getoption("--timeout", default=None)
        if limit and seconds >= float(limit):
            return f"no answer within {float(limit):g} s; its process was ended"
        return f"its process died after {seconds:.1f} s"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self.table.unusable = _unusable(self.config)
        settings = ", ".join(f"{k} {v}" for k, v in self.table.settings.items())
        terminalreporter.section(f"conformance ({settings})")
        for line in self.table.lines():
            terminalreporter.write_line(line)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        options = self.config.option
        self.table.unusable = _unusable(self.config)
        if not (session.shouldfail or session.shouldstop):
            self._fill_in()
        self.table.write(options.wavemae_report_json, options.wavemae_report_md)
        cells = [cell for row in self.table.cells.values() for cell in row.values()]
        if any(cell.state in ("FAIL", "XPASS") for cell in cells):
            session.exitstatus = 1
        elif self.table.unusable or any(cell.state == "error" for cell in cells):
            session.exitstatus = 2


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "wavemae-recorder")
