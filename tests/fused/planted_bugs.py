"""Mistakes planted in the C code of wavemae.fused: `python tests/fused/planted_bugs.py`.

Each is compiled into a module of its own, which then takes the place of the installed one: for some
thousand calls of tests/fused/fuzzing.py, and, if those pass, for the property that is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "wavemae" / "fused" / "csrc"
CALLS = 4000
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-ffp-contract=off",
    "-fno-trapping-math",
    "-fPIC",
    "-pthread",
    "-shared",
]


@dataclass(frozen=True)
class Bug:
    """A mistake: what it is, where, which text becomes which, and who finds it."""

    name: str
    file: str
    text: str
    becomes: str
    found_by: str = "fuzzing"


BUGS = (
    Bug(
        "a mask byte of 2 is no True",
        "avx2.h",
        "__m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)m));",
        "__m256i wide = _mm256_and_si256(_mm256_set1_epi32(1),"
        " _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)m)));",
    ),
    Bug(
        "mask bytes are added up",
        "real.h",
        "chosen[k] += m[i + k] != 0;",
        "chosen[k] += m[i + k];",
    ),
    Bug(
        "the last group of lanes is taken as whole",
        "avx2.h",
        "groups = n / LANES;",
        "groups = (n + LANES - 1) / LANES;",
    ),
    Bug(
        "a mask with gaps is taken as dense",
        "arrange.c",
        "for (int i = 0; i < VIEWS && p->rows > 1; i++)\n        joined",
        "for (int i = 0; i < MASK && p->rows > 1; i++)\n        joined",
    ),
    Bug(
        "tiles reach beyond the last row",
        "arrange.c",
        "at.height = least(TILE, p->rows - at.row);",
        "at.height = TILE;",
    ),
    Bug(
        "a block runs on past the end of a row",
        "arrange.c",
        "return at->column + at->count <= p->columns || v->row == p->columns * bytes;",
        "return 1;",
    ),
    Bug(
        "rows after the first are read from its middle",
        "arrange.c",
        "column = 0;\n",
        "",
    ),
    Bug(
        "lazy negation is overlooked",
        "real.h",
        "if (!v->negated && TAKES",
        "if (TAKES",
    ),
    Bug(
        "nothing masked divides by nothing",
        "module.c",
        "divisor = total.count > 0 ? total.count : 1;",
        "divisor = total.count;",
    ),
    Bug(
        "for x alone the sign is that of x_recon",
        "module.c",
        "p.views[X] = x_recon;",
        "p.views[X] = p.views[X_RECON], p.views[X_RECON] = x_recon;",
    ),
    Bug(
        "the last part is dropped when it is not full",
        "arrange.c",
        "p->parts = ceil_div(p->blocks, p->blocks_in_part);",
        "p->parts = p->blocks / p->blocks_in_part + (p->blocks < p->blocks_in_part);",
    ),
    Bug(
        "ties of bfloat16 go up",
        "halves.h",
        "(bits + 0x7fff + (bits >> 16 & 1)) >> 16",
        "(bits + 0x8000) >> 16",
    ),
    Bug(
        "our threads leave the last part undone",
        "pool.c",
        "while (job.next < job.parts) {",
        "while (job.next + 1 < job.parts) {",
    ),
    Bug(
        "torch's threads leave the last part undone",
        "pool.c",
        "if (part >= ours->parts) break;",
        "if (part + 1 >= ours->parts) break;",
    ),
    Bug(
        "nobody waits for the other threads",
        "pool.c",
        "while (job.inside > 0) await(&done);",
        "",
    ),
    Bug(
        "a sum beyond the range is infinity less infinity",
        "arrange.c",
        "sum->low = high - high == 0 ? low : 0;",
        "sum->low = low;",
        found_by="C6-overflow",
    ),
    Bug(
        "NaN outside the mask is multiplied by zero",
        "avx2.h",
        "return _mm256_andnot_ps(_mm256_castsi256_ps(outside), values);",
        "return _mm256_mul_ps(values, _mm256_andnot_ps(_mm256_castsi256_ps(outside),"
        " _mm256_set1_ps(1)));",
    ),
)

JUDGE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("wavemae.fused._native", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["wavemae.fused._native"] = module
sys.path.append(sys.argv[3])  # behind the installed package
from wavemae.fused import native
assert native._kernels is module
if sys.argv[2] == "fuzzing":
    from tests.fused.fuzzing import fuzz
    fuzz(int(sys.argv[4]))
else:
    import pytest
    tests = sys.argv[3] + "/tests/fused/test_suite.py"
    chosen = f"native and {sys.argv[2]}"
    sys.exit(pytest.main([tests, "-q", "-k", chosen, "-p", "no:cacheprovider"]))
"""


def build(folder: Path, bug: Bug | None) -> Path:
    """The C code compiled with one bug, or as it is."""
    sources = folder / "csrc"
    shutil.copytree(SOURCES, sources)
    if bug:
        file = sources / bug.file
        file.write_text(file.read_text().replace(bug.text, bug.becomes))
    module = folder / "_native.so"
    include = sysconfig.get_path("include")
    command = [os.environ.get("CC", "cc"), *FLAGS, "-DPy_LIMITED_API=0x030A0000", f"-I{include}"]
    files = [str(file) for file in sorted(sources.glob("*.c"))]
    subprocess.run([*command, *files, "-lm", "-o", str(module)], check=True)
    return module


def verdict(bug: Bug | None, judge: str) -> str | None:
    """What the judge says of the code with that bug: its last words, or None if it is content."""
    with tempfile.TemporaryDirectory() as folder:
        module = build(Path(folder), bug)
        command = [sys.executable, "-c", JUDGE, str(module), judge, str(ROOT), str(CALLS)]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            return "does not end"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    return next(
        line for line in reversed(f"{done.stdout}\n{done.stderr}".splitlines()) if line.strip()
    )


def main() -> int:
    """Try every bug; 1 if one lives, or if the code without any is blamed."""
    started = time.perf_counter()
    wrong = 0
    for judge in sorted({bug.found_by for bug in BUGS}):
        found = verdict(None, judge)
        wrong += found is not None
        print(
            f"{'BLAMED' if found else 'passes':8} {'no bug':50} {judge}: {found or ''}", flush=True
        )
    for bug in BUGS:
        found = verdict(bug, bug.found_by)
        wrong += found is None
        words = f"{bug.found_by}: {found or ''}"[:150]
        print(f"{'found' if found else 'LIVES':8} {bug.name:50} {words}", flush=True)
    print(f"{len(BUGS)} bugs, {wrong} verdicts wrong, {time.perf_counter() - started:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
