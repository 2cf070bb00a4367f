"""The side of the pytest plugin that lives in the process which the user started.

It takes the targets from what pytest's own parser left, looks at them before anything runs, hands
the request to the workers, and fills the table from their reports.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from .. import targets as places
from ..run import ledger, preflight, stopping
from . import baseline, catalogue, died
from .command import DEFAULT_TARGET, Options, Refused
from .plugin import REQUEST, SUITE, Request
from .progress import Progress
from .report import Cell, Table
from .screen import plain

TIMEOUTS = {"quick": 60, "default": 180, "deep": 1800}
_SHOWS_ONLY = ("collectonly", "markers", "showfixtures", "show_fixtures_per_test")
_NEEDED_PLUGINS = ("wavemae.properties.doors.plugin", "main", "runner")


class Controller:
    """A pytest plugin: one run of the command.

    Attributes:
        table: what is known so far; None until the targets are.
        shows_only: the run was asked to list something, not to judge.
    """

    def __init__(self, options: Options, parsed: Any) -> None:
        self.options = options
        self.parsed = parsed
        self.stack = ExitStack()
        self.table: Table | None = None
        self.shows_only = False
        self.started: dict[str, float] = {}
        self.collected: dict[str, None] = {}
        self.dead: dict[str, str] = {}
        self.ends: dict[str, str] = {}
        self.texts: dict[tuple[str, str], str] = {}
        self.traits: dict[str, dict[str, Any]] = {}
        self.before: dict[str, Any] | None = None
        self.verbose = False
        self.paint: Any = plain
        self.limit: float | None = None
        self.stopped = ""
        self.sources: dict[str, dict[str, str]] = {}
        self.refusal: Refused | None = None
        self.answer: preflight.Answer | None = None
        self.nodes: list[Any] = []

    # pytest's command line has been parsed, and nothing has run.

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Iterator[None]:
        self.parsed()
        for name in _NEEDED_PLUGINS:
            if not config.pluginmanager.hasplugin(name):
                raise Refused(f"-p no:{name} turns off what the suite is made of; leave it out")
        given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
        chosen = [*given, *self.options.targets] or [DEFAULT_TARGET]
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.request = Request(
            chosen,
            list(self.options.clauses),
            self.options.profile,
            self.options.seed,
            self.options.device,
            folder,
            command=self.options.command,
        )
        self.table = self._table(chosen)
        self._look_at(chosen)
        config.args[:] = [str(SUITE)]
        self._isolate(config)
        self.request = replace(self.request, timeout=self.limit)
        self.shows_only = any(getattr(config.option, name, False) for name in _SHOWS_ONLY)
        if not self.workers:  # before pytest handles crashes itself, and prints those of targets
            try:
                self.answer = preflight.examine(chosen, self.options.device)
            except ImportError as error:
                raise _not_started(error) from None
        config.stash[REQUEST] = self.request
        self.stack.enter_context(stopping.ending(lambda: ledger.end(Path(folder))))
        return (yield)

    def _table(self, chosen: list[str]) -> Table:
        settings = {
            "torch": importlib.metadata.version("torch"),
            "device": self.options.device,
            "profile": self.options.profile,
            "seed": self.options.seed,
        }
        return Table(
            chosen, settings, of=len(catalogue.entries()), narrowing=self.options.narrowing
        )

    def _look_at(self, chosen: list[str]) -> None:
        """Raise Refused for what can be told without an import."""
        faults = [fault for fault in map(places.fault, chosen) if fault]
        if faults:
            raise Refused(*faults)
        known: dict[tuple[str, str], str] = {}
        for target in chosen:
            place = places.place_of(target)
            if place in known:
                raise Refused(f"{known[place]!r} and {target!r} are the same target, given twice")
            known[place] = target
        file = self.options.baseline
        if file is not None and Path(file).exists():
            try:
                self.before = baseline.read(file)
            except baseline.Unreadable as error:
                raise Refused(f"--baseline: {error}") from None
        for file in (*self.options.reports, self.options.baseline):
            for path, _ in known:
                if file is not None and str(Path(file).resolve()) == path:
                    raise Refused(f"the report {file!r} would overwrite a target")

    def _isolate(self, config: pytest.Config) -> None:
        """Worker processes and a time limit, unless the user chose: a hang or crash costs a row."""
        option, workers = config.option, 0
        if config.pluginmanager.hasplugin("xdist"):
            alone = option.usepdb or option.trace or option.tx or option.dist != "no"
            if option.numprocesses is None and not alone:
                option.numprocesses = min(4, os.cpu_count() or 1)
                option.dist = "worksteal"
            workers = 0 if option.collectonly else option.numprocesses or len(option.tx)
            if workers and option.maxworkerrestart is None:
                option.maxworkerrestart = "10000"
        self.workers = workers
        if config.pluginmanager.hasplugin("timeout"):
            if option.timeout is None and "PYTEST_TIMEOUT" not in os.environ:
                option.timeout = TIMEOUTS[self.options.profile]
            self.limit = option.timeout
            if option.timeout_method is None:
                lone = not workers and hasattr(signal, "SIGALRM")
                option.timeout_method = "signal" if lone else "thread"

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """How much is told: with -v all of it, with -vv pytest's own line for each property too."""
        given = config.option.verbose + 2  # the command itself says -qq
        self.verbose = given > 0
        plugins = config.pluginmanager
        if given > 1 or self.shows_only:
            config.option.verbose = given - 1
        elif plugins.hasplugin("terminalreporter"):
            plugins.register(Progress(config), "wavemae-progress")
        if plugins.hasplugin("terminalreporter"):
            self.paint = config.get_terminal_writer().markup

    def _examined(self) -> preflight.Answer:
        """Whether device and targets can be used; RuntimeError where there is no telling."""
        if self.workers:  # the first of them is at it
            limit = preflight.patience(len(self.request.targets)) + 120  # and torch is imported
            return preflight.told(Path(self.request.folder), limit, self._worker_ended)
        assert self.answer is not None
        return self.answer

    def _worker_ended(self) -> str | None:
        ends = [end for node in self.nodes if (end := died.end_of(node, 0))]
        return f"a worker's process ended{ends[0]}" if ends else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """End the run, before any property, unless device and targets can be used."""
        try:
            self._heed(self._examined())
        except RuntimeError as error:
            self.refusal = _not_started(error)
        except Refused as error:
            self.refusal = error
        if self.refusal is not None:  # pytest shall end, and say nothing of it
            plugins = session.config.pluginmanager
            if plugins.hasplugin("terminalreporter"):
                plugins.unregister(name="terminalreporter")
            raise pytest.UsageError

    def _heed(self, answer: preflight.Answer) -> None:
        assert self.table is not None
        if answer.device is not None:
            raise Refused(answer.device)
        self.sources = {t: found.sources for t, found in answer.targets.items()}
        self.table.sources = {
            target: {places.shown(file): digest for file, digest in sources.items()}
            for target, sources in self.sources.items()
        }
        self.imports = {t: found.imports for t, found in answer.targets.items()}
        self.traits = {t: found.traits for t, found in answer.targets.items()}
        self.table.unusable = answer.faults()
        if self.table.unusable:
            said = self.table.unusable.items()
            raise Refused(*(why if target in why else f"{target}: {why}" for target, why in said))

    # The run.

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        self.nodes.append(node)
        node.workerinput["wavemae"] = json.dumps(asdict(self.request))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:  # it died: what it had started may live on
            self.ends[node.gateway.id] = died.end_of(node)
            ledger.end(Path(self.request.folder), node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.collected.update(dict.fromkeys(ids))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected.update((item.nodeid, None) for item in session.items)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        target, identifier = _names(report.nodeid)
        recorded = dict(report.user_properties).get("wavemae")
        if recorded is not None:
            if report.when == "call":
                self._add(target, json.loads(str(recorded)), report.duration)
                self.texts[target, identifier] = str(report.longrepr or "")
        elif report.failed and report.when in ("setup", "call", "teardown"):
            reason = "error outside of the property: " + str(report.longrepr).splitlines()[-1]
            self._add(target, {"identifier": identifier, "state": "error", "reason": reason})
        elif report.failed:
            self._died(report)

    def _add(self, target: str, cell: Mapping[str, Any], seconds: float = 0.0) -> None:
        assert self.table is not None
        self.table.add(target, Cell(**{**cell, "seconds": seconds}))

    def _died(self, report: pytest.TestReport) -> None:
        """The row of the property that a process died under; its case is in the ledger."""
        target, identifier = _names(report.nodeid)
        seconds = time.monotonic() - self.started.get(report.nodeid, time.monotonic())
        node: Any = getattr(report, "node", None)  # the worker, as pytest-xdist notes it
        worker = node.gateway.id if node else ""
        reason = died.reason(seconds, self.limit, self.ends.get(worker, ""))
        with self.request.deaths(target).open("a") as stream:
            stream.write(".")
        self._add(target, {"identifier": identifier, "state": "FAIL", "reason": reason}, seconds)
        self.dead[report.nodeid] = worker

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.stopped = str(session.shouldfail or session.shouldstop or "")

    # After the run.

    def finish(self) -> None:
        """Complete the table: what was lost with a process, and what was never run."""
        assert self.table is not None
        folder = Path(self.request.folder)
        kept = ledger.results(folder)
        reason = "no result came back"
        if stopping.requested is not None:
            reason = f"the run was ended by {stopping.requested.name}"
        elif self.stopped:
            reason = f"the run ended before: {self.stopped}"
        for nodeid in self.collected:
            target, identifier = _names(nodeid)
            if identifier in self.table.cells.get(target, {}):
                continue
            cell = kept.get(nodeid) or {
                "identifier": identifier,
                "state": "not run",
                "reason": reason,
            }
            self._add(target, cell)
        for nodeid, worker in self.dead.items():
            self._name_case(nodeid, worker)
        for target, sources in self.sources.items():
            for file, before in sources.items():
                if not Path(file).is_file() or places.digest(file) != before:
                    self.table.changed[target] = places.shown(file)
        self.table.settle()

    def _name_case(self, nodeid: str, worker: str) -> None:
        """Add to the row of a dead process the call that it died in."""
        assert self.table is not None
        target, identifier = _names(nodeid)
        cell = self.table.cells[target][identifier]
        case = ledger.case_of(Path(self.request.folder), worker)
        again = self.request.again(target, identifier)
        self.texts[target, identifier] = died.told(cell, case, self.imports[target], again)


def _not_started(error: Exception) -> Refused:
    return Refused(f"the suite does not start: {error}")


def _names(nodeid: str) -> tuple[str, str]:
    """Target and property of a node."""
    _, *target, identifier = nodeid.split("::")
    return "::".join(target), identifier
