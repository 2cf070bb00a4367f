"""What a worker process was doing, written where the end of that process cannot take it.

One file holds the case at hand, overwritten at every call; another the results so far. Both are
read when a worker has died.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import marshal
import mmap
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .stopping import end_group

if TYPE_CHECKING:
    from ..inputs.cases import Case

_MOST_BYTES = 2**16  # of a case; the largest has a few kB
_ATOMS = frozenset((str, int, float, bool, tuple, type(None)))


class Ledger:
    """The files of one worker."""

    def __init__(self, folder: Path, worker: str) -> None:
        (folder / f"{worker}.pid").write_text(str(os.getpid()))
        with (folder / f"{worker}.case").open("w+b") as stream:
            stream.truncate(_MOST_BYTES)
            self._now = mmap.mmap(stream.fileno(), _MOST_BYTES)  # no system call at every case
        self._done = (folder / f"{worker}.done").open("w", encoding="utf-8")
        atexit.register(self._done.close)
        self._fields = operator.attrgetter(*_names())
        self._last: Case | None = None
        self._owner = os.getpid()

    def note(self, case: Case | None) -> None:
        """Keep the case that the subject is given next; children of the worker keep nothing."""
        if case is self._last or os.getpid() != self._owner:
            return
        self._last = case
        fields = None
        if case is not None:
            fields = [v if type(v) in _ATOMS else _plain(v) for v in self._fields(case)]
        data = marshal.dumps(fields)  # several times as fast as pickle, and this is done often
        self._now[: len(data)] = data

    def done(self, nodeid: str, cell: dict[str, Any]) -> None:
        """Keep a result."""
        self._done.write(json.dumps([nodeid, cell]) + "\n")
        self._done.flush()

    def close(self) -> None:
        """Close both files."""
        self._now.close()
        self._done.close()


def _names() -> list[str]:
    """The fields of a case, those of its parts in their place."""
    from ..inputs.cases import Case

    names = []
    for name, part in vars(Case()).items():
        parts = dataclasses.fields(part) if dataclasses.is_dataclass(part) else ()
        names += [f"{name}.{field.name}" for field in parts] or [name]
    return names


def _plain(value: Any) -> Any:
    """The values of an operand, where they are an object of their own, as `marshal` takes them."""
    return [type(value).__name__, *vars(value).values()]


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
    from ..inputs import cases, values

    file = folder / f"{worker}.case"
    try:
        kept = marshal.loads(file.read_bytes())
    except (OSError, EOFError, ValueError, TypeError):
        return None
    if kept is None:
        return None
    case = cases.Case()
    for name, value in zip(_names(), kept, strict=True):
        if isinstance(value, list):
            value = getattr(values, value[0])(*value[1:])
        case = case.but(**{name.replace(".", "__"): value})
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
    for file in folder.glob(f"{worker}.pid"):
        end_group(int(file.read_text()))
        file.unlink(missing_ok=True)
