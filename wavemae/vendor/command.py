"""`wavemae vendor add | check | diff | update`: its arguments, and what each does."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from . import files, words
from .judge import Finding, Kind, judge
from .releases import Damaged, Release, installed

# What `wavemae.properties` imports: torch, and what the extra brings.
_SUITE_NEEDS = ("torch", "hypothesis", "numpy", "pytest", "pytest_timeout", "xdist")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `vendor` and its actions to the subcommands of `wavemae`."""
    vendor = commands.add_parser(
        "vendor",
        help="copy the definition into your code, and keep the copy honest",
        description="Copy the definition into your code, and keep the copy honest. Needs neither "
        "torch nor a network. Exit code 0: the file is as it should be; 1: it is not, or was left "
        "alone; 2: it cannot be read or written.",
    )
    actions = vendor.add_subparsers(dest="ACTION", required=True, title="actions")
    parser = actions.add_parser(
        "add",
        help="write a copy",
        description="Write the definition, with a header, to a new file. Nothing is overwritten.",
        epilog="Exit code 0: it is written, or was there; 1: something else was there, and still "
        "is; 2: it cannot be written.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="such as mypkg/losses.py")
    parser.set_defaults(run=lambda parsed: _guarded(parsed.path, _add), parser=parser)
    parser = actions.add_parser(
        "check",
        help="say which release a copy is, or what was done to it",
        description="Say which release each file is, or what was done to it.",
        epilog="Exit code 0: each is the text of a release, byte for byte; comments may stand "
        "above it; 1: one is not; 2: one cannot be read.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a copy")
    parser.add_argument("--verify", action="store_true", help="also run the property suite on each")
    parser.set_defaults(run=_check_all, parser=parser)
    parser = actions.add_parser(
        "diff",
        help="show what was changed since the release",
        description="Show what was changed since the release that the header names, or the "
        "nearest.",
        epilog="Exit code 0: nothing was; 1: what is shown; 2: it cannot be read.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a copy")
    parser.set_defaults(run=lambda parsed: _guarded(parsed.path, _diff), parser=parser)
    parser = actions.add_parser(
        "update",
        help="bring an unmodified copy to the installed release",
        description="Replace an unmodified copy by the installed release. A modified one is left "
        "alone, and its changes are shown.",
        epilog="Exit code 0: it is the installed release; 1: it was left alone; 2: it cannot be "
        "read or written.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a copy")
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a modified copy too; what it was stays beside it as PATH.orig",
    )
    parser.set_defaults(
        run=lambda parsed: _guarded(parsed.path, lambda path: _update(path, parsed.force)),
        parser=parser,
    )


def _guarded(path: Path, run: Callable[[Path], int]) -> int:
    """The action's exit code; 2, with words, where the file cannot be read or written."""
    try:
        return run(path)
    except (files.Unusable, Damaged) as error:
        return _fail(path, str(error))
    except files.Changed as error:
        _say(path, f"{error}; run it again")
        return 1


def _add(path: Path) -> int:
    """Write the installed release to a new file."""
    if not os.path.lexists(path):
        files.create(path, installed().vendored)
        _say(path, f"written, the text of release {installed().version}")
        _say_below([f"in CI: {words.command('check', path)}"])
        return 0
    found = judge(files.read(path))
    as_added = found.kind is Kind.RELEASE and not found.newer and not found.bare
    _say(path, f"there already, {words.sentence(found)}", "" if as_added else "; left alone")
    if found.release and not as_added:
        _say_below([f"to bring it to {installed().version}: {words.command('update', path)}"])
    return 0 if as_added else 1


def _check_all(parsed: argparse.Namespace) -> int:
    """The worst exit code of all files, and of the suite where it is asked for."""
    codes = [_guarded(path, _check) for path in parsed.paths]
    if parsed.verify:
        codes += [_verify(path) for path, code in zip(parsed.paths, codes, strict=True) if code < 2]
    return max(codes)


def _check(path: Path) -> int:
    """Say what the file is."""
    found = judge(files.read(path))
    _say(path, words.sentence(found))
    _say_below([*found.notes, *words.changes(found), *words.advice(found, path)])
    return 0 if found.kind is Kind.RELEASE else 1


def _verify(path: Path) -> int:
    """Run the suite's quick profile on the file, in a process of its own."""
    missing = [name for name in _SUITE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        needs = f"--verify runs the property suite, which needs {', '.join(missing)}"
        return _fail(path, f'{needs}: pip install "wavemae[properties]"')
    sys.stdout.flush()
    done = subprocess.run(
        [sys.executable, "-m", "wavemae.properties", str(path.resolve()), "--profile", "quick"],
        env={**os.environ, "PYTHONSAFEPATH": "1"},  # no module of the working directory gets in
        check=False,
    )
    return done.returncode if done.returncode in (0, 1) else 2


def _diff(path: Path) -> int:
    """Print the unified diff from the release to the file."""
    text = files.read(path)
    found = judge(text)
    if found.kind is Kind.RELEASE:
        return 0
    if found.kind in (Kind.FOREIGN, Kind.LINE_ENDS) or not found.release:
        _say(path, words.sentence(found))
        _say_below(found.notes)
        return 1
    sys.stdout.writelines(_unified(found, found.release, text, path))
    return 1


def _unified(found: Finding, release: Release, text: str, path: Path) -> list[str]:
    """The lines of a diff, in which line ends are not compared."""
    whole = release.text if found.bare else release.vendored
    old, new = ([f"{line}\n" for line in part.splitlines()] for part in (whole, text))
    return list(difflib.unified_diff(old, new, f"wavemae {release.version}", str(path)))


def _update(path: Path, force: bool) -> int:
    """Replace an unmodified copy, or with `force` a modified one, by the installed release."""
    text = files.read(path)
    found = judge(text)
    wanted = found.above + installed().vendored
    if text == wanted:
        _say(path, f"already {words.sentence(found)}")
        return 0
    if not found.release:
        _say(path, f"{words.sentence(found)}; left alone")
        return 1
    if not (found.unmodified or force):
        _say(path, f"{words.sentence(found)}; left alone")
        _say_below(found.notes)
        sys.stdout.writelines(_unified(found, found.release, text, path))
        _say_below(
            [f"to replace it, and keep this as .orig: {words.command('update --force', path)}"]
        )
        return 1
    aside = files.replace(path, wanted, judged=text, keep=not found.unmodified)
    _say(path, f"now the text of release {installed().version}; it was {words.sentence(found)}")
    _say_below([*words.changes(found), *([f"what it was: {aside}"] if aside else [])])
    return 0


def _say(path: Path, *parts: str) -> None:
    print(f"{path}: {''.join(parts)}")


def _say_below(lines: list[str]) -> None:
    for line in lines:
        print(f"  {line}")


def _fail(path: Path, sentence: str) -> int:
    print(f"wavemae vendor: {path}: {sentence}", file=sys.stderr)
    return 2
