"""What a run leaves on the terminal: the failures by cause, then the verdict, then what to do next.

A loss with one mistake fails many properties, and all that is to be read about it fits on a screen
and a half. The rest is shown with -v, and is in the reports.
"""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

from .. import targets as places
from .advice import advised
from .causes import LONGEST, SEVERITIES, Cause, causes, severity
from .report import Cell, Table
from .standing import rows, standing

Paint = Callable[..., str]
_LINES = 52  # of a run with one target, without its table and without what is like the first
_HEAD = "minimal case, pastes and runs:"  # as engine.explain has it, before a program
_MORE = "-v, or --report-md FILE, has the program of each cause"
_WIDTH = 100
_MOST_DETAILED = 3  # targets; with more of them each has one line of verdict
_MOST_FILES = 3  # of a target, and their SHA-256
_INDENT = " " * 9


def plain(text: str, **markup: bool) -> str:
    """The text as it is, where there is no colour."""
    return text


class Screen:
    """The text of a run.

    Attributes:
        table: what came out.
        texts: by target and property, the whole explanation of what failed.
        traits: by target, the fields of `run.traits.Traits`.
        newly: by target, the properties that fail newly, where there is a baseline; those that
            failed before are then not told again.
        verbose: nothing is left out, and the conformance table is shown.
        command: as the user wrote it, up to the targets.
        baseline: the file that the run is compared with, if there is one.
    """

    def __init__(
        self,
        table: Table,
        texts: Mapping[tuple[str, str], str],
        traits: Mapping[str, Mapping[str, Any]],
        *,
        newly: Mapping[str, Iterable[str]] | None = None,
        verbose: bool = False,
        command: str = "wavemae verify",
        baseline: str | None = None,
        paint: Paint = plain,
    ) -> None:
        self.table, self.texts, self.traits = table, texts, traits
        self.newly, self.verbose, self.command, self.paint = newly, verbose, command, paint
        self.baseline = baseline
        self.causes = {target: causes(self._told(target)) for target in table.targets}

    def _told(self, target: str) -> list[Cell]:
        cells = self.table.cells.get(target, {}).values()
        if self.newly is None:
            return [*cells]
        return [cell for cell in cells if cell.identifier in self.newly.get(target, ())]

    def lines(self, compared: Iterable[str] = ()) -> list[str]:
        """All of it; `compared` are the lines on a baseline."""
        table = [*rows(self.table), ""] if self.verbose else []
        end = [*self._others(), *self._advice(), *self._judged(), *compared]
        end += [*self._verdicts(), *self._next_lines()]
        found = [c for target in self.table.targets for c in self.causes[target]]
        room = _LINES + 12 * (len(self.table.targets) - 1) - len(end) - 3 * len(found)
        return [*self._causes(room), *table, *end]

    # The failures.

    def _causes(self, room: int) -> Iterator[str]:
        """The first cause with its program; the others too as long as there is room for them.

        No program is cut: what is printed pastes and runs. One that is too long for the screen is
        left out, unless one property is run: that is what `again` runs.
        """
        first, whole, alone = True, True, sum(map(len, self.table.cells.values())) == 1
        for target, found in self.causes.items():
            for number, cause in enumerate(found, 1):
                text = self._whole(target, cause.first)
                title = f"{target}, cause {number} of {len(found)}: {cause.severity}"
                if self.verbose or first or len(text) <= room:
                    if not (self.verbose or alone):
                        text = _without_long_program(text, cause.first)
                    room -= len(text)
                    first = False
                    yield self.paint(title, bold=True, red=True)
                    yield from text
                    yield from self._like(target, cause)
                else:
                    cell = cause.first
                    more = f" and {_size(cause) - 1} more" if _size(cause) > 1 else ""
                    yield f"{self.paint(title, bold=True, red=True)}: {cell.identifier}{more}"
                    yield from _said(cell)
                    whole = False
            if found:
                yield ""
        if not whole:
            yield from (_MORE, "")

    def _whole(self, target: str, cell: Cell) -> list[str]:
        text = self.texts.get((target, cell.identifier)) or f"{cell.identifier}: {cell.reason}"
        return text.rstrip().splitlines()

    def _like(self, target: str, cause: Cause) -> Iterator[str]:
        """The other failures of a cause: by name, or whole."""
        if self.verbose:
            for cell in (*cause.cells[1:], *cause.following):
                yield ""
                yield from self._whole(target, cell)
        else:
            likewise = [cell.identifier for cell in cause.cells[1:]]
            yield from _wrapped("likewise", ", ".join(likewise), lines=3)
            may = [cell.identifier for cell in cause.following]
            yield from _wrapped("may go with it", ", ".join(may), lines=3)

    def _others(self) -> Iterator[str]:
        """What is neither green nor a violation: a line for each reason."""
        for target in self.table.targets:
            grouped: dict[tuple[str, str], list[str]] = {}
            for cell in self._told(target):
                if cell.state in ("xfail", "XPASS", "error", "skipped", "not run"):
                    grouped.setdefault((cell.state, cell.reason), []).append(cell.identifier)
            for (state, reason), names in grouped.items():
                shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
                said = " ".join(reason.split()) if state == "error" else _short(reason, 200)
                yield f"{state:<8} {target} {shown}: {said}"
            for part, names in self._strays(target).items():
                what = {"": "", "raises": " exception"}.get(part, f" breach of {part}")
                said = f"{target}: the same{what} is seen in {', '.join(names)}"
                yield from _wrapped("also", said, lines=3)

    def _strays(self, target: str) -> dict[str, list[str]]:
        """What fails in plain calls too, and belongs to no cause that is told, by what broke."""
        found = self.causes[target]
        told = {cell.identifier for cause in found for cell in (*cause.cells, *cause.following)}
        strays: dict[str, list[str]] = {}
        for cell in self._told(target):
            if cell.state == "also" and cell.identifier not in told:
                strays.setdefault(cell.part, []).append(cell.identifier)
        return strays

    def _advice(self) -> Iterator[str]:
        for target in self.table.targets:
            traits = self.traits.get(target, {})
            if not self.causes[target]:
                continue
            for note in traits.get("notes", ()):
                yield from _wrapped("note", note)
            said = advised(traits, self.table.cells.get(target, {}).values())
            if said:
                words, claims = said
                where = 'where that is meant, a Subject says so (docs/guide.md, "Claims")'
                yield from _wrapped("design?", f"{target} {words}; {where}:")
                yield f"{_INDENT}{claims}"

    # The end.

    def _judged(self) -> Iterator[str]:
        """What was judged, and by what."""
        table = self.table
        for target in table.targets:
            yield f"target   {target}"
            sources = table.sources.get(target, {})
            for file, digest in [*sources.items()][:_MOST_FILES]:
                yield f"file     {file}"
                yield f"sha-256  {digest}"
            if len(sources) > _MOST_FILES:
                yield f"files    {len(sources) - _MOST_FILES} more, which every report names"
        settings = ", ".join(f"{k} {v}" for k, v in table.settings.items())
        yield f"suite    wavemae {metadata.version('wavemae')}, {settings}"
        if table.narrowing:
            yield f"only     {', '.join(table.narrowing)}"

    def _verdicts(self) -> Iterator[str]:
        table = self.table
        for target in table.targets:
            told = table.violated(target) if self.newly is None else self.newly.get(target)
            bad = bool(told) or target in table.unusable
            yield self.paint(f"verdict  {table.verdict(target)}", bold=True, red=bad, green=not bad)
            if len(table.targets) <= _MOST_DETAILED and table.cells.get(target):
                yield from self._detail(target)

    def _next_lines(self) -> Iterator[str]:
        first, *rest = self._next()
        yield f"next     {first}"
        yield from (_INDENT + line for line in rest)

    def _detail(self, target: str) -> Iterator[str]:
        """How many clauses hold, and those that do not, by what their failures do."""
        cells = self.table.cells[target].values()
        yield _INDENT + standing(cells)
        for kind in SEVERITIES:
            counted = Counter(
                cell.owner for cell in cells if cell.state == "FAIL" and severity(cell) == kind
            )
            if counted:
                names = sorted(counted, key=lambda clause: int(clause[1:]))
                shown = ", ".join(f"{n} ({counted[n]})" if counted[n] > 1 else n for n in names)
                yield from _wrapped("", f"{kind}: {shown}")

    def _next(self) -> list[str]:
        """The commands to type now, or what else to do."""
        table = self.table
        for target, found in self.causes.items():
            if found:
                cell = found[0].first
                again = cell.counterexample["again"] if cell.counterexample else ""
                again = again or f"{self._of(target)} -k {cell.identifier}"
                explain = f"wavemae explain {cell.owner}"
                if table.narrowing and len(table.cells[target]) == 1:  # `again` was just typed
                    return [explain, f"{self._everything()}  # once it is mended"]
                return [again, explain]
        for target in table.targets:
            for cell in table.cells.get(target, {}).values():
                if cell.state == "XPASS":
                    return [f"take {cell.identifier} out of the expected failures of {target}"]
                if cell.state in ("error", "not run") and len(table.cells[target]) > 1:
                    return [f"{self._of(target)} -k {cell.identifier}"]
        profile = table.settings.get("profile")
        if table.narrowing and (profile != "quick" or self.newly is not None):
            return [self._everything()]
        if self.newly is not None:
            return ["nothing newly fails; --write-baseline beside --baseline makes the file anew"]
        if profile == "quick":
            targets = " ".join(map(places.spelled, table.targets))
            return [f"{self.command} {targets}  # the default profile asks more"]
        return ["the same line in CI keeps it so: docs/ci.md"]

    def _everything(self) -> str:
        """The command of the run without its selection."""
        environment = any(word.startswith("PYTEST_ADDOPTS") for word in self.table.narrowing)
        words = ["PYTEST_ADDOPTS="] if environment else []
        words += [self.command, *map(places.spelled, self.table.targets)]
        usual = {"profile": "default", "seed": 0, "device": "cpu"}
        for name, value in usual.items():
            given = self.table.settings.get(name, value)
            words += [] if given == value else [f"--{name} {given}"]
        words += [] if self.baseline is None else [f"--baseline {shlex.quote(self.baseline)}"]
        return " ".join(words)

    def _of(self, target: str) -> str:
        spelled = places.spelled(target)
        profile, seed = (self.table.settings.get(key) for key in ("profile", "seed"))
        return f"{self.command} {spelled} --profile {profile} --seed {seed}"


def _said(cell: Cell) -> list[str]:
    """What a failure says, in two lines; what came and what was wanted have room of their own."""
    found = cell.counterexample
    end = ""
    if found:
        got, wanted = (_short(str(found[key]), _WIDTH // 2) for key in ("got", "wanted"))
        end = f": got {got}, wanted {wanted}"
    what = _short(str(found["what"]) if found else cell.reason, 2 * _WIDTH - len(end) - 20)
    return textwrap.wrap(
        what + end, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _size(cause: Cause) -> int:
    return len(cause.cells) + len(cause.following)


def _without_long_program(text: list[str], cell: Cell) -> list[str]:
    """The text of a failure; where its program is too long, how to get it stands in its place."""
    script = ((cell.counterexample or {}).get("script") or "").splitlines()
    start = len(text) - len(script) - 2  # an empty line and `again` follow the program
    shown = [f"    {line}".rstrip() for line in script]
    if len(script) <= LONGEST or text[start:-2] != shown:
        return text
    while text[start - 1] in ("", _HEAD):
        start -= 1
    way = "the command below with -v shows it, and --report-md FILE holds it"
    return [*text[:start], "", f"minimal case: a program of {len(script)} lines; {way}", *text[-2:]]


def _short(text: str, most: int) -> str:
    return textwrap.shorten(text, most, placeholder=" ...")


def _wrapped(head: str, text: str, lines: int | None = None) -> list[str]:
    """A paragraph behind a word, cut after so many lines."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{head:<8} ",
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=lines,
        placeholder=" ... (-v has all)",
    )
