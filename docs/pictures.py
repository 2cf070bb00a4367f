"""Draw docs/run.svg and docs/report.png from a run of the suite on three_mistakes.py.

    python docs/pictures.py

takes a minute or two. The first is what the terminal shows, drawn by `rich`; the second is the HTML
report in headless Chromium, and is left as it is, with a word, where there is none.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
NAME = "three_mistakes.py"
COMMAND = ["wavemae", "verify", NAME, "--profile", "quick"]
PLACE = "/home/me"  # stands in both for the folder that the run was in, which is a passing one
HEAD = 34  # lines that are shown before the last ones; what lies between is counted
WIDTH = 106
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def run(folder: Path) -> str:
    """What the command prints, in colour, in a folder with the loss; the page is beside it."""
    shutil.copy(DOCS / NAME, folder)
    program = str(Path(sys.executable).with_name(COMMAND[0]))
    done = subprocess.run(
        [program, *COMMAND[1:], "--color", "yes", "--report-html", "report.html"],
        cwd=folder,
        env={
            **os.environ,
            "PYTEST_TIMEOUT": "900",
        },  # where the machine is busy, the loss does not hang
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    page = folder / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace(str(folder), PLACE), encoding="utf-8")
    return done.stdout.replace(str(folder), PLACE)


def shortened(printed: str) -> list[str]:
    """The lines of a run from its first failure on, without most of those in the middle."""
    lines = printed.rstrip().splitlines()
    start = next(i for i, line in enumerate(lines) if f"{NAME}, cause 1 of" in line)
    lines = lines[start:]
    end = next(i for i, line in enumerate(lines) if line.startswith("target  "))
    if end > HEAD:
        lines[HEAD:end] = ["", f"   [ {end - HEAD} lines on the other causes ]", ""]
    return ["$ " + " ".join(COMMAND), "", *lines]


def drawn(lines: list[str]) -> str:
    """An SVG of a terminal with these lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"))
    picture = console.export_svg(title="wavemae verify", unique_id="run")
    # The picture asks for fonts from elsewhere; the reader's own will do.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE).rstrip() + "\n"


def photographed(page: Path) -> bytes | None:
    """The top of the page with the failure C8-excluded-sizes, as PNG."""
    browser = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if browser is None:
        return None
    image = page.with_name("report.png")
    flags = ["--headless", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,980"]
    subprocess.run(
        [
            browser,
            *flags,
            "--no-sandbox",
            f"--screenshot={image}",
            f"{page.as_uri()}#text=C8-excluded-sizes",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    return image.read_bytes()


def main() -> None:
    """Draw both, and write them beside this file."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        printed = run(folder)
        image = photographed(folder / "report.html")
    (DOCS / "run.svg").write_text(drawn(shortened(printed)), encoding="utf-8")
    if image is None:
        print("report.png is as it was: there is no Chromium here")
    else:
        (DOCS / "report.png").write_bytes(image)


if __name__ == "__main__":
    main()
