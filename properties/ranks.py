"""Ranks: processes that make one call after another together, and that end whatever happens.

They are started once and asked many times. Their patience with one another is shorter than this
process's with them, so that a rank which waits says so in time and the one that is waited for can
be named. A call that hangs costs half as much again as the `PATIENCE` of the profile.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import multiprocessing
import os
import pickle
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed

from .cases import Case
from .probe import RAISED, Probe
from .subject import Subject, load_subject
from .violation import SuiteError

START = 30.0  # seconds until all ranks have met; nothing of the subject's has run by then
# Seconds that a rank waits for the others in a call: more where more time is spent anyway, since a
# call may have to compile first.
PATIENCE = {"quick": 10.0, "default": 30.0, "deep": 120.0}
GRACE = 1.0  # seconds that the others have to answer once a rank has failed
OLDEST = (2, 9)  # of torch: 2.6 divides by the number that an earlier call divided by

Placed = tuple[str, ...]  # "Shard(0)", "Shard(1)" or "Replicate()" for each dimension of the mesh


@dataclass(frozen=True)
class Job:
    """One call of all ranks: a case, the mesh's shape, how x_recon, x and mask are placed on it."""

    case: Case
    mesh: tuple[int, ...]
    placed: tuple[Placed, Placed, Placed]


@dataclass(frozen=True)
class Answer:
    """What one rank has to say: value and gradients as whole tensors, or how it went wrong.

    `value` is a string where the result is no tensor; a gradient is None where none arrived, and
    `gradients` itself where the loss is not connected.
    """

    value: Tensor | str = ""
    gradients: dict[str, Tensor | None] | None = field(default_factory=dict)
    fault: Literal["", "raised", "no answer", "ended"] = ""
    words: str = ""
    seconds: float = 0.0
    waited: bool = False  # it went wrong no sooner than its patience with the others was over

    def __str__(self) -> str:
        if self.waited:
            return f"waited {self.seconds:.0f} s for the others: {self.words}"
        words = {"raised": "raises", "no answer": "gives no answer", "ended": "ends its process"}
        return f"{words[self.fault]}: {self.words}" if self.fault else "answers"


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


def loopback() -> str | None:
    """The interface that needs no host name and no network, where it has its usual name."""
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        return None
    return next((name for name in names if name in ("lo", "lo0")), None)


class Ranks:
    """So many ranks on this machine, with the subject, while the `with` block lasts.

    Raises:
        SuiteError: they could not be started, or did not meet in time.
    """

    def __init__(self, subject: Subject, count: int, patience: float = PATIENCE["default"]) -> None:
        self.count, self.patience = count, patience
        self._folder = tempfile.TemporaryDirectory(prefix="wavemae-ranks-")
        self._processes: list[Any] = []
        self._connections: list[Any] = []
        context: Any = multiprocessing.get_context(start_method())
        if start_method() == "fork":
            for module in ("torch.distributed.tensor", "torch._dynamo"):  # which DTensor uses
                importlib.import_module(module)  # once here, not once a rank
        sent = subject.target if start_method() == "spawn" and subject.target else subject
        try:
            for rank in range(count):
                ours, theirs = context.Pipe()
                self._connections.append(ours)
                process = context.Process(
                    target=_serve,
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
        """What every rank says of a call, by rank; none can be asked after one has failed."""
        message = pickle.dumps(job)
        for pipe in self._connections:
            pipe.send_bytes(message)
        return self._answers(1.5 * self.patience)

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
        words = ", ".join([f"exit code {process.exitcode}", *(line[:200] for line in said[:2])])
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
                return "in {2} at {0}:{1}".format(*_foreign(frames))
            seen = frames
        return "still busy"

    def _output(self, rank: int) -> str:
        file = Path(self._folder.name) / f"{rank}.txt"
        return file.read_text(errors="replace") if file.is_file() else ""


# --- what a rank does ----------------------------------------------------------------------------


def _serve(
    sent: Subject | str, rank: int, ranks: int, patience: float, folder: str, pipe: Any
) -> None:
    """A rank's whole life: meet the others, say so, answer jobs until this process is ended."""
    try:
        _end_with_parent()
        _be_quiet(Path(folder) / f"{rank}.txt")
        torch.set_num_threads(1)  # a fork has lost the threads that OpenMP believes it has
        probe = Probe(load_subject(sent) if isinstance(sent, str) else sent, "cpu", "C20")
        if interface := loopback():
            os.environ["GLOO_SOCKET_IFNAME"] = interface
        distributed.init_process_group(
            "gloo",
            store=distributed.FileStore(f"{folder}/store", ranks),  # type: ignore[attr-defined]
            rank=rank,
            world_size=ranks,
            timeout=timedelta(seconds=patience),
        )
        meshes = _meshes(ranks)
        pipe.send_bytes(pickle.dumps(Answer()))
        while True:
            job = pickle.loads(pipe.recv_bytes())
            pipe.send_bytes(_answer(probe, job, meshes[job.mesh], patience))
    except EOFError:
        pass  # nobody asks any more
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    finally:
        # Never Python's own end: it runs what the parent has registered for its own, and may meet a
        # thread of gloo's that still drops a tensor (pytorch/pytorch#179291).
        os._exit(0)


def _end_with_parent() -> None:
    """A rank outlives its parent by no more than a moment, however that ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":  # also where the subject never lets go of the interpreter
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if not parent.is_alive():
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act upon
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _be_quiet(file: Path) -> None:
    """Whatever is printed, warned, logged or dumped goes to a file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # lasts as long as the process
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    faulthandler.enable(sys.stderr)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, sys.stderr, all_threads=False)
    warnings.simplefilter("ignore")  # of torch's own; what a loss may say is for C16


def _meshes(ranks: int) -> dict[tuple[int, ...], Any]:
    """A line of all ranks, which has been used once, and a square where four ranks make one."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    shapes: list[tuple[int, ...]] = [(ranks,), (2, ranks // 2)][: 1 if ranks == 2 else 2]
    meshes: dict[tuple[int, ...], Any] = {s: init_device_mesh("cpu", s) for s in shapes}
    # What torch imports on first use is not the subject's time.
    once = distribute_tensor(torch.ones(3, 2, requires_grad=True), meshes[shapes[0]], [Shard(0)])
    _whole(once.square().sum())
    once.sum().backward()
    return meshes


def _answer(probe: Probe, job: Job, mesh: Any, patience: float) -> bytes:
    started = time.monotonic()
    try:
        return pickle.dumps(_called(probe, job, mesh))
    except RAISED as error:
        trace = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(error.__traceback__)]
        place = "in {2} at {0}:{1}".format(*_foreign(trace[::-1]))
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({place})"
        seconds = time.monotonic() - started
        waited = seconds >= patience
        return pickle.dumps(Answer("", {}, "raised", words, seconds, waited))


def _foreign(frames: list[tuple[str, Any, str]]) -> tuple[str, Any, str]:
    """Of (file, line, function), innermost first, the first that is not torch's or Python's."""
    library, installed = (re.escape(os.path.dirname(m.__file__ or "")) for m in (threading, torch))
    own = re.compile(rf"{installed}|{library}.(?!(site|dist)-packages)|<")
    return next((frame for frame in frames if not own.match(frame[0])), frames[0])


def _called(probe: Probe, job: Job, mesh: Any) -> Answer:
    """One call on DTensors, and its backward, as a training step makes them."""
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    known = {"Shard(0)": Shard(0), "Shard(1)": Shard(1), "Replicate()": Replicate()}
    inputs: Any = probe.build(job.case)
    whole = inputs._replace(**{n: getattr(inputs, n).detach() for n in job.case.grads})
    x_recon, x, mask = (
        distribute_tensor(tensor, mesh, [known[name] for name in placed], src_data_rank=None)
        for tensor, placed in zip(whole, job.placed, strict=True)
    )
    wrt = {name: {"x_recon": x_recon, "x": x}[name].requires_grad_() for name in job.case.grads}
    loss = probe.raw(job.case, x_recon, x, mask)
    if not isinstance(loss, Tensor):
        return Answer(f"a {type(loss).__name__}")
    value = _whole(loss)
    assert value is not None
    if not wrt:
        return Answer(value)
    if not loss.requires_grad:
        return Answer(value, None)
    (loss if job.case.upstream == 1.0 else loss * job.case.upstream).backward()
    return Answer(value, {name: _whole(tensor.grad) for name, tensor in wrt.items()})


def _whole(tensor: Any) -> Tensor | None:
    """All of a DTensor; a plain tensor as it is, since nothing says that a loss is no such one."""
    if tensor is None:
        return None
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().clone()
