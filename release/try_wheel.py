"""Install the wheel into an empty environment and run there what README says.

    python release/try_wheel.py FOLDER

Run: that `wavemae vendor` needs no torch; that the native part is there and computes rightly; every
command of README that begins with `wavemae` or `python -m wavemae`, in its order, in an empty
folder with a package `mypkg` whose `losses.py` is right; and its `>>>` examples. Exit code 1 with
the output of whatever does not end with 0.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Where these stand, the commands of README would find what they name.
LOSSES = "from wavemae import masked_mse, masked_sse\n\n__all__ = ['masked_mse', 'masked_sse']\n"


def commands(readme: str) -> list[list[str]]:
    """The commands of README that a user types after `pip install wavemae`, split as by a shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return [shlex.split(line) for line in lines if re.match(r"(python -m )?wavemae[. ]", line)]


def run(command: list[str], folder: Path, scripts: Path) -> None:
    """Run it with the environment's programs first, and stop at the first that fails."""
    print("+", shlex.join(command), flush=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(scripts / command[0]), *command[1:]],
        cwd=folder,
        env={**kept, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nended with {done.returncode}: {shlex.join(command)}")


def main(arguments: list[str] | None = None) -> int:
    """Try the one wheel that lies in the folder."""
    parser = argparse.ArgumentParser(description="Try the wheel in an empty environment.")
    parser.add_argument("folder", type=Path)
    (wheel,) = parser.parse_args(arguments).folder.resolve().glob("wavemae-*.whl")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "project"
        (folder / "mypkg").mkdir(parents=True)
        (folder / "mypkg" / "__init__.py").touch()
        (folder / "mypkg" / "losses.py").write_text(LOSSES, encoding="utf-8")
        environment = Path(made) / "environment"
        venv.create(environment, with_pip=True)
        scripts = environment / ("Scripts" if os.name == "nt" else "bin")
        install = ["python", "-m", "pip", "install", "--quiet"]
        run([*install, "--no-deps", str(wheel)], folder, scripts)
        run(["wavemae", "vendor", "add", "trial.py"], folder, scripts)  # no torch yet
        run(["wavemae", "vendor", "check", "trial.py"], folder, scripts)
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        run([*install, *pins, f"wavemae[properties] @ {wheel.as_uri()}"], folder, scripts)
        native = ROOT / "tests" / "fused" / "installed_native.py"
        run(["python", "-I", str(native)], folder, scripts)
        found = commands((ROOT / "README.md").read_text(encoding="utf-8"))
        if not found:
            sys.exit("README.md has no command of wavemae, or this script no longer sees it")
        for command in found:
            suite = "wavemae.properties" in command or "verify" in command
            run([*command, *(["--profile", "quick"] if suite else [])], folder, scripts)
        run(["python", "-m", "doctest", str(ROOT / "README.md")], folder, scripts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
