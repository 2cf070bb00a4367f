"""The pytest plugin that collects the properties and runs them, in whichever process.

It is passed with -p, so that workers of pytest-xdist load it too. pytest selects, times out,
distributes and reports; what is here is what pytest cannot know. The process that only distributes
never imports torch.
"""

from __future__ import annotations

import gc
import json
import os
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..run import ledger, preflight, stopping
from ..targets import spelled
from .report import BAD_STATES, Cell

if TYPE_CHECKING:
    from ..subject import Subject

SUITE = Path(__file__).parent / "suite" / "pytest.ini"
MOST_DEATHS = 3


@dataclass(frozen=True)
class Request:
    """What is to be run; the command hands it to every process."""

    targets: list[str]
    clauses: list[str]
    profile: str
    seed: int
    device: str
    folder: str
    timeout: float | None = None
    command: str = "python -m wavemae.properties"

    def deaths(self, target: str) -> Path:
        """Where the ends of processes under a target are counted."""
        return Path(self.folder) / f"{self.targets.index(target)}.deaths"

    def again(self, target: str, identifier: str) -> str:
        """The command that runs one property once more."""
        device = "" if self.device == "cpu" else f" --device {self.device}"
        return (
            f"{self.command} {spelled(target)} -k {identifier} --profile {self.profile} "
            f"--seed {self.seed}{device}"
        )


REQUEST = pytest.StashKey[Request]()
_loaded: dict[str, Subject] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """A worker has parsed the user's arguments anew: what was made of them replaces that."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[REQUEST] = request = Request(**json.loads(worker["wavemae"]))
        config.args[:] = [str(SUITE)]
        if config.pluginmanager.hasplugin("timeout"):
            config.option.timeout = request.timeout
            config.option.timeout_method = config.option.timeout_method or "thread"


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    request = config.stash[REQUEST]
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C goes to the process that distributes, which then ends this group
    folder = Path(request.folder)
    ledger.keep(folder, worker["workerid"])
    # Imports make hundreds of thousands of objects that stay: searching them for garbage again and
    # again is a fifth of a short run.
    gc.set_threshold(50_000, 20, 50)
    try:
        (folder / "examined").touch(exist_ok=False)
    except FileExistsError:  # by another worker
        pass
    else:
        preflight.tell(folder, request.targets, request.device)
    import torch

    from ..run import engine  # noqa: F401

    gc.freeze()
    # Or each worker would start a thread for every core.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // worker["workercount"]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        gc.freeze()  # before pytest searches for garbage, five times


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return SuiteFile.from_parent(parent, path=file_path) if file_path == SUITE else None


class SuiteFile(pytest.File):
    """All targets."""

    def collect(self) -> Iterable[pytest.Collector]:
        for target in self.config.stash[REQUEST].targets:
            yield Target.from_parent(self, name=target)


class Target(pytest.Collector):
    """All properties, or those of the chosen clauses, for one target."""

    def collect(self) -> Iterable[pytest.Item]:
        from ..clauses.registry import PROPERTIES

        chosen = self.config.stash[REQUEST].clauses
        for identifier in sorted(PROPERTIES, key=lambda i: -PROPERTIES[i].cost):
            if not chosen or PROPERTIES[identifier].clause in chosen:
                yield PropertyItem.from_parent(self, name=identifier)


class PropertyFailure(Exception):
    """Carries the explanation to the report."""


class PropertyItem(pytest.Item):
    """One property of one target."""

    def runtest(self) -> None:
        assert self.parent is not None
        request, target = self.config.stash[REQUEST], self.parent.name
        deaths = request.deaths(target)
        if deaths.is_file() and len(deaths.read_text()) >= MOST_DEATHS:
            reason = (
                f"{MOST_DEATHS} processes ended or hung under this target, which is the limit; "
                "mend those first, or ask for this one alone"
            )
            self._record(Cell(self.name, "not run", reason))
            pytest.skip(reason)
        self._judge(request, target)

    def _judge(self, request: Request, target: str) -> None:
        from ..inputs.window import window
        from ..judge.violation import Ended, SuiteError
        from ..run.engine import conduct, explain
        from ..subject import load_subject

        profile, seed, device = request.profile, request.seed, request.device
        again = request.again(target, self.name)
        try:
            if target not in _loaded:
                _loaded[target] = load_subject(target)
            subject = _loaded[target]
            outcome = conduct(subject, self.name, profile, seed, device, tried=True)
            stopping.heed()
        except pytest.fail.Exception as error:  # how pytest-timeout interrupts a lone process
            stopping.heed()
            with request.deaths(target).open("a") as stream:
                stream.write(".")
            limit = self.config.getoption("timeout", default=None)
            reason = f"no answer within {limit:g} s" if limit else str(error)
            self._record(Cell(self.name, "FAIL", reason))
            raise PropertyFailure(reason) from None
        except Exception as error:
            stopping.heed()
            shown = str(error)
            if not isinstance(error, SuiteError):
                shown = f"{type(error).__name__}: {error}"
            self._record(Cell(self.name, "error", shown))
            if error.__cause__ is not None:
                trace = traceback.format_exception(error.__cause__)
                shown = "\n".join([shown, "", *trace, f"again:  {again}"])
            raise PropertyFailure(shown) from None
        text = explain(subject, outcome, self.name, again)
        found = outcome.violation
        if isinstance(found, Ended):
            with request.deaths(target).open("a") as stream:
                stream.write(".")
        counterexample = found and {
            "what": found.what,
            "got": found.got,
            "wanted": found.wanted,
            "bound": found.bound,
            "case": found.case.to_dict() if found.case is not None else None,
            "tensors": window(found.case) if found.case is not None else None,
            "script": found.program(subject.imports),
            "again": again,
        }
        self._record(
            Cell(
                self.name,
                outcome.state,
                outcome.reason,
                outcome.calls,
                outcome.examples,
                counterexample=counterexample or None,
                part=found.part if found else "",
                elsewhere=found is not None and bool(found.elsewhere),
            )
        )
        if outcome.state in ("not claimed", "skipped"):
            pytest.skip(outcome.reason)
        if outcome.state == "xfail":
            pytest.xfail(outcome.reason)
        if outcome.state in BAD_STATES:
            raise PropertyFailure(text)

    def _record(self, cell: Cell) -> None:
        self.user_properties.append(("wavemae", json.dumps(asdict(cell))))
        ledger.done(self.nodeid, asdict(cell))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, PropertyFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        assert self.parent is not None
        return self.path, None, f"{self.parent.name} {self.name}"
