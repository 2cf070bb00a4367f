"""Ranks: processes that make one call after another together, and that end whatever happens.

They are started once and asked many times. Their patience with one another is shorter than this
process's with them, so that a rank which waits says so in time and the one that is waited for can
be named. A call that hangs costs half as much again as the `PATIENCE` of the profile.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import multiprocessing
import os
import pickle
import re
import signal
import sys
import tempfile
import time
import warnings
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

import torch
from torch import distributed

from .. import ending
from ..inputs import internals
from ..judge.violation import SuiteError
from ..subject import Subject
from .jobs import GRACE, OLDEST, PATIENCE, START, Answer, Job
from .serving import foreign, serve


def start_method() -> Literal["fork", "spawn"]:
    """How ranks come to be: a fork has torch imported already, which otherwise takes seconds.

    macOS and Windows have none that could be trusted. Where autograd has threads for a device, the
    backward of a forked process raises.
    """
    forks = sys.platform == "linux" and not torch.accelerator.is_available()
    return "fork" if forks else "spawn"


def unavailable(subject: Subject, device: str = "cpu") -> str | None:
    """Why ranks cannot be had here, in words, or None."""
    if device != "cpu":
        return f"the ranks work on the CPU, and this run is on {device}"
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST:
        return (
            f"DTensor is asked from torch {OLDEST[0]}.{OLDEST[1]} on, this is {torch.__version__}: "
            "torch 2.6 divides by the number that an earlier call divided by"
        )
    if not distributed.is_available():
        return "this torch is built without torch.distributed"
    if not distributed.is_gloo_available():
        return "this torch is built without gloo"
    if start_method() == "spawn" and not subject.target:
        try:
            pickle.dumps(subject)
        except Exception as error:
            return (
                "ranks are new processes here, and the subject cannot be sent to them "
                f"({type(error).__name__}: {error}); define its functions at a module's top level"
            )
    return None


class Ranks:
    """So many ranks on this machine, with the subject, while the `with` block lasts.

    Once in thousands of runs a rank of a right loss ended, and never again, for no known cause: the
    first time that one ends, all are started anew and asked the same.

    Raises:
        SuiteError: they could not be started, or did not meet in time.
    """

    def __init__(self, subject: Subject, count: int, patience: float = PATIENCE["default"]) -> None:
        self.subject, self.count, self.patience = subject, count, patience
        self._started_anew = False
        self._start()

    def _start(self) -> None:
        subject, count, patience = self.subject, self.count, self.patience
        self._folder = tempfile.TemporaryDirectory(prefix="wavemae-ranks-")
        self._processes: list[Any] = []
        self._connections: list[Any] = []
        context: Any = multiprocessing.get_context(start_method())
        if start_method() == "fork":
            for module in ("torch.distributed.tensor", internals.DYNAMO):  # which DTensor uses
                importlib.import_module(module)  # once here, not once a rank
        sent = subject.target if start_method() == "spawn" and subject.target else subject
        try:
            for rank in range(count):
                ours, theirs = context.Pipe()
                self._connections.append(ours)
                process = context.Process(
                    target=serve,
                    args=(sent, rank, count, patience, self._folder.name, theirs),
                    daemon=True,
                )
                with warnings.catch_warnings():
                    # Python 3.12 on: of forking while there are threads. Theirs are idle.
                    warnings.simplefilter("ignore")
                    process.start()
                self._processes.append(process)
                theirs.close()  # so that a rank's end is seen as the end of its pipe
            failed = [f"rank {n} {a}" for n, a in enumerate(self._answers(START)) if a.fault]
            if failed:
                raise SuiteError(f"{count} ranks did not meet: {'; '.join(failed)}")
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pids(self) -> list[int]:
        """Of the ranks, in their order."""
        return [process.pid for process in self._processes]

    def ask(self, job: Job) -> list[Answer]:
        """What every rank says of a call, by rank; none can be asked after one has failed.

        After the first time that a rank ends, all are started anew and asked the same once more.
        """
        message = pickle.dumps(job)
        answers = self._asked(message)
        if not self._started_anew and any(answer.fault == "ended" for answer in answers):
            self._started_anew = True
            self.end()
            self._start()
            answers = self._asked(message)
        return answers

    def end(self) -> None:
        """End all of them at once: nothing that they still hold is wanted."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
            process.close()
        for pipe in self._connections:
            pipe.close()
        self._processes, self._connections = [], []
        self._folder.cleanup()

    def _asked(self, message: bytes) -> list[Answer]:
        for pipe in self._connections:
            with contextlib.suppress(OSError):  # one that has ended meanwhile gives no answer
                pipe.send_bytes(message)
        return self._answers(1.5 * self.patience)

    def _answers(self, patience: float) -> list[Answer]:
        answers: dict[int, Answer] = {}
        waiting = {pipe: rank for rank, pipe in enumerate(self._connections)}
        started = time.monotonic()
        end = started + patience
        while waiting and (left := end - time.monotonic()) > 0:
            for pipe in connection.wait(list(waiting), left):
                rank = waiting.pop(pipe)
                try:
                    answers[rank] = pickle.loads(pipe.recv_bytes())  # type: ignore[union-attr]
                except (EOFError, OSError):
                    answers[rank] = self._ended(rank)
                if answers[rank].fault:
                    end = min(end, time.monotonic() + GRACE)
        seconds = time.monotonic() - started
        for rank in waiting.values():
            words = f"after {seconds:.0f} s it is {self._place(rank)}"
            answers[rank] = Answer(fault="no answer", words=words, seconds=seconds)
        return [answers[rank] for rank in range(self.count)]

    def _ended(self, rank: int) -> Answer:
        process = self._processes[rank]
        process.join()
        lines = self._output(rank).strip().splitlines()
        # Of a crash these lines say what it was, of a traceback the last one does.
        crash = ("what():", "Fatal Python error")
        said = [line.strip() for line in lines if line.strip().startswith(crash)] or lines[-1:]
        how = ending.told(process.exitcode or 0)
        words = ", ".join([how, *(line[:200] for line in said[:2])])
        return Answer(fault="ended", words=words)

    def _place(self, rank: int) -> str:
        """Where a rank is, of itself: the innermost line that is not torch's."""
        if not hasattr(faulthandler, "register"):
            return "still busy"
        os.kill(self._processes[rank].pid, signal.SIGUSR1)
        seen: list[Any] = []
        for _ in range(50):
            time.sleep(0.02)
            _, _, trace = self._output(rank).rpartition("most recent call first")
            frames = re.findall(r'File "(.+)", line (\d+) in (.+)', trace)
            if frames and frames == seen:  # all of it is written
                return "in {2} at {0}:{1}".format(*foreign(frames))
            seen = frames
        return "still busy"

    def _output(self, rank: int) -> str:
        file = Path(self._folder.name) / f"{rank}.txt"
        return file.read_text(errors="replace") if file.is_file() else ""
