"""The suite's subcommands of `wavemae`; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_verify(commands: _Commands) -> None:
    """`verify`: the same as `python -m wavemae.properties`, which reads its arguments."""
    parser = commands.add_parser(
        "verify",
        help="run the property suite on one or more losses",
        add_help=False,
        prefix_chars="\0",  # what looks like an option is the suite's, or pytest's
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    parser.set_defaults(run=_verify, parser=parser)


def add_explain(commands: _Commands) -> None:
    """`explain`: a clause or a property in words."""
    parser = commands.add_parser(
        "explain",
        help="what a clause or a property asks, why, and what to do when it fails",
        description="Print what a clause of the contract says, why it is there, what to do when it "
        "fails, and its properties; or the same for one property.",
        epilog="Exit code 0: it is printed; 1: nobody read it; 2: there is no such thing.",
    )
    parser.add_argument("name", metavar="NAME", help="such as C8 or C8-excluded-value")
    parser.set_defaults(run=_explain, parser=parser)


def add_compare(commands: _Commands) -> None:
    """`compare`: two reports side by side."""
    parser = commands.add_parser(
        "compare",
        help="what newly fails from one JSON report to another",
        description="Say what newly fails, what is fixed, and what fails as before, from one JSON "
        "report to a later one, and what else differs: versions, profile, seed. Where each has one "
        "target, these are compared, whatever their names.",
        epilog="Exit code 0: nothing newly fails; 1: something does; 2: something is no longer "
        "judged, or a report cannot be read.",
    )
    parser.add_argument("old", metavar="OLD", help="what --report-json wrote")
    parser.add_argument("new", metavar="NEW", help="another")
    parser.set_defaults(run=_compare, parser=parser)


def _verify(parsed: argparse.Namespace) -> int:
    from .__main__ import main

    script = Path(sys.argv[0]).name != "__main__.py"
    if script and not getattr(sys.flags, "safe_path", False) and "" not in sys.path:
        sys.path.append("")  # a module in the working directory is found, as by `python -m`
    return main(parsed.rest, "wavemae verify" if script else "python -m wavemae verify")


def _explain(parsed: argparse.Namespace) -> int:
    from .doors import explaining

    try:
        print("\n".join(explaining.explained(parsed.name)))
    except explaining.Unknown as error:
        print(f"wavemae explain: {error}", file=sys.stderr)
        return 2
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    from .doors import baseline

    try:
        old, new = baseline.read(parsed.old), baseline.read(parsed.new)
    except baseline.Unreadable as error:
        print(f"wavemae compare: {error}", file=sys.stderr)
        return 2
    found = baseline.compare(old, new)
    print("\n".join(found.lines()))
    return found.exit_code()
