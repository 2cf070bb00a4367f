"""What a rank does, in its own process."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from ..judge.bad_calls import errors
from ..judge.caller import RAISED
from ..judge.probe import Probe
from ..judge.refusals import spoilt
from ..subject import Subject, load_subject
from .jobs import Answer, Job


def loopback() -> str | None:
    """The interface that needs no host name and no network, where it has its usual name."""
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        return None
    return next((name for name in names if name in ("lo", "lo0")), None)


def serve(
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
            pipe.send_bytes(_answer(probe, job, meshes[job.mesh, job.inner], patience))
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


def _meshes(ranks: int) -> dict[tuple[tuple[int, ...], bool], Any]:
    """By shape: a line of all ranks, which was used once, and two lines, or what is one of them."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    line, two = (ranks,), (2, ranks // 2)
    square = init_device_mesh("cpu", two, mesh_dim_names=("outer", "inner"))
    meshes: dict[tuple[tuple[int, ...], bool], Any] = {
        (line, False): init_device_mesh("cpu", line),
        (two, False): square,
        (two, True): square["inner"],
    }
    # What torch imports on first use is not the subject's time.
    once = distribute_tensor(torch.ones(3, 2, requires_grad=True), meshes[line, False], [Shard(0)])
    _whole(once.square().sum())
    once.sum().backward()
    return meshes


def _answer(probe: Probe, job: Job, mesh: Any, patience: float) -> bytes:
    started = time.monotonic()
    try:
        return pickle.dumps(_called(probe, job, mesh))
    except RAISED as error:
        trace = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(error.__traceback__)]
        place = "in {2} at {0}:{1}".format(*foreign(trace[::-1]))
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({place})"
        seconds = time.monotonic() - started
        waited = seconds >= patience
        refused = job.bad is not None and isinstance(error, errors(job.bad))
        return pickle.dumps(Answer("", {}, "raised", words, seconds, refused, waited))


def foreign(frames: list[tuple[str, Any, str]]) -> tuple[str, Any, str]:
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
    keyword: dict[str, Any] = {}
    if job.bad is not None:
        given, keyword = spoilt(job.bad, job.case, whole)
        whole = whole._make(given)
    x_recon, x, mask = (
        distribute_tensor(tensor, mesh, [known[name] for name in placed], src_data_rank=None)
        for tensor, placed in zip(whole, job.placed, strict=True)
    )
    wrt = {name: {"x_recon": x_recon, "x": x}[name].requires_grad_() for name in job.case.grads}
    if job.bad is not None:
        return Answer(str(probe.function(job.case.function)(x_recon, x, mask, **keyword)))
    with nullcontext() if wrt else torch.no_grad():
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
