"""How far a run is, while it runs: the share of the properties, and the name of the last one."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

_QUIET = 10.0  # seconds between two lines where none can be rewritten


class Progress:
    """A pytest plugin: one line, rewritten on a terminal; elsewhere one every ten seconds.

    It takes the place of pytest's dots. With -vv pytest has a line for every property, and this is
    not used.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.writer: Any = config.get_terminal_writer()
        file = getattr(self.writer, "_file", None)
        self.live = bool(file is not None and file.isatty())
        self.total = self.done = self.failing = self.width = 0
        self.told = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Nobody needs to know which nodes come up and go down."""
        plugins = session.config.pluginmanager
        if plugins.hasplugin("terminaldistreporter"):
            plugins.unregister(name="terminaldistreporter")
        distributor: Any = plugins.getplugin("dsession")
        if distributor is not None:
            distributor.terminal = None  # or it writes there past its reporter

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, Any, Any]:
        """The category stays, for pytest's last line; there are no dots."""
        category, _, _ = yield
        return category, "", ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.total = len(ids)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.total = self.total or len(session.items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not report.failed and not report.skipped:
            return
        self.done += 1
        self.failing += report.failed
        _, *target, identifier = report.nodeid.split("::")
        self._tell(f"{'::'.join(target)} {identifier}")

    def _tell(self, name: str) -> None:
        share = self.done / max(self.total, self.done)
        failing = f", {self.failing} failing" if self.failing else ""
        text = f"[{share:4.0%}] {self.done} of {self.total}{failing}  {name}"
        if self.live:
            text = text[: self.writer.fullwidth - 1]
            self.writer.write("\r" + text.ljust(self.width), flush=True)
            self.width = len(text)
        elif time.monotonic() - self.told >= _QUIET:
            self.writer.line(text, flush=True)
            self.told = time.monotonic()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        if self.live and self.width:
            self.writer.write("\r" + " " * self.width + "\r", flush=True)
            self.width = 0
