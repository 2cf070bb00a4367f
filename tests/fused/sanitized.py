"""Builds wavemae with GCC's sanitizers, or runs a command with them: for `tox run -e sanitize`.

The sanitizer must be in the process before anything is allocated, hence LD_PRELOAD; and with it the
library of C++, or it ends the process at the first exception that torch throws.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g"


def main() -> int:
    """`install`, or a command and its arguments."""
    compiler = os.environ.get("CC", "cc")
    if sys.argv[1:] == ["install"]:
        source = f"{Path(__file__).parents[2]}[properties]"
        command = [sys.executable, "-m", "pip", "install", "--quiet", source]
        return subprocess.call(command, env={**os.environ, "WAVEMAE_CFLAGS": FLAGS})
    libraries = " ".join(
        subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libstdc++.so.6")
    )
    # Python and torch keep memory until the end; that is no leak of ours.
    environment = {"LD_PRELOAD": libraries, "ASAN_OPTIONS": "detect_leaks=0", **os.environ}
    return subprocess.call(sys.argv[1:], env=environment)


if __name__ == "__main__":
    sys.exit(main())
