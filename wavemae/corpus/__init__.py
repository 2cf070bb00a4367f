"""Wrong and right implementations of the two losses, to measure a checker of such code with.

    from wavemae.corpus import corpus

    for entry in corpus:
        blamed = my_checker(entry.masked_mse)
        missed = entry.wrong and not blamed
        false_alarm = blamed and not entry.wrong

What an entry says of itself comes from index.json and needs no torch; its functions need torch and
the extra `properties`. Ids stay: entries are added, never renamed or removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavemae.properties import Subject

__all__ = ["INDEX", "Corpus", "Entry", "Witness", "corpus"]

INDEX = Path(__file__).parent / "index.json"


@dataclass(frozen=True)
class Witness:
    """A call by which an entry shows that it is wrong, as small as the suite could make it.

    Attributes:
        property: of the suite, that found it.
        what: is wrong, in words.
        got, wanted: what came and what was wanted, in words.
        bound: how far off is allowed.
        program: makes the call and prints what comes; empty where no single call shows it.
        shows: the program alone prints something else, or ends otherwise, than with a right loss.
            Where it does not, the property makes the call in a way of its own, such as under
            `torch.vmap`, or looks at something else than what is printed.
    """

    property: str
    what: str
    got: str
    wanted: str
    bound: str
    program: str
    shows: bool


@dataclass(frozen=True)
class Entry:
    """One implementation.

    Attributes:
        id: its name, which stays.
        wrong: whether it breaks the contract.
        clause: of CONTRACT.md that it breaks; empty where it is right.
        bug_class: one of `wavemae.corpus.classes.CLASSES`; empty where it is right.
        summary: what is wrong with it, or how it differs from the definition.
        killers: properties of the suite that must notice it.
        witness: shows that it is wrong; None where it is right.
    """

    id: str
    wrong: bool
    clause: str
    bug_class: str
    summary: str
    killers: tuple[str, ...]
    witness: Witness | None

    def load(self) -> Subject:
        """As the suite takes it: both functions, and what they claim.

        What it does to globals is its own affair: run it in a process that may be thrown away.
        """
        from wavemae.properties import Subject

        subject: Subject
        if self.wrong:
            subject = import_module(f"{__name__}.wrong").MUTANTS[self.id].subject
        else:
            right = import_module(f"{__name__}.right")
            sse, mse = right.VARIANTS[self.id]
            subject = Subject(self.id, sse, mse, right.CLAIMS[self.id])
        return replace(
            subject,
            imports=f"from {__name__} import corpus\n\n"
            f'masked_mse = corpus["{self.id}"].masked_mse\n'
            f'masked_sse = corpus["{self.id}"].masked_sse',
            target=subject.target or f"{__name__}.subjects:{self.id}",
        )

    @property
    def masked_mse(self) -> Callable[..., Any]:
        """The function of that name, called with (x_recon, x, mask, *, reduction="mean")."""
        function = self.load().masked_mse
        assert function is not None  # every entry has both
        return function

    @property
    def masked_sse(self) -> Callable[..., Any]:
        """The function of that name, called with (x_recon, x, mask, *, reduction="batch_mean")."""
        function = self.load().masked_sse
        assert function is not None
        return function


class Corpus:
    """All entries in a fixed order: iterate, count, or take one by its id."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = {entry.id: entry for entry in entries}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._entries

    def __getitem__(self, identifier: str) -> Entry:
        if identifier not in self._entries:
            raise KeyError(f"no entry is called {identifier!r}; corpus.ids lists those that are")
        return self._entries[identifier]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all entries."""
        return tuple(self._entries)

    @property
    def wrong(self) -> tuple[Entry, ...]:
        """Those that break the contract."""
        return tuple(entry for entry in self if entry.wrong)

    @property
    def right(self) -> tuple[Entry, ...]:
        """Those that keep it in other ways than the definition."""
        return tuple(entry for entry in self if not entry.wrong)


def _entry(described: dict[str, Any]) -> Entry:
    witness = described["witness"]
    return Entry(
        **{
            **described,
            "killers": tuple(described["killers"]),
            "witness": Witness(**witness) if witness else None,
        }
    )


def _read() -> Corpus:
    document = json.loads(INDEX.read_text(encoding="utf-8"))
    return Corpus(tuple(map(_entry, document["entries"])))


corpus = _read()
