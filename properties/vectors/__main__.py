"""Pinned vectors: hand-chosen calls and their exact answers as JSON, for ports that have no torch.

`python -m wavemae.properties.vectors --write FOLDER` writes the files, `--check [FOLDER]` compares
a folder, by default the one that is shipped, with what would be written. The answers come from the
rational arithmetic of `oracle`; no implementation has a say in them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .documents import FOLDER, differing, files


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; 1 if any differs."""
    parser = argparse.ArgumentParser(
        prog="python -m wavemae.properties.vectors",
        description="The pinned vectors of the masked losses, for ports to other languages.",
    )
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--write", metavar="FOLDER", type=Path, help="write the files there")
    either.add_argument(
        "--check",
        metavar="FOLDER",
        type=Path,
        nargs="?",
        const=FOLDER,
        help="say which files there, or of those shipped, differ from what would be written",
    )
    own = parser.parse_args(arguments)
    if own.write:
        own.write.mkdir(parents=True, exist_ok=True)
        for name, content in files().items():
            (own.write / name).write_bytes(content.encode())
        return 0
    wrong = differing(own.check)
    for name in wrong:
        print(
            f"{own.check / name} differs from what the generator makes; write it again with --write"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
