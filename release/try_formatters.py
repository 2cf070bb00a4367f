"""See that a copy's header keeps formatters from rewriting it and linters from complaining.

    python release/try_formatters.py

Each tool, unconfigured or strict, first meets a badly written file without the header,
and must change it or complain, or else this would show nothing; then the same below the header, and
the copy itself, and must do neither. Exit code 1 where one does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "wavemae" / "vendor" / "hook.py"
TOOLS = (
    "black --quiet",
    "ruff format --isolated --quiet",
    "ruff check --isolated --quiet --select ALL --ignore D203,D213 --fix --unsafe-fixes",
    "isort --quiet --force-single-line-imports",
    "yapf --in-place",
    "autopep8 --in-place --aggressive --aggressive",
    "flake8 --isolated",
    "pylint --disable=import-error",
    "mypy --strict --ignore-missing-imports",
)
BADLY_WRITTEN = """\
'''Words   and
  words.  '''
from __future__ import annotations
import torch,sys
import os
from typing import List , Optional
x = [ 1,2,
   3 ]
def f( a:Optional[int] = None,b = 2 ) :
    '''words
      words '''
    import os ; return a==None
y: int = 's'
"""


def touched(tool: str, text: str, folder: Path) -> bool:
    """Whether the tool changed the file or ended with a complaint."""
    file = folder / "copy_of_losses.py"
    file.write_bytes(text.encode("utf-8"))
    done = subprocess.run(
        [sys.executable, "-m", *tool.split(), file.name],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return done.returncode != 0 or file.read_bytes() != text.encode("utf-8")


def main() -> int:
    """Try them all."""
    failed = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        add = [sys.executable, str(HOOK), "vendor", "add", "losses.py"]
        subprocess.run(add, cwd=folder, check=True, capture_output=True)
        copy = (folder / "losses.py").read_bytes().decode("utf-8")
        header = copy[: copy.index('"""')]
        for tool in TOOLS:
            if not touched(tool, BADLY_WRITTEN, folder):
                failed.append(f"{tool}: finds nothing in a badly written file")
            if touched(tool, header + BADLY_WRITTEN, folder) or touched(tool, copy, folder):
                failed.append(f"{tool}: does not heed the header")
    for line in failed:
        print(line)
    print(f"{len(TOOLS)} formatters and linters tried, {len(failed)} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
