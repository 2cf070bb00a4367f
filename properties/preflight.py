"""Can the target be used at all? Asked in a process of its own, before anything else.

A target that fails to import, hangs, exits or kills its process does so here, and costs its own row
only. The smoke calls ask for nothing but an answer: whether it is right is for the properties to
say.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .subject import Subject

SECONDS = 60

# A fork has torch imported already, which otherwise takes seconds; macOS and Windows want a spawn.
if sys.platform == "linux":
    _START = multiprocessing.get_context("fork")
else:
    _START = multiprocessing.get_context("spawn")


def patience(targets: int) -> float:
    """Seconds to wait for the answers of so many targets, which share the processor's cores."""
    return SECONDS * math.ceil(targets / (os.cpu_count() or 1))


def smoke(subject: Subject) -> str | None:
    """Why the subject answers none of the simplest calls, or None if it answers one."""
    from .cases import Case, Mask
    from .probe import Probe

    simplest = (
        Case(shape=(2, 2)),
        Case(shape=(1, 1)),
        Case(shape=(2, 4), mask=Mask((True, False, True, False) * 2)),
    )
    reason = None
    for case in simplest:
        for function in subject.functions:
            probe = Probe(subject)
            dtype = subject.claims.dtypes[0]
            case = probe.fit(case.but(x_recon__dtype=dtype, x__dtype=dtype, function=function))
            try:
                probe.raw(case, *probe.build(case))
                return None
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                reason = reason or f"{type(error).__name__}: {error}"
    return f"answers none of the simplest calls; the first raised {reason}"


def fault(target: str) -> str | None:
    """Why a target cannot be used, in words, or None; found out in this process."""
    from .engine import SuiteError, validate
    from .subject import TargetError, load_subject

    try:
        subject = load_subject(target)
        validate(subject)
    except (TargetError, SuiteError) as error:
        return str(error)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return f"failed on import: {type(error).__name__}: {error}"
    return smoke(subject)


def _answer(target: str, answer: Path, output: Path) -> None:
    """The child's part: whatever is printed goes to one file, the answer to another."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    answer.write_text(json.dumps(fault(target)))


def faults(targets: list[str]) -> dict[str, str]:
    """Why each of the targets that cannot be used cannot, each asked in a process of its own."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 on: forking while pytest-xdist has a thread
        folder, running, found = Path(name), [], {}
        for number, target in enumerate(targets):
            answer, output = folder / f"{number}.json", folder / f"{number}.txt"
            process = _START.Process(target=_answer, args=(target, answer, output), daemon=True)
            process.start()
            running.append((target, answer, output, process))
        end = time.monotonic() + patience(len(targets))
        for target, answer, output, process in running:
            process.join(max(0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
                seconds = f"{patience(len(targets)):g} s"
                found[target] = f"gave no answer within {seconds} of import and smoke calls"
            elif not answer.is_file():
                printed = output.read_text(errors="replace") if output.is_file() else ""
                last = printed.strip().splitlines()[-1:] or ["nothing printed"]
                found[target] = (
                    f"ended the process on import or in a smoke call (exit {process.exitcode}): "
                    f"{last[0]}"
                )
            elif (reason := json.loads(answer.read_text())) is not None:
                found[target] = reason
    return found
