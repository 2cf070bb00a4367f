"""What the command line asks for: the suite's own options. Whatever else it holds is pytest's."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from ..inputs.effort import PROFILES
from ..targets import COMMAND
from . import catalogue

DEFAULT_TARGET = "wavemae.models.losses"
DEFAULT_COMMAND = "python -m wavemae.properties"
NEEDED = ("hypothesis", "jinja2", "numpy", "pytest", "pytest_timeout", "torch", "xdist")


class Refused(Exception):
    """The run cannot be made as asked for; the message says why, in a line or two."""


@dataclass(frozen=True)
class Options:
    """The options of the suite, what is left to pytest's parser, the targets that it never sees."""

    profile: str
    seed: int
    device: str
    report_json: str | None
    report_md: str | None
    report_html: str | None
    clauses: tuple[str, ...]
    listing: bool
    version: bool
    rest: tuple[str, ...]
    targets: tuple[str, ...]
    baseline: str | None = None
    write_baseline: bool = False
    command: str = DEFAULT_COMMAND

    @property
    def reports(self) -> tuple[str | None, str | None, str | None]:
        """The files that are asked for: JSON, Markdown, HTML."""
        return self.report_json, self.report_md, self.report_html

    @property
    def narrowing(self) -> list[str]:
        """The words on the command line that may leave properties out."""
        chosen = [f"--clause {','.join(self.clauses)}"] if self.clauses else []
        chosen += [f"-k {word!r}" for word in _given("-k", self.rest)]
        chosen += [f"-m {word!r}" for word in _given("-m", self.rest)]
        environment = os.environ.get("PYTEST_ADDOPTS")
        return chosen + ([f"PYTEST_ADDOPTS={environment!r}"] if environment else [])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message.removeprefix("argument "))


class _Once(argparse.Action):
    """An option that may stand once: of two values, one would be dropped."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("_given", {})
        if given.setdefault(self.dest, values) != values:
            parser.error(
                f"{option_string} is given as {given[self.dest]} and as {values}; leave one out"
            )
        setattr(namespace, self.dest, values)


def parser(command: str = DEFAULT_COMMAND) -> argparse.ArgumentParser:
    """The parser of the suite's own options."""
    made = _Parser(
        prog=command,
        usage="%(prog)s [TARGET ...] [options of its own] [any pytest option]",
        description="Run the masked-loss property suite on one or more implementations.",
        epilog="TARGET is a module (pkg.losses), a file (path/losses.py), or either with :ATTR "
        f"naming a Subject; it may stand anywhere. None: {DEFAULT_TARGET}. Everything else goes to "
        "pytest: -k, -x, -v for all that was found, -n 0 to stay in one process, --junitxml, "
        "--timeout, --collect-only. Exit code 0: no clause is violated, or with --baseline none "
        "newly. 1: some clause is. 2: the run could not be made, or something could not be judged. "
        "130 and 143: it was interrupted.",
        allow_abbrev=False,
        fromfile_prefix_chars="@",
    )
    add = made.add_argument
    add(
        "--command",
        metavar="'./port'",
        action="append",
        default=[],
        help="a target that is a program in any language, asked over pipes (docs/ports.md)",
    )
    add("--profile", choices=tuple(PROFILES), default="default", action=_Once)
    add("--clause", metavar="C8,C12", action="append", default=[], help="only these clauses")
    add("--list", action="store_true", help="print id, clause and statement of every property")
    add("--seed", type=int, default=0, action=_Once, help="other inputs; 0 is the fixed seed")
    add("--device", default="cpu", action=_Once, help="where inputs are built: cpu, cuda")
    add("--report-json", metavar="FILE", action=_Once)
    add("--report-md", metavar="FILE", action=_Once)
    add("--report-html", metavar="FILE", action=_Once, help="one page, with nothing to fetch")
    add(
        "--baseline",
        metavar="FILE",
        action=_Once,
        help="a JSON report; what fails in it too does not fail the run",
    )
    add("--write-baseline", action="store_true", help="make that file, or make it anew")
    add("-V", "--version", action="store_true", help="print the versions of all that judges")
    return made


def parse(arguments: Sequence[str], command: str = DEFAULT_COMMAND) -> Options:
    """The options among the arguments of a command.

    Raises:
        Refused: a value cannot be understood, or two of them contradict one another.
    """
    arguments = list(arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    own, rest = parser(command).parse_known_args(arguments[:cut])
    for option in ("-k", "-m"):
        words = set(_given(option, rest))
        if len(words) > 1:
            raise Refused(
                f"{option} is given {len(words)} times, and pytest would heed the last one only; "
                "join them with 'or'"
            )
    options = Options(
        own.profile,
        own.seed,
        own.device,
        own.report_json,
        own.report_md,
        own.report_html,
        _clauses(own.clause),
        own.list,
        own.version,
        tuple(rest),
        (*(COMMAND + words for words in own.command), *arguments[cut + 1 :]),
        own.baseline,
        own.write_baseline,
        command,
    )
    if own.list and (rest or options.targets or "_given" in vars(own)):
        raise Refused("--list judges nothing; beside it only --clause has a meaning")
    named: dict[Path, str] = {}
    for option in ("--report-json", "--report-md", "--report-html"):
        file = vars(own)[option[2:].replace("-", "_")]
        if file is not None:
            _writable(file)
            other = named.setdefault(Path(file).resolve(), option)
            if other != option:
                raise Refused(f"{other} and {option} name the same file")
    _look_at_baseline(options)
    return options


def _look_at_baseline(options: Options) -> None:
    """Raise Refused unless the baseline can be read, or written where that is asked for."""
    file = options.baseline
    if file is None:
        if options.write_baseline:
            raise Refused("--write-baseline needs --baseline FILE, which names what it writes")
        return
    if options.write_baseline:
        _writable(file)
    if not options.write_baseline and not Path(file).exists():
        raise Refused(f"there is no baseline {file!r}; --write-baseline makes it")
    for report in options.reports:
        if report is not None and Path(file).resolve() == Path(report).resolve():
            raise Refused(f"the report {report!r} would overwrite the baseline")


def _given(option: str, arguments: Sequence[str]) -> list[str]:
    """The values of a short option of pytest."""
    counting = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    counting.add_argument(option, action="append", default=[], dest="words")
    try:
        words: list[str] = counting.parse_known_args(list(arguments))[0].words
    except argparse.ArgumentError:
        return []  # it has no value, which pytest will say
    return words


def _clauses(words: Sequence[str]) -> tuple[str, ...]:
    known = catalogue.clauses()
    given = [clause.strip() for word in words for clause in word.split(",")]
    chosen = [clause.upper() if clause.upper() in known else clause for clause in given]
    for clause in chosen:
        if clause not in known:
            hint = f"; for one property use -k {clause}" if re.match(r"C\d+-", clause) else ""
            raise Refused(f"--clause: there is no clause {clause!r} among {_words(known)}{hint}")
    return tuple(dict.fromkeys(chosen))


def _words(known: Sequence[str]) -> str:
    numbers = [int(clause[1:]) for clause in known]
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{known[0]} to {known[-1]}"
    return ", ".join(known)


def _writable(file: str) -> None:
    """Raise Refused unless the report can be written; leave the disk as it was."""
    if not file:
        raise Refused("a report has an empty name; give a file, or leave the option out")
    path = Path(file)
    existed = path.exists()
    try:
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise Refused(f"the report {file!r} cannot be written: {error.strerror}") from None


def missing_packages() -> str | None:
    """What of the extra `properties` is not installed, or too old, and how to install it."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    advice = 'pip install "wavemae[properties]"'
    if absent:
        words = ", ".join(absent)
        return f"the suite needs packages that are not installed ({words}): {advice}"
    from packaging.requirements import Requirement

    for text in metadata.requires("wavemae") or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": "properties"}):
            found = metadata.version(needed.name)
            if not needed.specifier.contains(found, prereleases=True):
                return f"the suite needs {needed.name}{needed.specifier}, not {found}: {advice}"
    return None


def versions() -> str:
    """What judges, in a line."""
    names = ("wavemae", "torch", "pytest", "hypothesis")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)
