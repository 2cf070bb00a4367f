"""Can the target be used at all? Asked in a process of its own, before anything else.

A target that fails to import, hangs, exits or kills its process does so here, and costs its own row
only. The smoke calls ask for nothing but an answer: whether it is right is for the properties to
say. The asking side imports nothing heavy, so that the answering side starts at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .subject import Subject

SECONDS = 60

# The child sees the same modules as this process, however Python was started (-m, -I, ...).
_CHILD = f"""
import json, pathlib, sys
sys.path[:] = json.loads(sys.argv[1])
from {__name__} import fault
reason = fault(sys.argv[2])
pathlib.Path(sys.argv[3]).write_text(json.dumps(reason))
"""


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
            case = case.but(x_recon__dtype=dtype, x__dtype=dtype, function=function)
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


def faults(targets: list[str]) -> dict[str, str]:
    """Why each of the targets that cannot be used cannot, each asked in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number, target in enumerate(targets):
            answer = Path(folder) / str(number)
            command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), target, str(answer)]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            running.append((target, answer, process))
        found = {}
        for target, answer, process in running:
            try:
                output, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                found[target] = f"gave no answer within {SECONDS} s of import and smoke calls"
                continue
            if not answer.is_file():
                last = output.strip().splitlines()[-1:] or ["nothing printed"]
                found[target] = (
                    f"ended the process on import or in a smoke call (exit {process.returncode}): "
                    f"{last[0]}"
                )
                continue
            reason = json.loads(answer.read_text())
            if reason is not None:
                found[target] = reason
    return found
