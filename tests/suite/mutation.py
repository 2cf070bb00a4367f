"""Every small change of a file that cosmic-ray knows, each run against the property suite.

`python tests/suite/mutation.py FILE` copies FILE, which must hold the two losses, into the working
directory and changes the copy there: another operator, number, comparison, exception. A change
lives if the quick profile finds nothing; those that are no mistake are listed in `EQUIVALENT` with
the reason. Exit 1 if any other lives.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

# (operator, the line as it reads after the change): why nobody could tell.
EQUIVALENT = {
    (
        "core/ReplaceComparisonOperator_NotEq_IsNot",
        "if tensor.layout is not torch.strided or tensor.is_nested:",
    ): "a layout is one object",
    (
        "core/ReplaceComparisonOperator_NotEq_IsNot",
        "if mask.dtype is not torch.bool:",
    ): "a dtype is one object",
    (
        "core/ReplaceComparisonOperator_Eq_LtE",
        'if reduction <= "batch_mean":',
    ): '"mean" has returned before, and "sum" > "batch_mean"',
}

SETTINGS = """
[cosmic-ray]
module-path = "{module}"
timeout = 120.0
excluded-modules = []
test-command = "{python} -I -m wavemae.properties {module} --profile quick -x -n 1"

[cosmic-ray.distributor]
name = "local"
"""


def survivors(session: Path) -> tuple[int, list[tuple[str, str, str]]]:
    """Number of changes tried, and of each that lives: operator, changed line, difference."""
    dump = subprocess.run(
        [sys.executable, "-m", "cosmic_ray.cli", "dump", str(session)],
        capture_output=True,
        text=True,
        check=True,
    )
    tried, lives = 0, []
    for line in dump.stdout.splitlines():
        work, result = json.loads(line)
        tried += 1
        if result is None or result["test_outcome"] == "killed":
            continue
        (change,) = work["mutations"]
        added = [
            text[1:].strip()
            for text in result["diff"].splitlines()
            if text.startswith("+") and not text.startswith("+++")
        ]
        lives.append((change["operator_name"], " ".join(added), result["diff"]))
    return tried, lives


def main() -> int:
    """Run everything; print what lives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    module, session = Path(file.name), Path("session.sqlite")
    shutil.copyfile(file, module)
    Path("settings.toml").write_text(SETTINGS.format(module=module, python=sys.executable))
    for command in (["init", "--force"], ["exec"]):
        arguments = [*command, "settings.toml", str(session)]
        subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *arguments], check=True)
    tried, lives = survivors(session)
    unexplained = 0
    for operator, line, difference in lives:
        reason = EQUIVALENT.get((operator, line))
        unexplained += reason is None
        print(f"lives: {operator}: {reason or 'unexplained'}\n{difference}\n")
    print(
        f"{tried} changes tried, {tried - len(lives)} killed, "
        f"{len(lives) - unexplained} equivalent, {unexplained} unexplained"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
