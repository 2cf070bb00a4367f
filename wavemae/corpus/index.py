"""Makes index.json: the entries from the code, the witnesses from the suite."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib import import_module
from types import ModuleType

from . import INDEX, Entry, Witness, classes, corpus
from .trial import trial

VERSION = 1
_ENGINE = "wavemae.properties.run.engine"
_SECONDS = 300.0


def _losses(kind: str) -> ModuleType:
    """The package of the wrong ones or the right ones, which lie in tests/ in a checkout."""
    return import_module(f"{__package__}.{kind}")


def entries() -> list[Entry]:
    """Those of the code, without their witnesses: the wrong ones by clause, then the right ones."""
    wrong, right = _losses("wrong"), _losses("right")
    found = [
        Entry(
            id=mutant.name,
            wrong=True,
            clause=mutant.clause,
            bug_class=classes.of(mutant.clause, mutant.name),
            summary=mutant.bug,
            killers=mutant.killed_by,
            witness=None,
        )
        for mutant in wrong.MUTANTS.values()
    ]
    modules = [
        import_module(f"{right.__name__}.{module.name}")
        for module in pkgutil.iter_modules(right.__path__)
    ]
    for name in right.VARIANTS:
        makers = (getattr(module, name, None) for module in modules)
        (summary,) = {inspect.getdoc(maker) for maker in makers if maker is not None}
        found.append(Entry(name, False, "", "", " ".join(str(summary).split()), (), None))
    return found


def text(found: Iterable[Entry]) -> str:
    """The document."""
    document = {"version": VERSION, "entries": [asdict(entry) for entry in found]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def differing() -> list[str]:
    """Where the shipped index is not what the code says; witnesses are not looked for again."""
    now = {entry.id: entry for entry in entries()}
    lines = [
        f"{identifier} is not in the code" for identifier in corpus.ids if identifier not in now
    ]
    for identifier, entry in now.items():
        if identifier not in corpus:
            lines.append(f"{identifier} is not in the index")
        elif replace(corpus[identifier], witness=None) != entry:
            lines.append(f"{identifier} is another in the index")
        elif entry.wrong and corpus[identifier].witness is None:
            lines.append(f"{identifier} has no witness")
    if not lines and corpus.ids != tuple(now):
        lines.append("the order of the entries is another")
    return lines


def write(*, anew: bool = False) -> None:
    """Write index.json; witnesses are looked for where there is none, or for all."""
    now, known = entries(), {entry.id: entry for entry in corpus}
    for number, entry in enumerate(now):
        old = known.get(entry.id)
        if old is not None and not anew and old.killers == entry.killers:
            now[number] = replace(entry, witness=old.witness)
    lacking = [number for number, entry in enumerate(now) if entry.wrong and not entry.witness]
    for checker in (witness, seen):
        given = [now[number] for number in lacking]
        verdicts = trial(checker, given, seconds=_SECONDS, preload=[_ENGINE])
        for number, verdict in zip(lacking, verdicts, strict=True):
            now[number] = replace(now[number], witness=verdict.answer or now[number].witness)
            if now[number].witness is None and checker is witness:
                print(f"{verdict.entry.id} has no witness: {verdict.reason or 'its killers pass'}")
    INDEX.write_text(text(now), encoding="utf-8")


def witness(entry: Entry) -> Witness | None:
    """What the first property to find something finds: its killers, its clause's, any."""
    import torch

    from wavemae.properties import PROPERTIES, conduct

    torch.set_num_threads(1)  # there are as many processes as cores
    subject = entry.load()
    own = [name for name, prop in PROPERTIES.items() if prop.clause == entry.clause]
    for killer in dict.fromkeys((*entry.killers, *own, *PROPERTIES)):
        for profile in ("quick", "default"):
            violation = conduct(subject, killer, profile).violation
            if violation is not None:
                return Witness(
                    property=killer,
                    what=_portable(violation.what),
                    got=_portable(violation.got),
                    wanted=violation.wanted,
                    bound=violation.bound,
                    program=violation.program(subject.imports) or "",
                    shows=False,
                )
    return None


def _portable(words: str) -> str:
    """The words with each place in a file by its name, and not by a folder of this machine."""
    return re.sub(r"(?:[A-Za-z]:)?[/\\]\S*[/\\](?=[^/\\\s]+\.py:\d)", "", words)


def seen(entry: Entry) -> Witness | None:
    """The witness, and whether its program alone tells the entry from the definition."""
    if entry.witness is None or not entry.witness.program:
        return None
    own = entry.load().imports
    program = entry.witness.program
    right = ends(program.replace(own, "from wavemae.models.losses import masked_mse, masked_sse"))
    return replace(entry.witness, shows=ends(program) != right)


def ends(program: str) -> str:
    """What a program prints, and what it raises; which operator made a tensor does not count."""
    raised = ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(program, {"__name__": "__main__"})
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
    return re.sub(r"grad_fn=<\w+>", "grad_fn", printed.getvalue()) + raised
