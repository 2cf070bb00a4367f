"""Cases and seconds of every property on the definition; `--write` makes docs/situations.md.

python -m benchmarks.situations [--profile NAME] [--write]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from wavemae.properties import PROPERTIES, conduct, load_subject
from wavemae.properties.clauses.situations import SITUATIONS

PAGE = Path(__file__).parents[1] / "docs" / "situations.md"
_HEAD = """# Situations, cases, seconds

What the suite asks of one loss, here the definition, in the {profile} profile and one process with
one thread of torch (torch {torch}). `python -m benchmarks.situations --write` makes this page.
A *case* is a call with its inputs; a situation makes most of them twice, with and without
something of their own outside the mask. Seconds are of one run on one machine, and include what
torch imports at first use.

"""


def page(profile: str) -> str:
    """The table: situations first, then the properties of their own kind, and the sums."""
    torch.set_num_threads(1)
    subject = load_subject("wavemae.models.losses")
    rows: dict[str, list[tuple[str, int, int, float]]] = {"situation": [], "property": []}
    for identifier in sorted(PROPERTIES, key=lambda i: (int(i.partition("-")[0][1:]), i)):
        started = time.monotonic()
        outcome = conduct(subject, identifier, profile)
        seconds = time.monotonic() - started
        if outcome.state not in ("pass", "skipped"):
            raise SystemExit(f"{identifier}: {outcome.state}, {outcome.reason}")
        kind = "situation" if identifier in SITUATIONS else "property"
        rows[kind].append((identifier, outcome.examples, outcome.calls, seconds))
    lines = [_HEAD.format(profile=profile, torch=torch.__version__.partition("+")[0])]
    for kind, found in rows.items():
        lines += [f"| {kind} | cases | calls | seconds |", "| --- | ---: | ---: | ---: |"]
        lines += [f"| {i} | {cases} | {calls} | {s:.2f} |" for i, cases, calls, s in found]
        cases, calls = sum(row[1] for row in found), sum(row[2] for row in found)
        total = sum(row[3] for row in found)
        lines += [f"| all {len(found)} | {cases} | {calls} | {total:.1f} |", ""]
    return "\n".join(lines)


def main() -> int:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.situations")
    parser.add_argument("--profile", default="default", choices=["quick", "default", "deep"])
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    options = parser.parse_args()
    text = page(options.profile)
    print(text)
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
