"""The index of the corpus: `python -m wavemae.corpus --write`, or `--check`.

`--write` asks the killers of each wrong entry for a witness, where the entry is new or has changed;
with `--all`, of every one. It takes minutes. `--check` compares everything but the witnesses with
the code, and asks of each wrong entry that it has one.
"""

from __future__ import annotations

import argparse
import sys

from .index import differing, write


def main(arguments: list[str] | None = None) -> int:
    """Write or check index.json; 1 if it differs."""
    parser = argparse.ArgumentParser(
        prog="python -m wavemae.corpus",
        description="The index of the wrong and the right losses.",
    )
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--write", action="store_true", help="write the index")
    either.add_argument("--check", action="store_true", help="say where the index is not as it was")
    parser.add_argument("--all", action="store_true", help="with --write: find all witnesses anew")
    own = parser.parse_args(arguments)
    if own.write:
        write(anew=own.all)
        return 0
    wrong = differing()
    for line in wrong:
        print(line)
    if wrong:
        print("write it again: python -m wavemae.corpus --write")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
