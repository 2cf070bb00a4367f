"""The command `wavemae`, the same as `python -m wavemae`."""

from __future__ import annotations

import argparse
import io
import os
import sys

from . import __version__
from .vendor import command as vendor


def main(arguments: list[str] | None = None) -> int:
    """Run the subcommand that is named and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="wavemae",
        description="Masked reconstruction losses, defined once: what keeps copies of them honest.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wavemae {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    vendor.add_to(commands)
    parsed = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a diff may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
