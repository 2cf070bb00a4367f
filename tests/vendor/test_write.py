"""`wavemae vendor add` and `update`: whole or not at all, and never over what somebody wrote."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wavemae.__main__ import main
from wavemae.vendor import files
from wavemae.vendor.releases import Release, installed

COPY = installed().vendored
EDITED = COPY.replace("clamp(min=1)", "clamp(min=2)")


def write(path: Path, text: str) -> Path:
    """The file with exactly these characters."""
    path.write_bytes(text.encode("utf-8"))
    return path


def held(folder: Path) -> dict[str, str]:
    """Every file of the folder, temporary ones included, and what it holds."""
    return {path.name: path.read_bytes().decode("utf-8") for path in folder.iterdir()}


def no_links(source: Path, target: Path) -> None:
    """What `os.link` does on some network file systems."""
    raise OSError("no hard links here")


def test_add_writes_the_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Header and text, in a file with the mode that any new file gets."""
    path = tmp_path / "any name.py"
    assert main(["vendor", "add", str(path)]) == 0
    assert held(tmp_path) == {"any name.py": COPY}
    other = write(tmp_path / "other", "")
    assert path.stat().st_mode == other.stat().st_mode
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: written, the text of release {installed().version}\n")
    assert f"wavemae vendor check '{path}'" in said


def test_add_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands there stays: exit code 0 if it is the copy, else 1, or 2 if it cannot be read."""
    cases = {
        "copy.py": (COPY, 0, "there already"),
        "bare.py": (installed().text, 1, "wavemae vendor update"),
        "edited.py": (EDITED, 1, "wavemae vendor update"),
        "other.py": ("print()\n", 1, "not ours"),
        "empty.py": ("", 2, "is empty"),
    }
    for name, (text, code, words) in cases.items():
        assert main(["vendor", "add", str(write(tmp_path / name, text))]) == code
        assert words in "".join(capsys.readouterr())
    assert held(tmp_path) == {name: text for name, (text, _, _) in cases.items()}
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.py").symlink_to("nowhere.py")
    for name, words in {
        "folder": f"name the file in it, for example {tmp_path / 'folder' / 'losses.py'}",
        "link.py": "is a symbolic link to a file that does not exist",
        "no/such/losses.py": f"there is no folder {tmp_path / 'no' / 'such'}; make it first",
        "empty.py/losses.py": f"there is no folder {tmp_path / 'empty.py'}; make it first",
        "n" * 250 + ".py": "cannot be written: File name too long",
    }.items():
        assert main(["vendor", "add", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "nowhere.py").exists()
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_add_loses_no_race(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears while the copy is written is left as it is."""
    path = tmp_path / "losses.py"
    link = os.link

    def late(source: Path, target: Path) -> None:
        write(path, "theirs")
        if not links:
            raise OSError("no hard links here")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert main(["vendor", "add", str(path)]) == 1
    assert held(tmp_path) == {"losses.py": "theirs"}


def test_add_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems."""
    monkeypatch.setattr(os, "link", no_links)
    assert main(["vendor", "add", str(tmp_path / "losses.py")]) == 0
    assert held(tmp_path) == {"losses.py": COPY}


@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_failure_leaves_all_as_it_was(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk, or an interruption, at any step: no half file, no temporary one."""
    path = tmp_path / "losses.py"
    arguments = ["vendor", "add", str(path)]
    before = {}
    if step == "replace":
        write(path, installed().text)
        arguments, before = ["vendor", "update", str(path)], {"losses.py": installed().text}

    def fail(error: BaseException) -> Callable[..., None]:
        def failing(*_: object) -> None:
            raise error

        return failing

    if step != "link":  # that one has its own way out
        monkeypatch.setattr(os, step, fail(OSError(28, "No space left on device")))
        assert main(arguments) == 2
        assert "cannot be written: No space left on device" in capsys.readouterr().err
        assert held(tmp_path) == before
    monkeypatch.setattr(os, step, fail(KeyboardInterrupt()))
    assert main(arguments) == 130
    assert held(tmp_path) == before


# Does it in one folder after another, in a child that dies at the n-th line of files.py, or of what
# is called from there, for n = 1, 2 and so on, until one lives; prints how many died.
KILLED = """
import functools, os, signal, sys
from pathlib import Path
from wavemae.__main__ import main
from wavemae.vendor import command, files
from wavemae.vendor.releases import releases

def refuse(*_):
    raise OSError("no hard links here")

def count(frame, event, _):
    global left
    ours = frame.f_code.co_filename == files.__file__
    if not ours and (frame.f_back is None or frame.f_back.f_trace is None):
        return None
    if event == "line":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return count

links, root, before, *arguments = sys.argv[1:]
if links == "no-links":
    os.link = refuse
releases()
command.judge = functools.cache(command.judge)  # not anew in every child
if before:
    command.judge(before)
killed = 0
while True:
    path = Path(root, str(killed), "losses.py")
    path.parent.mkdir()
    if before:
        path.write_bytes(before.encode())
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        left = killed
        sys.settrace(count)
        os._exit(main(["vendor", *arguments, str(path)]))
    _, status = os.waitpid(child, 0)
    if status != signal.SIGKILL:
        break
    killed += 1
print(killed, os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("links", ["links", "no-links"])
@pytest.mark.parametrize("action", ["add", "update --force"])
def test_killed_at_any_line(action: str, links: str, tmp_path: Path) -> None:
    """The file is the old one or the new one, an edit is in some file, and the way on is free."""
    before = None if action == "add" else EDITED
    done = subprocess.run(
        [sys.executable, "-c", KILLED, links, str(tmp_path), before or "", *action.split()],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    killed, code = map(int, done.stdout.split())
    assert (code, killed > 15) == (0, True)
    seen: dict[tuple[str | None, ...], Path] = {}
    for folder in tmp_path.iterdir():
        found = {name: text for name, text in held(folder).items() if not name.startswith(".")}
        assert set(found) <= {"losses.py", "losses.py.orig"}
        assert found.get("losses.py") in (before, COPY)
        assert found.get("losses.py.orig") in (None, before)
        assert before is None or before in found.values()
        seen[found.get("losses.py"), found.get("losses.py.orig")] = folder
    assert {copy for copy, _ in seen} == {before, COPY}
    for folder in seen.values():
        assert main(["vendor", *action.split(), str(folder / "losses.py")]) == 0
        assert (folder / "losses.py").read_bytes().decode("utf-8") == COPY
        assert before is None or before in held(folder).values()


def test_force_that_fails_leaves_no_second_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link, or a failure at the last step: nothing lies beside the file afterwards."""
    real = write(tmp_path / "real.py", EDITED)
    (tmp_path / "link.py").symlink_to("real.py")
    assert main(["vendor", "update", "--force", str(tmp_path / "link.py")]) == 2
    assert set(held(tmp_path)) == {"real.py", "link.py"}
    (tmp_path / "link.py").unlink()

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["vendor", "update", "--force", str(real)]) == 2
    assert held(tmp_path) == {"real.py": EDITED}
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
def test_force_keeps_the_mode_of_both(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file and the .orig have the old one's, here more narrow than that of a new file."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = write(tmp_path / "losses.py", EDITED)
    path.chmod(0o600)
    assert main(["vendor", "update", "--force", str(path)]) == 0
    assert held(tmp_path) == {"losses.py": COPY, "losses.py.orig": EDITED}
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_owner_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the system allows: asked for before the mode, and a refusal is no failure."""
    asked: list[tuple[int, int]] = []

    def chown(file: Path, user: int, group: int) -> None:
        assert stat.S_IMODE(file.stat().st_mode) != 0o640  # it would take bits of a mode away
        asked.append((user, group))
        raise PermissionError

    monkeypatch.setattr(os, "chown", chown)
    path = write(tmp_path / "losses.py", installed().text)
    path.chmod(0o640)
    state = path.stat()
    assert main(["vendor", "update", str(path)]) == 0
    assert asked == [(-1, state.st_gid), (state.st_uid, -1)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the system's words; root, who may write anywhere, is somebody else here."""
    write(tmp_path / "losses.py", installed().text)
    write(tmp_path / "edited.py", EDITED)
    before = held(tmp_path)
    monkeypatch.chdir(tmp_path)  # the folders above are open to their owner only
    tmp_path.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        codes = [
            main(["vendor", *action.split()])
            for action in ("add new.py", "update losses.py", "update --force edited.py")
        ]
    finally:
        if root:
            os.seteuid(0)
        tmp_path.chmod(0o755)
    assert codes == [2, 2, 2]
    assert capsys.readouterr().err.count("cannot be written: Permission denied") == 3
    assert held(tmp_path) == before


def test_edit_that_is_saved_at_the_last_moment_is_in_the_orig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written into the old file after it was judged for the last time: it is still that file."""
    path = write(tmp_path / "losses.py", EDITED)
    replace = os.replace

    def late(source: Path, target: Path) -> None:
        write(path, f"{EDITED}# late\n")
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    assert main(["vendor", "update", "--force", str(path)]) == 0
    assert held(tmp_path) == {"losses.py": COPY, "losses.py.orig": f"{EDITED}# late\n"}


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Release:
    """A release before the installed one, with another text."""
    old = Release("0.0.1", installed().text.replace("NaN", "nan"), "", ())
    known = (old, Release(installed().version, installed().text, installed().header, ("NaN.",)))
    for module in ("releases", "judge", "words"):
        monkeypatch.setattr(f"wavemae.vendor.{module}.releases", lambda: known)
    return old


def test_update_replaces_what_has_no_edits(
    older: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of whichever release, header and line ends; comments above and the mode stay."""
    path = tmp_path / "losses.py"
    texts = [older.text, installed().text, COPY.replace("\n", "\r\n"), f"\ufeff{COPY}", COPY + "\n"]
    for text in texts:
        for above in ("", "# ours\n"):
            whole = f"{above}{text}" if text[0] != "\ufeff" else f"\ufeff{above}{text[1:]}"
            write(path, whole)
            path.chmod(0o640)
            assert main(["vendor", "update", str(path)]) == 0
            assert held(tmp_path) == {"losses.py": above + COPY}
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
    said = capsys.readouterr().out
    assert said.count(f"now the text of release {installed().version}; it was") == 10
    assert said.count(f"{installed().version}: NaN.") == 2
    assert main(["vendor", "update", str(path)]) == 0
    assert "already the text of" in capsys.readouterr().out


def test_update_leaves_edits_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the edits as a diff, and how to replace it all the same."""
    path = write(tmp_path / "losses.py", EDITED)
    assert main(["vendor", "update", str(path)]) == 1
    said = capsys.readouterr().out
    assert "+        return total / mask.sum().clamp(min=2)\n" in said
    assert f"wavemae vendor update --force {path}" in said
    assert held(tmp_path) == {"losses.py": EDITED}


def test_force_keeps_the_edits_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As .orig, then .orig.1 and so on; none is ever written over."""
    path = tmp_path / "losses.py"
    for number in range(3):
        write(path, f"{EDITED}# edit {number}\n")
        assert main(["vendor", "update", "--force", str(path)]) == 0
        name = f"losses.py.orig.{number}".removesuffix(".0")
        assert f"what it was: {tmp_path / name}\n" in capsys.readouterr().out
    (tmp_path / "losses.py.orig.3").symlink_to("nowhere")
    write(path, EDITED)
    assert main(["vendor", "update", "--force", str(path)]) == 0
    (tmp_path / "losses.py.orig.3").unlink()
    assert held(tmp_path) == {
        "losses.py": COPY,
        "losses.py.orig": f"{EDITED}# edit 0\n",
        "losses.py.orig.1": f"{EDITED}# edit 1\n",
        "losses.py.orig.2": f"{EDITED}# edit 2\n",
        "losses.py.orig.4": EDITED,
    }


def test_force_is_not_for_what_is_not_ours(tmp_path: Path) -> None:
    """Most likely another file was meant."""
    path = write(tmp_path / "losses.py", "def masked_mse(): ...\n")
    assert main(["vendor", "update", "--force", str(path)]) == 1
    assert held(tmp_path) == {"losses.py": "def masked_mse(): ...\n"}


def test_update_sees_an_edit_that_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between judging and replacing somebody saved: nothing is replaced."""
    path = write(tmp_path / "losses.py", installed().text)
    replace = files.replace

    def late(*arguments: Path | str, **more: str) -> None:
        write(path, EDITED)
        replace(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "replace", late)
    assert main(["vendor", "update", str(path)]) == 1
    assert "was changed meanwhile; nothing was replaced" in capsys.readouterr().out
    assert held(tmp_path) == {"losses.py": EDITED}


def test_update_follows_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rename would put a file in the link's place; the file behind it is named instead."""
    real = write(tmp_path / "real.py", installed().text)
    (tmp_path / "link.py").symlink_to(real)
    assert main(["vendor", "update", str(tmp_path / "link.py")]) == 2
    assert f"is a symbolic link; name the file itself, {real}" in capsys.readouterr().err
    assert (tmp_path / "link.py").is_symlink()
    assert real.read_text(encoding="utf-8") == installed().text
