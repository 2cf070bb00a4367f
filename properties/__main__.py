"""Door 1: `python -m wavemae.properties [TARGET ...] [options]`."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, TextIO

from .doors import baseline, catalogue, command
from .doors.command import DEFAULT_COMMAND, Options, Refused
from .doors.screen import Screen
from .run import stopping

if TYPE_CHECKING:
    from .doors.baseline import Comparison
    from .doors.controller import Controller
    from .doors.report import Table

_MOST_LINES = 3  # of what the properties have in common that became one thing since the baseline


def main(arguments: list[str] | None = None, called: str = DEFAULT_COMMAND) -> int:
    """Run the suite and return the exit code; `called` is what the user calls it.

    0: every selected property was judged, and no clause is violated. 1: some clause is, or an
    expected failure passes. 2: the run could not be made as asked for, or something could not be
    judged. 128 and the signal's number, 130 or 143: it was interrupted.
    """
    try:
        with stopping.heeded():
            return _run(sys.argv[1:] if arguments is None else arguments, called)
    except Refused as refusal:
        for line in refusal.args:
            name = called.removeprefix("python -m ")
            print(f"{name}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was judged", file=sys.stderr)
        return _interrupted()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _interrupted() -> int:
    return 128 + (stopping.requested or signal.SIGINT)


def _run(arguments: list[str], called: str) -> int:
    options = command.parse(arguments, called)
    if options.listing:
        print("\n".join(catalogue.lines(options.clauses)), flush=True)
        return 0
    absent = command.missing_packages()
    if absent:
        raise Refused(absent)
    if options.version:
        print(command.versions())
        return 0
    return _judge(options)


def _judge(options: Options) -> int:
    import pytest

    from .doors.controller import Controller
    from .doors.plugin import SUITE

    passed = ["-c", str(SUITE), f"--rootdir={SUITE.parent}", "--noconftest"]
    passed += ["-p", "wavemae.properties.doors.plugin", "-p", "no:cacheprovider"]
    passed += ["--disable-warnings", "-qq", "--tb=no", "-rN"]
    passed += ["--assert=plain"]  # else Hypothesis is rewritten, where no bytecode may be kept
    said = _Held(sys.stderr)
    sys.stderr = said  # what pytest says of arguments is told in a line
    controller = Controller(options, said.release)
    code = 2
    try:
        with controller.stack:
            try:
                code = int(pytest.main([*passed, *options.rest], plugins=[controller]))
            except KeyboardInterrupt:
                if controller.table is None:
                    raise
            except Refused:
                raise
            except Exception as error:
                if controller.table is not None:
                    raise
                raise Refused(f"pytest: {type(error).__name__}: {error}") from None
            if controller.table is None:
                raise Refused(_told(said.text))
            if controller.refusal is not None:
                if controller.table.unusable:
                    controller.table.write(*options.reports)
                raise controller.refusal
            controller.finish()
            return _conclude(controller, code)
    finally:
        sys.stderr = said.stream


def _conclude(controller: Controller, code: int) -> int:
    """Print and write what is known; the exit code."""
    table, options = controller.table, controller.options
    assert table is not None
    if stopping.requested is not None:
        table.interrupted_by = stopping.requested.name
    elif controller.shows_only:
        print("nothing was judged: this only lists")
        return 0 if code == 0 else 2
    elif not controller.collected and code in (0, 5):
        table.write(*options.reports)
        raise Refused(f"nothing is selected by {', '.join(table.narrowing) or 'these options'}")
    found = table.exit_code()
    compared = _compared(controller)
    print("\n".join(_screen(controller, compared)), flush=True)
    table.write(*options.reports, compared=compared)
    if stopping.requested is not None:
        return _interrupted()
    if found == 0 and code != 0:
        raise Refused(f"pytest ended with exit code {code}, which no property explains")
    if options.write_baseline:
        return _write_baseline(table, str(options.baseline))
    if compared is not None and table.whole():
        return compared.exit_code()
    return found


def _compared(controller: Controller) -> Comparison | None:
    """What differs from the baseline, if there is one."""
    assert controller.table is not None
    if controller.before is None:
        return None
    return baseline.compare(controller.before, controller.table.as_json())


def _screen(controller: Controller, compared: Comparison | None) -> list[str]:
    """What is printed of a run."""
    assert controller.table is not None
    newly = None
    if compared is not None and not controller.options.write_baseline:
        newly = {each.target: list(each.newly) for each in compared.targets}
    screen = Screen(
        controller.table,
        controller.texts,
        controller.traits,
        newly=newly,
        verbose=controller.verbose,
        command=controller.options.command,
        baseline=controller.options.baseline,
        paint=controller.paint,
    )
    most = None if controller.verbose else _MOST_LINES
    return screen.lines(compared.lines(most) if compared else ())


def _write_baseline(table: Table, file: str) -> int:
    """Write the report that later runs are compared with; 2 where it would hold nothing."""
    if not table.whole():
        raise Refused(f"the baseline {file!r} was left as it is: the run judged not all targets")
    table.write(file, None)
    print(f"baseline {file} written")
    return 0


class _Held(io.TextIOBase):
    """A stream that keeps what is written until it is released, and then passes it on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.text = ""
        self.holds = True

    def write(self, text: str) -> int:
        if not self.holds:
            return self.stream.write(text)
        self.text += text
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def release(self) -> None:
        """Pass on what was kept, and keep nothing more."""
        self.holds = False
        self.stream.write(self.text)


def _told(text: str) -> str:
    """The one line of pytest's complaint that says what is wrong."""
    found = re.search(r"error: (.*)", text) or re.search(r"(.*Error.*)", text)
    words = found[1] if found else " ".join(text.split()) or "could not start"
    return "pytest: " + words.removeprefix("ERROR: ")


if __name__ == "__main__":
    sys.exit(main())
