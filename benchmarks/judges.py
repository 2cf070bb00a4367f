"""Judges the judges: which checks notice which wrong losses, and which right ones they blame.

    python -m benchmarks.judges [--write] [--verdicts FILE]

Every check of judges_checks.py and two profiles of the suite are run on every entry of
`wavemae.corpus`, each time in a process of its own with a limit on its time: a check in which the
loss hangs or crashes has found it. `--write` makes docs/judges.md and its picture. With
`--verdicts FILE` the verdicts are kept in a file, and those that stand there are not made again.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from wavemae.properties import PROPERTIES, Subject, conduct

from wavemae import fused
from wavemae.corpus import Entry, corpus
from wavemae.corpus.trial import trial
from wavemae.models import losses

from . import judges_page
from .judges_checks import CHECKS, module_of

ROOT = Path(__file__).parents[1]
PROFILES = ("quick", "default")
SECONDS = {
    "quick": 300.0,
    "default": 600.0,
}  # for a profile on one loss; other checks have a minute
PRELOAD = ("torch._dynamo", "wavemae.properties.run.engine", "benchmarks.judges_page")
RIGHT_EVERY = {"default": 12}  # of the right losses, which `tox run -e soundness` asks all
ROUNDS = 5
STRIDE = 8


@dataclass(frozen=True)
class Ours(Entry):
    """The definition or wavemae.fused, which are no entries of the corpus and have to pass too."""

    def load(self) -> Subject:
        """The module's functions."""
        module = {"definition": losses, "fused": fused}[self.id]
        return Subject(self.id, module.masked_sse, module.masked_mse, target=module.__name__)


DEFINITION, FUSED = (Ours(name, False, "", "", name, (), None) for name in ("definition", "fused"))


def usual(name: str, entry: Entry) -> None:
    """One of the usual checks; raises where it finds something."""
    torch.set_num_threads(1)  # as many processes as cores
    subject = entry.load()
    CHECKS[name].run(module_of(subject.masked_sse, subject.masked_mse))


def suite(profile: str, entry: Entry) -> None:
    """The suite: up to the first finding where the entry is wrong, whole where it is right.

    The killers that a wrong entry names come first, which changes when something is found and not
    whether. What a right one is blamed for is told with all properties that do.
    """
    torch.set_num_threads(1)
    subject = entry.load()
    blaming = []
    for identifier in dict.fromkeys((*entry.killers, *PROPERTIES)):
        outcome = conduct(subject, identifier, profile)
        if outcome.state == "FAIL" and entry.wrong:
            raise AssertionError(identifier)
        if outcome.state in ("FAIL", "XPASS", "error"):
            blaming.append(identifier)
    if blaming and not entry.wrong:
        raise AssertionError(", ".join(blaming))


CHECKERS: dict[str, Any] = {
    **{name: functools.partial(usual, name) for name in CHECKS},
    **{profile: functools.partial(suite, profile) for profile in PROFILES},
}


def verdicts(found: dict[str, Any], workers: int | None) -> Iterator[dict[str, Any]]:
    """For each check, what it made of each entry, and its seconds on the definition.

    What `found` has already stays. It is yielded whole every now and then, and every check is asked
    of every eighth entry before the next ones, so that a run which was ended early is a sample.
    Right losses come first: they take longest, and would leave a core idle at the end.
    """
    for name, checker in CHECKERS.items():
        known = found.setdefault(name, {"entries": {}})
        if "seconds" not in known:
            known["seconds"] = _cost(name, checker)
    for start in range(STRIDE):
        for name, checker in CHECKERS.items():
            known = found[name]["entries"]
            right = corpus.right[:: RIGHT_EVERY.get(name, 1)]
            asked = [*(FUSED, *right)[start::STRIDE], *corpus.wrong[start::STRIDE]]
            left = [entry for entry in asked if entry.id not in known]
            started, limit = time.monotonic(), SECONDS.get(name, 60.0)
            for verdict in trial(checker, left, seconds=limit, workers=workers, preload=PRELOAD):
                known[verdict.entry.id] = {
                    "blamed": verdict.blamed,
                    "reason": " ".join(verdict.reason.split())[:200],
                    "seconds": round(verdict.seconds, 3),
                }
            taken = time.monotonic() - started
            print(f"{start + 1}/{STRIDE} {name}: {len(left)} losses, {taken:.0f} s", flush=True)
            yield found


def _cost(name: str, checker: Any) -> float:
    """The median seconds of processor time on the definition, which has to pass."""
    rounds = 1 if name in PROFILES else ROUNDS
    taken: list[float] = []
    clocked = functools.partial(_clocked, checker)
    for verdict in trial(clocked, [DEFINITION] * rounds, workers=1, seconds=1200, preload=PRELOAD):
        if verdict.blamed:
            sys.exit(f"{name} blames the definition, so it is no check of it: {verdict.reason}")
        taken.append(verdict.answer)
    return round(float(statistics.median(taken)), 3)


def _clocked(checker: Callable[[Entry], None], entry: Entry) -> float:
    """Seconds of processor time that a check takes, with those of the processes that it starts."""
    before = sum(os.times()[:4])
    checker(entry)
    return sum(os.times()[:4]) - before


def machine() -> dict[str, str]:
    """What the seconds are of."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main(arguments: list[str] | None = None) -> int:
    """Run, print the table, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--write", action="store_true", help="write docs/judges.md and .svg")
    parser.add_argument("--verdicts", type=Path, help="keep the verdicts here, and go on from them")
    parser.add_argument("--no-run", action="store_true", help="draw what FILE holds, run nothing")
    parser.add_argument("--workers", type=int, help="processes at a time; as many as cores")
    parsed = parser.parse_args(arguments)
    kept = parsed.verdicts
    known = json.loads(kept.read_text()) if kept and kept.exists() else {}
    run = {"machine": machine(), "checks": known.get("checks", {})}
    for _ in () if parsed.no_run else verdicts(run["checks"], parsed.workers):
        if kept:
            kept.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(judges_page.summary(run, corpus))
    if parsed.write:
        judges_page.write(run, corpus, ROOT / "docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
