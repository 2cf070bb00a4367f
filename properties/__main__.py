"""Door 1: `python -m wavemae.properties [TARGET ...] [options]`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

import pytest

from .effort import PROFILES
from .plugin import SUITE

DEFAULT_TARGET = "wavemae.models.losses"
_TIMEOUTS = {"quick": 60, "default": 180, "deep": 1800}


def main(arguments: list[str] | None = None) -> int:
    """Run the suite and return the exit code.

    0: no clause is violated. 1: some clause is. 2: a target could not be used, the arguments were
    wrong, or nothing was selected.
    """
    parser = argparse.ArgumentParser(
        prog="python -m wavemae.properties",
        usage="%(prog)s [TARGET ...] [options of its own] [any pytest option]",
        description="Run the masked-loss property suite on one or more implementations.",
        epilog="TARGET comes first: a module (pkg.losses), a file (path/losses.py), or either with "
        f":ATTR naming a Subject. None: {DEFAULT_TARGET}. Everything else goes to pytest: -k, -x, "
        "-n 0 to stay in one process, --junitxml, --timeout, --collect-only.",
        allow_abbrev=False,
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="default")
    parser.add_argument("--seed", type=int, default=0, help="other inputs; 0 is the fixed seed")
    parser.add_argument("--device", default="cpu", help="where inputs are built: cpu, cuda")
    parser.add_argument("--report-json", metavar="FILE")
    parser.add_argument("--report-md", metavar="FILE")
    own, rest = parser.parse_known_args(arguments)
    targets = []
    while rest and not rest[0].startswith("-"):
        targets.append(rest.pop(0))
    passed = ["-c", str(SUITE), f"--rootdir={SUITE.parent}", "-p", "wavemae.properties.plugin"]
    passed += ["-p", "no:cacheprovider", "--disable-warnings", "-q"]
    passed += [f"--wavemae-target={target}" for target in targets or [DEFAULT_TARGET]]
    passed += [f"--wavemae-profile={own.profile}", f"--wavemae-seed={own.seed}"]
    passed += [f"--wavemae-device={own.device}"]
    for name in ("json", "md"):
        file = getattr(own, f"report_{name}")
        passed += [f"--wavemae-report-{name}={os.path.abspath(file)}"] if file else []
    passed += _isolation(rest, own.profile)
    code = int(pytest.main([*passed, *rest, str(SUITE)]))
    return code if code in (0, 1) else 2


def _isolation(rest: list[str], profile: str) -> list[str]:
    """Worker processes and a time limit, unless the user chose: a hang or crash costs one row."""
    passed = []
    in_process = any(a.startswith(("-n", "--numprocesses", "--pdb", "--trace")) for a in rest)
    if not in_process and importlib.util.find_spec("xdist"):
        workers = min(4, os.cpu_count() or 1)
        passed += [f"-n{workers}", "--dist=worksteal", "--max-worker-restart=10000"]
    if importlib.util.find_spec("pytest_timeout"):
        passed += ["--timeout-method=thread"]
        if not any(a.startswith("--timeout") for a in rest):
            passed += [f"--timeout={_TIMEOUTS[profile]}"]
    return passed


if __name__ == "__main__":
    sys.exit(main())
