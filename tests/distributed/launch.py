"""Starts a program on several ranks of this machine, with torch's own launcher."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

some_ranks = pytest.mark.parametrize(
    ("backend", "ranks"),
    [
        ("gloo", 2),
        ("gloo", 4),
        pytest.param(
            "nccl",
            2,
            marks=pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
        ),
    ],
)
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
TIMEOUT = 240  # seconds for all of it; a collective that hangs gives up earlier, by itself


def on_ranks(program: Path, backend: str, ranks: int, folder: Path) -> list[dict[str, Any]]:
    """What each rank saved as `folder`/RANK.pt, by rank; their output, if one failed or hangs.

    The program is given the backend and the folder.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder),  # the launcher leaves a folder of logs behind
    }
    for _, interface in socket.if_nameindex():
        if interface in ("lo", "lo0"):
            environment["GLOO_SOCKET_IFNAME"] = interface
    # `--standalone` takes a free port.
    command = [sys.executable, "-I", "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=localhost", f"--nproc-per-node={ranks}"]
    command += [str(program), backend, str(folder)]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as launcher:
        try:
            output, _ = launcher.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # upon which it ends its ranks
            output, _ = launcher.communicate()
    assert launcher.returncode == 0, f"{program.name} on {ranks} ranks:\n{output}"
    return [torch.load(folder / f"{rank}.pt") for rank in range(ranks)]
