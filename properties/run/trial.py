"""Programs are tried before they are shown: in a Python that has met no loss, forked for each.

A loss that remembers earlier calls may be right in the one call that a program makes. The process
that forks imports torch once, so that a trial costs little more than the import of the loss.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from types import ModuleType

_LIMIT = 20.0  # seconds for one program; one that takes longer is shown untried
_BUDGET = 60.0  # seconds for all programs of this process
_STARTING = "from wavemae.properties.run.trial import serve; serve()"


def _end(process: subprocess.Popen[str]) -> None:
    with process:  # closes its pipes, and waits
        process.kill()


class _Server:
    """The process that forks, and what trials have cost."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.spent = 0.0

    def start(self) -> subprocess.Popen[str]:
        if self.process is None:
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            command = [sys.executable, "-c", _STARTING]
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True, encoding="utf-8"
            )
            atexit.register(_end, self.process)
        return self.process


_server = _Server()


def exit_code(program: str) -> int | None:
    """With what a program exits, or None where that could not be found out."""
    if not hasattr(os, "fork") or _server.spent > _BUDGET:
        return None
    started = time.monotonic()
    try:
        process = _server.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(program) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except OSError:
        answer = ""
    _server.spent += time.monotonic() - started if answer else _BUDGET + 1
    code: int | None = json.loads(answer) if answer else None
    return code


def serve() -> None:
    """Run each program that comes in a line of stdin; answer with its exit code, or null."""
    import torch  # noqa: F401  # so that no fork has to

    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(json.loads(line))
        print(json.dumps(_ended(child)), file=answers, flush=True)


def _run(program: str) -> None:
    """The life of a fork."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(1, 0)
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(program, "<program>", "exec"), vars(main))
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(child: int) -> int | None:
    end = time.monotonic() + _LIMIT
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
