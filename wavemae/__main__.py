"""The command `wavemae`, the same as `python -m wavemae`."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from . import __version__
from .vendor import command as vendor

# Each adds its subcommand's parser, and to that the defaults `run`, what is called with the parsed
# arguments and returns the exit code, and `parser`, itself, which complains of arguments that are
# too many. What it needs, torch above all, it imports when it runs.
_Add = Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None]
_SUBCOMMANDS: tuple[_Add, ...] = (vendor.add_to,)
if importlib.util.find_spec("wavemae.properties"):  # in the checkout of pre-commit it is not there
    from .properties import subcommands as suite

    _SUBCOMMANDS = (suite.add_verify, suite.add_explain, suite.add_compare, *_SUBCOMMANDS)


class _Parser(argparse.ArgumentParser):
    """Options are written out: an abbreviation would end with the next option that begins so."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **arguments})


def main(arguments: list[str] | None = None) -> int:
    """Run the subcommand that is named and return its exit code.

    That of an interruption by Ctrl-C is 130. Output that nobody reads any more, as with `head`,
    ends with 1, and output that cannot be written with 2.
    """
    _open_streams()
    parser: argparse.ArgumentParser = _Parser(
        prog="wavemae",
        description="Masked reconstruction losses, defined once, and what keeps others honest.",
    )
    parser.add_argument("--version", action="version", version=f"wavemae {__version__}")
    commands = parser.add_subparsers(dest="COMMAND", required=True, title="commands")
    for add_to in _SUBCOMMANDS:
        add_to(commands)
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:  # those of files are handled where they are read and written
        _drop_output()
        print(f"wavemae: the output cannot be written: {error}", file=sys.stderr)
        return 2
    return code


def _open_streams() -> None:
    """Make both streams such that printing to them is no error."""
    # Where the caller closed one (`>&-`) it is None, and the next file would get its number.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a diff may hold what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let what is still in the buffer of stdout go nowhere, or else Python complains as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
