"""`wavemae vendor check` and `diff`: whatever can happen to a copy is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavemae.__main__ import main
from wavemae.vendor import releases as witness
from wavemae.vendor.judge import Kind, judge
from wavemae.vendor.releases import Damaged, Release, installed, releases

COPY = installed().vendored
TEXT = installed().text
CODE = "return total / max(x.shape[0], 1)"

# What was done to a copy, the kind, and words that the answer must hold.
EDITS: dict[str, tuple[str, Kind, list[str]]] = {
    "nothing": (COPY, Kind.RELEASE, ["unchanged"]),
    "no header": (TEXT, Kind.RELEASE, ["unchanged; without a header"]),
    "comments above": (f"# ours\n\n{COPY}", Kind.RELEASE, ["below comments of your own"]),
    "CR LF": (COPY.replace("\n", "\r\n"), Kind.LINE_ENDS, ["end with CR LF", "text eol=lf"]),
    "CR": (COPY.replace("\n", "\r"), Kind.LINE_ENDS, ["end with CR"]),
    "no last line end": (COPY[:-1], Kind.LINE_ENDS, ["last line has no end"]),
    "blank lines below": (f"{COPY}\n\n", Kind.LINE_ENDS, ["blank lines"]),
    "byte order mark": (f"\ufeff{COPY}", Kind.LINE_ENDS, ["byte order mark"]),
    "reformatted": (COPY.replace('"""', "'''").replace("(1, ", "( 1,"), Kind.FORMATTED, []),
    "indented docstring": (COPY.replace("    Args:", "      Args:"), Kind.DOCUMENTED, []),
    "trailing spaces": (COPY.replace("):\n", "):  \n"), Kind.FORMATTED, []),
    "a comment": (COPY.replace("# Selecting", "# Choosing"), Kind.DOCUMENTED, ["comments differ"]),
    "a docstring": (
        COPY.replace("Mean of squared errors", "The mean of squared errors"),
        Kind.DOCUMENTED,
        ["only the docstring differs: masked_mse\n"],
    ),
    "the module's docstring": (
        f"import torch\n{TEXT.partition('import torch')[2]}",
        Kind.MODIFIED,
        ["the module's docstring", "code differs: the imports"],
    ),
    "licence": (COPY.replace(": MIT", ": GPL"), Kind.HEADER, ["a header that was edited"]),
    "hash": (COPY.replace(witness.sha256(TEXT), "0" * 64), Kind.HEADER, []),
    "marker": (COPY.replace("# ---- ", "# --- "), Kind.HEADER, ["a header that was edited"]),
    "true comments above": (
        f"# vendored from wavemae {installed().version}\n# SPDX-License-Identifier: MIT\n{TEXT}",
        Kind.RELEASE,
        ["without a header; below comments of your own"],
    ),
    "another licence above": (
        f"# SPDX-License-Identifier: GPL-3.0-only\n{COPY}",
        Kind.HEADER,
        ["says that the licence is GPL-3.0-only; it is MIT"],
    ),
    "another licence above no header": (
        f"#SPDX-License-Identifier:Apache-2.0\n{TEXT}",
        Kind.HEADER,
        ["says that the licence is Apache-2.0; it is MIT"],
    ),
    "another release above": (f"# vendored from wavemae 99.0\n{COPY}", Kind.UNKNOWN, ["99.0"]),
    "another release above no header": (
        f" # vendored from wavemae 99.0\n{TEXT}",
        Kind.UNKNOWN,
        ["99.0"],
    ),
    "every line of the header": (
        installed().header.replace("# ", "#  ").replace("MIT", "GPL") + TEXT,
        Kind.HEADER,
        ["says that the licence is GPL; it is MIT"],
    ),
    "code behind a CR": (
        f"# ours\rimport os\n{COPY}",
        Kind.MODIFIED,
        ["stands in it, unchanged, in lines 20 to", "with other code around it"],
    ),
    "code behind a CR in the header": (
        COPY.replace(": MIT\n", ": MIT\rimport os\n"),
        Kind.MODIFIED,
        ["stands in it, unchanged"],
    ),
    "CR LF above": (f"# ours\r\n{COPY}", Kind.LINE_ENDS, ["end with CR LF"]),
    "encoding": (f"# coding: latin-1\n{COPY}", Kind.HEADER, ["a header that was edited"]),
    "header twice": (installed().header + COPY, Kind.HEADER, []),
    "newer": (
        COPY.replace(f"wavemae {installed().version}", "wavemae 99.0"),
        Kind.UNKNOWN,
        ["99.0"],
    ),
    "code": (
        COPY.replace(CODE, "return total / x.shape[0]"),
        Kind.MODIFIED,
        ["code differs: _reduce_squared_error\n", "vendor diff"],
    ),
    "a constant": (
        COPY.replace(', "batch_mean"]', "]", 1),
        Kind.MODIFIED,
        ["code differs: Reduction"],
    ),
    "a default": (
        COPY.replace('Reduction = "mean"', 'Reduction = "sum"'),
        Kind.MODIFIED,
        ["code differs: masked_mse\n"],
    ),
    "another order": (
        COPY.replace("_REDUCTIONS = get_args(Reduction)\n", "").replace(
            "Reduction = Lit", "_REDUCTIONS = get_args(Reduction)\nReduction = Lit"
        ),
        Kind.MODIFIED,
        ["code differs: the same parts stand in another order\n"],
    ),
    "gone": (
        COPY.replace("    _check_arguments(x_recon, x, mask, reduction)\n", "").partition(
            "def _check_arguments"
        )[0],
        Kind.MODIFIED,
        ["code differs: _reduce_squared_error\n", "missing: _check_arguments\n"],
    ),
    "renamed": (
        COPY.replace("masked_mse", "spectral_loss"),
        Kind.MODIFIED,
        ["renamed: masked_mse to spectral_loss\n"],
    ),
    "code below": (f"{COPY}\nloss = masked_mse\n", Kind.MODIFIED, ["stands in it, unchanged"]),
    "overridden below": (
        f"{COPY}\n\ndef masked_mse(x_recon, x, mask):\n    return 0\n",
        Kind.MODIFIED,
        ["with other code around it"],
    ),
    "control Z": (f"{COPY}\x1a", Kind.MODIFIED, ["with other code around it"]),
    "code above": (f"import os\n{TEXT}", Kind.MODIFIED, ["stands in it, unchanged, in lines 2 to"]),
    "code between": (
        f"{installed().header}import os\n{TEXT}",
        Kind.MODIFIED,
        ["stands in it, unchanged"],
    ),
    "in a larger file": (
        f"import os\n\n{TEXT.partition('_VALUE_DTYPES')[2]}",
        Kind.MODIFIED,
        ["not valid Python"],
    ),
    "no longer Python": (
        COPY.replace("def masked_mse(", "def ("),
        Kind.MODIFIED,
        ["not valid Python"],
    ),
    "one function of it": (
        "import torch\n\ndef refuse" + TEXT.partition("def _check_arguments")[2],
        Kind.MODIFIED,
        ["renamed: _check_arguments to refuse\n", "masked_mse"],
    ),
    "other code": (
        "def masked_mse(x_recon, x, mask):\n    return (x_recon - x)[mask].square().mean()\n",
        Kind.FOREIGN,
        ["not ours", "python -m wavemae.properties"],
    ),
    "names from elsewhere": (
        "from .losses import masked_mse as mse, masked_sse\n",
        Kind.FOREIGN,
        ["it imports masked_mse and masked_sse from .losses: the file of that is to be checked\n"],
    ),
    "no code": ("What is vendored here: nothing.\n", Kind.FOREIGN, ["not ours"]),
    "names nested deeply": (
        f"x{'.y' * 900} = 1\n{TEXT}",
        Kind.MODIFIED,
        ["stands in it, unchanged"],
    ),
    "nested deeply": ("x = " + "1 + " * 20_000 + "1\n", Kind.FOREIGN, ["not ours"]),
}


def write(path: Path, text: str) -> Path:
    """The file with exactly these characters."""
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize("edit", EDITS)
def test_edit_is_told(edit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its kind, the words for it, and exit code 0 for a release's text only."""
    text, kind, words = EDITS[edit]
    assert judge(text).kind is kind
    path = write(tmp_path / "any_name.py", text)
    assert main(["vendor", "check", str(path)]) == (0 if kind is Kind.RELEASE else 1)
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: ")
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("edit", EDITS)
def test_diff_ends_like_diff(edit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 and nothing printed for a release; 1 and something for whatever else."""
    text, kind, _ = EDITS[edit]
    path = write(tmp_path / "losses.py", text)
    code = main(["vendor", "diff", str(path)])
    assert (code, bool(capsys.readouterr().out)) == (
        (0, False) if kind is Kind.RELEASE else (1, True)
    )


def test_diff_shows_the_edit_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line taken out, one put in, from the release to the copy; a header is no difference."""
    edited = "return total / x.shape[0]"
    for whole in (COPY, TEXT):
        path = write(tmp_path / "losses.py", whole.replace(CODE, edited))
        main(["vendor", "diff", str(path)])
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == [f"--- wavemae {installed().version}", f"+++ {path}"]
        changed = [line for line in lines[2:] if line[0] in "+-"]
        assert [line[0] + line[1:].strip() for line in changed] == [f"-{CODE}", f"+{edited}"]


@pytest.fixture
def three_releases(monkeypatch: pytest.MonkeyPatch) -> tuple[Release, ...]:
    """A list in which the installed release has another text than the two before it."""
    old = Release("0.0.1", TEXT.replace("NaN", "nan"), "", ("The first text.",))
    current = Release(installed().version, TEXT, installed().header, ("Says NaN.", "And Inf."))
    known = (old, Release("0.0.2", old.text, "# ---- wavemae 0.0.2\n", ()), current)
    for module in ("releases", "judge", "words"):
        monkeypatch.setattr(f"wavemae.vendor.{module}.releases", lambda: known)
    return known


def test_older_release_is_told(
    three_releases: tuple[Release, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, its versions, what the changelog says of later ones, and how to get there."""
    old, other, _ = three_releases
    for whole in (old.text, other.vendored):
        path = write(tmp_path / "losses.py", whole)
        assert main(["vendor", "check", str(path)]) == 0
        first, *below = capsys.readouterr().out.splitlines()
        assert "the text of releases 0.0.1 and 0.0.2, unchanged" in first
        assert first.endswith(f"older than the installed {installed().version}")
        version = installed().version
        assert below[:2] == [f"  {version}: Says NaN.", f"  {version}: And Inf."]
        assert "wavemae vendor update" in below[2]


def test_nearest_release_is_told(three_releases: tuple[Release, ...]) -> None:
    """Edited, an old text is compared with the old release, whether or not a header names it."""
    old, other, current = three_releases
    assert judge(old.text.replace(CODE, "return total")).release in (old, other)
    assert judge(other.vendored.replace(CODE, "return total")).release in (old, other)
    assert judge(current.text.replace(CODE, "return total")).release == current


def test_lying_header_is_told(three_releases: tuple[Release, ...]) -> None:
    """The header of one release over the text of another is neither."""
    old, _, current = three_releases
    found = judge(current.header + old.text)
    assert found.kind is Kind.HEADER
    assert found.versions == ("0.0.1", "0.0.2")
    assert found.notes == [
        f"the header says {current.version}; the text is that of 0.0.1 and 0.0.2"
    ]


def test_unusable_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and on stderr a sentence that names the file and says why."""
    (tmp_path / "link.py").symlink_to(tmp_path / "nowhere.py")
    os.mkfifo(tmp_path / "pipe.py")
    files = {
        "absent.py": (None, "does not exist"),
        "link.py": (None, "is a symbolic link to a file that does not exist"),
        ".": (None, "is a folder; name the file in it"),
        "pipe.py": (None, "is not a regular file"),
        "empty.py": (b"", "is empty"),
        "latin.py": (COPY.encode().replace(b"mask", b"m\xe4sk", 1), "is not UTF-8: byte"),
        "wide.py": (COPY.encode("utf-16"), "is not UTF-8: byte 0 is 0xff"),
        "null.py": (COPY.encode() + b"\0", f"is no text: byte {len(COPY)} is null"),
        "huge.py": (b"#" * (1 << 20) + b"\n", "has 1048577 bytes; a copy has about"),
        "n" * 300: (None, "cannot be read: File name too long"),
        "empty.py/losses.py": (None, "cannot be read: Not a directory"),
    }
    for name, (content, why) in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        for action in ("check", "diff", "update"):
            assert main(["vendor", action, str(tmp_path / name)]) == 2
            assert f"{tmp_path / name}: {why}" in capsys.readouterr().err


def test_worst_file_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several files: each gets its line, and the exit code is the highest."""
    good = str(write(tmp_path / "good.py", COPY))
    edited = str(write(tmp_path / "edited.py", COPY.replace(CODE, "return total")))
    assert main(["vendor", "check", good, good]) == 0
    assert main(["vendor", "check", good, edited, good]) == 1
    assert main(["vendor", "check", str(tmp_path / "absent.py"), edited, good]) == 2
    assert capsys.readouterr().out.count("good.py: the text of") == 5


def test_link_to_a_copy_is_followed(tmp_path: Path) -> None:
    """What is checked is what Python would read."""
    write(tmp_path / "losses.py", COPY)
    (tmp_path / "link.py").symlink_to("losses.py")
    assert main(["vendor", "check", str(tmp_path / "link.py")]) == 0


def test_damaged_witness_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text of the installed package that is not the one of its index decides nothing."""
    copied = tmp_path / "texts"
    copied.mkdir()
    for file in (Path(witness.__file__).parent / "texts").iterdir():
        (copied / file.name).write_bytes(file.read_bytes().replace(b".square()", b".abs()"))
    monkeypatch.setattr(witness, "files", lambda package: tmp_path)
    releases.cache_clear()
    try:
        with pytest.raises(Damaged, match=r"0\.1\.0 has another SHA-256"):
            releases()
        assert main(["vendor", "check", str(write(tmp_path / "losses.py", COPY))]) == 2
        assert "install wavemae again" in capsys.readouterr().err
    finally:
        releases.cache_clear()


ALONE = """
import sys, socket
socket.socket = None  # whoever wanted a network would now fail
sys.modules["torch"] = None  # so would whoever imported torch
from wavemae.__main__ import main
codes = [main(["vendor", *action.split()]) for action in sys.argv[1:]]
print(codes, sorted({"numpy", "pytest", "hypothesis"} & sys.modules.keys()))
"""


def test_needs_neither_torch_nor_network(tmp_path: Path) -> None:
    """All four, in a process in which neither can be had."""
    actions = ["add a.py", "check a.py", "diff a.py", "update a.py", "add a.py"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *actions],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 0, 0] []"


def test_verify_runs_the_suite(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On each file that could be read, in another process, whose exit code counts."""
    ran: list[list[str]] = []

    def suite(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command[1:])
        return subprocess.CompletedProcess(command, 1 if "edited" in command[3] else 0)

    monkeypatch.setattr("wavemae.vendor.command.subprocess.run", suite)
    good = write(tmp_path / "good.py", COPY)
    edited = write(tmp_path / "edited.py", f"# ours\n{COPY}")
    assert main(["vendor", "check", "--verify", str(good)]) == 0
    assert main(["vendor", "check", "--verify", str(good), str(edited)]) == 1
    assert main(["vendor", "check", "--verify", str(tmp_path / "absent.py")]) == 2
    assert ran == [
        ["-m", "wavemae.properties", str(path), "--profile", "quick"]
        for path in (good, good, edited)
    ]
    monkeypatch.setattr("wavemae.vendor.command._SUITE_NEEDS", ("torch", "no_such_module"))
    assert main(["vendor", "check", "--verify", str(good)]) == 2
    assert 'needs no_such_module: pip install "wavemae[properties]"' in capsys.readouterr().err
    assert len(ran) == 3
