"""Can the device and the targets be used at all? Asked before anything else, out of process.

A worker asks, since it has torch imported, and tells the process that distributes. A target that
fails to import, hangs, exits or kills its process does so here. The smoke calls ask for nothing but
an answer: whether it is right is for the properties to say. Once it has answered, it is looked at a
little closer, for advice.
"""

from __future__ import annotations

import faulthandler
import io
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import ending, targets
from . import mistakes

if TYPE_CHECKING:
    from ..subject import Subject

SECONDS = 60
_LOOK = 15  # seconds for what is advice only

_ANSWER = "answer.json"


@dataclass
class Found:
    """What is known of a target before it is judged.

    Attributes:
        fault: why it cannot be used, in words, or None.
        imports: the line that brings its functions into a reproducer's scope.
        sources: path and SHA-256 of its own file and of those that its functions were defined in.
        traits: the fields of `traits.Traits`; empty where it could not be looked at.
    """

    fault: str | None = None
    imports: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    traits: dict[str, Any] = field(default_factory=dict)


@dataclass
class Answer:
    """What the preflight found out; `device` says why the device cannot be used, or is None."""

    device: str | None
    targets: dict[str, Found]

    def faults(self) -> dict[str, str]:
        """Why each of the targets that cannot be used cannot."""
        return {t: found.fault for t, found in self.targets.items() if found.fault is not None}


def patience(number: int) -> float:
    """Seconds to wait for the answers of so many targets, which share the processor's cores."""
    return SECONDS * math.ceil(number / (os.cpu_count() or 1))


def tell(folder: Path, asked: list[str], device: str) -> None:
    """`examine`, for the process that waits in `told`, which hears of an error too."""
    try:
        answer: dict[str, Any] = asdict(examine(asked, device))
    except (Exception, SystemExit) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    _write(answer, folder / _ANSWER)


def told(folder: Path, limit: float, ended: Callable[[], str | None]) -> Answer:
    """Wait for what another process tells.

    Raises a RuntimeError if it cannot tell, if `ended` says why, and after so many seconds.
    """
    file, last = folder / _ANSWER, time.monotonic() + limit
    while not file.is_file():
        end = ended()
        if end is None and time.monotonic() > last:
            end = f"no worker has tried the targets within {limit:g} s"
        if end is not None and not file.is_file():
            raise RuntimeError(end)
        time.sleep(0.01)
    found = json.loads(file.read_text(encoding="utf-8"))
    if "error" in found:
        raise RuntimeError(found["error"])
    return Answer(found["device"], {t: Found(**each) for t, each in found["targets"].items()})


def examine(asked: list[str], device: str) -> Answer:
    """Try the device here, and each of the targets in a process of its own."""
    from . import engine  # noqa: F401  # what the asked processes inherit

    fault = device_fault(device)
    return Answer(fault, {} if fault else _try_all(asked, device))


def device_fault(name: str) -> str | None:
    """Why no tensor can be built on the device, or None."""
    import torch

    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        return f"torch {torch.__version__} has no device {name!r} that holds numbers: {words[0]}"
    return None


def smoke(subject: Subject, device: str = "cpu") -> str | None:
    """Why the subject answers none of the simplest calls, or None if it answers one."""
    from ..inputs.cases import Case
    from ..inputs.masks import Mask
    from ..judge.probe import Probe

    simplest = (
        Case(shape=(2, 2)),
        Case(shape=(1, 1)),
        Case(shape=(2, 4), mask=Mask((True, False, True, False) * 2)),
    )
    reason = None
    for case in simplest:
        for function in subject.functions:
            probe = Probe(subject, device)
            dtype = subject.claims.dtypes[0]
            case = probe.fit(case.but(x_recon__dtype=dtype, x__dtype=dtype, function=function))
            try:
                probe.raw(case, *probe.build(case))
                return None
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                reason = reason or f"{type(error).__name__}: {error}"
    return f"answers none of the simplest calls; the first raised {reason}"


def found_of(target: str, device: str, loaded: Callable[[], object] = lambda: None) -> Found:
    """What there is to know of a target; found out in this process. `loaded`: it is imported."""
    from ..inputs.cases import FUNCTIONS
    from ..judge.violation import SuiteError
    from ..subject import TargetError, load_subject
    from .engine import validate
    from .traits import signatures

    try:
        subject = load_subject(target)
        loaded()
        validate(subject)
    except TargetError as error:
        found = error.found
        advice = "" if found is None else mistakes.of_names(target, found, FUNCTIONS)
        return Found(f"{error}{advice}")
    except SuiteError as error:
        return Found(str(error))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        advice = mistakes.of_import(error, target)
        return Found(f"failed on import: {_told(error)}{advice}")
    sources = {file: targets.digest(file) for file in subject.sources()}
    kind = device.partition(":")[0]
    if kind not in subject.claims.devices:
        fault: str | None = f"does not claim the device {kind!r}, but {subject.claims.devices}"
    else:
        fault = smoke(subject, device)
        if fault is not None and not target.startswith(targets.COMMAND):
            fault = "; ".join([fault, *signatures(subject)])
    return Found(fault, subject.imports, sources)


def look_at(target: str, device: str) -> dict[str, Any]:
    """The traits of a target that answers; empty for a program, which is no function of tensors."""
    from ..subject import load_subject
    from .traits import traits

    return (
        {} if target.startswith(targets.COMMAND) else asdict(traits(load_subject(target), device))
    )


def _told(error: BaseException) -> str:
    """An exception in a line: its type, its words, and where it came from."""
    if isinstance(error, SyntaxError) and error.filename:
        file = targets.shown(error.filename)
        return f"{type(error).__name__}: {error.msg} ({file}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and "importlib" not in frame.filename
    ]
    own = str(Path(__file__).parents[1])
    frames = [frame for frame in frames if not frame.filename.startswith(own)]
    words = " ".join(str(error).split())
    if not frames:
        return f"{type(error).__name__}: {words}"
    first, last = ((targets.shown(f.filename), f.lineno) for f in (frames[0], frames[-1]))
    places = [f"{last[0]}, line {last[1]}"]
    if first[0] != last[0]:
        places.append(f"from {first[0]}, line {first[1]}")
    return f"{type(error).__name__}: {words} ({', '.join(places)})"


def _answer(target: str, device: str, answer: Path, output: Path, limit: float) -> None:
    """The child's part: whatever is printed goes to one file, the answer to another.

    A little before the limit it prints where it is.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a dying process printed is to be seen
            stream.reconfigure(line_buffering=True)
    faulthandler.dump_traceback_later(0.9 * limit, file=descriptor)
    found = found_of(target, device, answer.with_suffix(".loaded").touch)
    faulthandler.cancel_dump_traceback_later()
    _write(asdict(found), answer)
    if found.fault is None:
        faulthandler.dump_traceback_later(_LOOK, exit=True, file=descriptor)
        _write(asdict(replace(found, traits=look_at(target, device))), answer)
        faulthandler.cancel_dump_traceback_later()


def _write(found: dict[str, Any], answer: Path) -> None:
    """Put the answer there in one step."""
    draft = answer.with_suffix(".draft")
    draft.write_text(json.dumps(found), encoding="utf-8")
    draft.replace(answer)


def _start(device: str) -> Any:
    """How a process is started for a target.

    A fork has torch imported already, which otherwise takes seconds. macOS and Windows want a
    spawn, and so does a device that this process has used: CUDA cannot be used in a fork then.
    """
    forked = sys.platform == "linux" and device.partition(":")[0] == "cpu"
    return multiprocessing.get_context("fork" if forked else "spawn")


def _try_all(asked: list[str], device: str) -> dict[str, Found]:
    """What there is to know of each target, found out in a process of its own."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 on: forking while pytest-xdist has a thread
        folder, found, start = Path(name), {}, _start(device)
        running: list[tuple[str, Path, Path, Any]] = []
        limit = patience(len(asked))
        try:
            for number, target in enumerate(asked):
                answer, output = folder / f"{number}.json", folder / f"{number}.txt"
                process = start.Process(
                    target=_answer, args=(target, device, answer, output, limit), daemon=True
                )
                process.start()
                running.append((target, answer, output, process))
            end = time.monotonic() + limit
            for target, answer, output, process in running:
                process.join(max(0, end - time.monotonic()))
                if answer.is_file():
                    process.join(_LOOK + 1)
                found[target] = _outcome(process, answer, output, limit)
        finally:
            for *_, process in running:
                process.kill()
                process.join()
    return found


def _outcome(process: Any, answer: Path, output: Path, limit: float) -> Found:
    if answer.is_file():  # whatever became of the process later on
        return Found(**json.loads(answer.read_text(encoding="utf-8")))
    if process.is_alive():
        printed = output.read_text(errors="replace") if output.is_file() else ""
        loaded = answer.with_suffix(".loaded").is_file()
        return Found(mistakes.of_silence(limit, loaded, printed))
    printed = _last_line(output) or "nothing printed"
    how = ending.told(process.exitcode)
    return Found(f"ended the process on import or in a smoke call ({how}): {printed}")


def _last_line(output: Path) -> str:
    """The last line that was printed."""
    printed = output.read_text(errors="replace").strip() if output.is_file() else ""
    return printed.splitlines()[-1] if printed else ""
