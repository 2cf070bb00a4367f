"""What a worker process was doing, written where the end of that process cannot take it.

One file holds the case at hand, overwritten at every call; another the results so far. Both are
read when a worker has died.
"""

from __future__ import annotations

import json
import os
import pickle
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases import Case


class Ledger:
    """The files of one worker."""

    def __init__(self, folder: Path, worker: str) -> None:
        (folder / f"{worker}.pid").write_text(str(os.getpid()))
        self._now = (folder / f"{worker}.case").open("wb", buffering=0)
        self._done = (folder / f"{worker}.done").open("w", encoding="utf-8")
        self._last: Case | None = None
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def note(self, case: Case | None) -> None:
        """Keep the case that the subject is given next; children of the worker keep nothing."""
        if case is self._last or os.getpid() != self._owner:
            return
        data = pickle.dumps(case)
        with self._lock:
            self._last = case
            self._now.seek(0)
            self._now.write(data)

    def done(self, nodeid: str, cell: dict[str, Any]) -> None:
        """Keep a result."""
        self._done.write(json.dumps([nodeid, cell]) + "\n")
        self._done.flush()


_current: Ledger | None = None


def keep(folder: Path, worker: str) -> None:
    """Keep a ledger in this process from now on."""
    global _current
    _current = Ledger(folder, worker)


def note(case: Case | None) -> None:
    """`Ledger.note`, where one is kept."""
    if _current is not None:
        _current.note(case)


def done(nodeid: str, cell: dict[str, Any]) -> None:
    """`Ledger.done`, where one is kept."""
    if _current is not None:
        _current.done(nodeid, cell)


def case_of(folder: Path, worker: str) -> Case | None:
    """The case that a worker had at hand when it ended."""
    try:
        with (folder / f"{worker}.case").open("rb") as stream:
            case: Case | None = pickle.load(stream)
    except (OSError, EOFError, pickle.UnpicklingError):
        return None
    return case


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result that any worker kept, by node id."""
    found = {}
    for file in folder.glob("*.done"):
        for line in file.read_text(encoding="utf-8").splitlines():
            nodeid, cell = json.loads(line)
            found[nodeid] = cell
    return found


def end(folder: Path, worker: str = "*") -> None:
    """End the worker, or all of them, with every process that it started."""
    from .stopping import end_group

    for file in folder.glob(f"{worker}.pid"):
        end_group(int(file.read_text()))
        file.unlink(missing_ok=True)
