"""Door 1, before anything runs: what cannot be understood is named, and ends with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from wavemae.properties import PROPERTIES
from wavemae.properties.__main__ import main
from wavemae.properties.doors import catalogue

RIGHT = "from wavemae.models.losses import masked_mse, masked_sse\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a package and some files; torch is not asked for any of this."""
    for name in ("right.py", "notes.txt", "pkg/__init__.py", "pkg/losses.py", "sp ace/lössé.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(RIGHT, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dir.py").mkdir()
    (tmp_path / "arguments").write_text("--profile\nhuge\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


# The command line, and words of the one line that says why not.
REFUSED = {
    "target after a flag": ("-x bad.py", "there is no file 'bad.py'"),
    "target after a value": ("-k C1 -n 0 -o a=b bad.py", "there is no file 'bad.py'"),
    "target after --": ("-- -x.py", "there is no file '-x.py'"),
    "an option after -- is a target": ("-- --profile", "no module and no file '--profile'"),
    "second target": ("right.py bad.py", "there is no file 'bad.py'"),
    "typo in a file": ("pkg/loses.py", "did you mean 'pkg/losses.py'?"),
    "typo in a package": ("wavemea.models", "no module 'wavemea' (asked for by 'wavemea.models')"),
    "typo in a module": ("wavemae.models.lossses", "in the package 'wavemae.models'"),
    "file without .py": ("pkg/losses", "did you mean 'pkg/losses.py'?"),
    "folder": ("pkg/", "'pkg/' is a folder"),
    "folder without __init__.py": ("empty", "'empty' is a folder without an __init__.py"),
    "folder called .py": ("dir.py", "'dir.py' is a folder"),
    "no Python file": ("notes.txt", "'notes.txt' is no Python file"),
    "nothing after the colon": ("right.py:", "'right.py:' needs a module or a file before"),
    "nothing before the colon": (":SUBJECT", "':SUBJECT' needs a module or a file before"),
    "no name after the colon": ("right.py:a-b", "'right.py:a-b' needs"),
    "the same target": ("right.py -x ./right.py", "are the same target, given twice"),
    "the same target by its module": ("pkg.losses pkg/losses.py", "are the same target"),
    "abbreviation": ("--prof quick", "unrecognized arguments: --prof"),
    "unknown option": ("right.py --no-such-option", "unrecognized arguments: --no-such-option"),
    "what the suite turns off": ("--lf", "unrecognized arguments: --lf"),
    "unknown profile": ("--profile huge", "--profile: invalid choice: 'huge'"),
    "seed": ("--seed x", "--seed: invalid int value: 'x'"),
    "contradiction": ("--profile quick --profile deep", "is given as quick and as deep"),
    "contradiction of -k": ("-k C1 -k C2", "-k is given 2 times"),
    "arguments from a file": ("@arguments", "--profile: invalid choice: 'huge'"),
    "no file of arguments": ("@missing", "No such file or directory: 'missing'"),
    "unknown clause": ("--clause C1,C99", "--clause: there is no clause 'C99'"),
    "a property is no clause": ("--clause C4-oracle", "for one property use -k C4-oracle"),
    "--list of a target": ("--list right.py", "--list judges nothing"),
    "--list with a report": ("--list --report-md a", "--list judges nothing"),
    "report in no folder": ("--report-json no/a.json", "'no/a.json' cannot be written: No such"),
    "report over a folder": ("--report-md pkg", "'pkg' cannot be written: Is a directory"),
    "report without a name": ("--report-json=", "a report has an empty name"),
    "two reports in one": ("--report-json a --report-md ./a", "name the same file"),
    "report over a target": ("right.py --report-md ./right.py", "would overwrite a target"),
    "no plugin": ("-p no_such_plugin", 'Error importing plugin "no_such_plugin"'),
    "the suite itself": ("-p no:wavemae.properties.doors.plugin", "what the suite is made of"),
    "-k without a value": ("-k", "-k: expected one argument"),
    "-n of no number": ("-n x right.py", "argument -n/--numprocesses"),
    "--maxfail of no number": ("--maxfail=x", "argument --maxfail"),
    "no configuration": ("-c missing.ini", "missing.ini' not found"),
}


@pytest.mark.parametrize(("line", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(folder: Path, capfd: pytest.CaptureFixture[str], line: str, words: str) -> None:
    """Exit code 2, one plain line that names what is wrong, and not a file is left behind."""
    before = sorted(folder.rglob("*"))
    assert main(line.split()) == 2
    output, error = capfd.readouterr()
    assert output == ""
    assert words in error
    assert error.startswith("wavemae.properties: ")
    assert error.count("\n") == 1
    assert [file for file in sorted(folder.rglob("*")) if "pycache" not in str(file)] == before


@pytest.mark.parametrize("target", ["", " "])
def test_an_empty_target_is_refused(capfd: pytest.CaptureFixture[str], target: str) -> None:
    """A variable that was not set in a script is not the default target."""
    assert main([target]) == 2
    assert "a target is empty" in capfd.readouterr().err


def test_what_stands_in_the_environment_counts(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTEST_ADDOPTS is read as pytest reads it."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "bad.py")
    assert main([]) == 2
    assert "there is no file 'bad.py'" in capfd.readouterr().err


def test_typos_are_answered_before_torch_is_imported(tmp_path: Path) -> None:
    """Nor does `--list` need torch; each takes well under a second."""
    program = (
        "import sys; from wavemae.properties.__main__ import main; "
        "print(main(sys.argv[1:]), 'torch' in sys.modules)"
    )
    for arguments in (["wavemae.models.lossses"], ["--list", "--clause", "C7"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.endswith(f"{0 if '--list' in arguments else 2} False\n"), done.stdout


@pytest.mark.parametrize(("name", "words"), [("hypothesis", "hypothesis"), ("pytest", "pytest")])
def test_missing_extra_says_what_to_install(name: str, words: str) -> None:
    """Without the extra `properties`, one line and no traceback."""
    program = (
        f"import sys; sys.modules[{name!r}] = None; from wavemae.properties.__main__ import main; "
        "sys.exit(main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"wavemae.properties: the suite needs packages that are not installed ({words}): "
        'pip install "wavemae[properties]"\n'
    )


def test_list_is_what_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Id, clause and statement of every property, though the list is made without importing any."""
    assert main(["--list"]) == 0
    listed = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert {row[0]: row[1:] for row in listed} == {
        prop.id: [prop.clause, prop.statement] for prop in PROPERTIES.values()
    }
    assert len(listed) == len(catalogue.entries()) > 90


def test_list_of_clauses_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """C1 is not C10 to C19; commas, or the option again, in either case of the letter."""
    assert main(["--list", "--clause", "C1,c8", "--clause=C12"]) == 0
    clauses = {line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert clauses == {"C1", "C8", "C12"}


def test_a_package_that_makes_up_modules_is_asked(folder: Path) -> None:
    """Only importing such a package can tell, so nothing is refused at once."""
    (folder / "pkg" / "__init__.py").write_text("import sys\nsys.modules['pkg.made'] = sys\n")
    from wavemae.properties import targets

    assert targets.fault("pkg.made") is None
    (folder / "pkg" / "__init__.py").write_text("")
    assert "no module 'made' in the package 'pkg'" in str(targets.fault("pkg.made"))


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="who is root may read anything")
def test_a_file_without_permission_is_refused(folder: Path) -> None:
    """It is there, and says so."""
    from wavemae.properties import targets

    (folder / "right.py").chmod(0)
    assert targets.fault("right.py") == "the file 'right.py' cannot be read"
