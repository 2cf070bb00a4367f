"""The page and the pictures say what a run's JSON says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import report

MACHINE = {"processor": "P", "cores": 2, "threads": 1, "cuda": None}


def entry(name: str, phase: str, elements: int, seconds: float, **changed: Any) -> dict[str, Any]:
    """One benchmark, as pytest-benchmark writes it; the floor takes 1 ns per element and 2 µs."""
    row = {
        "implementation": name,
        "device": "cpu",
        "dtype": "float32",
        "size": f"1×{elements}",
        "elements": elements,
        "mask": "blocks",
        "phase": phase,
        "cold": True,
        "input_bytes": 9 * elements,
        "times_floor": seconds / (2e-6 + 1e-9 * elements),
        "gb_per_second": 9e-9 * elements / seconds,
        "elements_per_second": elements / seconds,
        "extra_bytes": 4 * elements,
        "compile_seconds": None,
        "relative_error": 0.0,
    }
    stats = {"min": seconds, "median": seconds, "iqr": 0.0, "rounds": 7}
    return {
        "extra_info": {key: changed.get(key, value) for key, value in row.items()},
        "stats": {key: changed.get(key, value) for key, value in stats.items()},
    }


def run() -> dict[str, Any]:
    """Ours takes three times the floor; six times, widely spread and wrong, at the largest size."""
    entries = []
    for phase in report.PHASES:
        for elements in (10**3, 10**4, 10**5, 10**6):
            floor = 2e-6 + 1e-9 * elements
            large = elements == 10**6
            changed = {"iqr": floor, "relative_error": float("nan")} if large else {}
            entries.append(entry("floor", phase, elements, floor))
            ours = floor * (6 if large else 3)
            entries.append(entry("ours", phase, elements, ours, **changed))
    return {
        "benchmarks": entries,
        "machine_info": {"wavemae": {**MACHINE, "torch": "T", "python": "3", "system": "S"}},
        "datetime": "2026-01-02T03:04:05",
        "command": "tox run -e bench -- ",
        "sources": {"ours": "pkg.ours"},
        "not_measured": {"cuda-a": "no device", "cpu-b: theirs": "ImportError: x"},
    }


def test_page_says_what_was_measured(tmp_path: Path) -> None:
    """Multiple of the floor, marks, the fit, and what was not measured."""
    report.write(run(), tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "Written by `tox run -e bench` on 2026-01-02" in page
    assert "16, of which 2 with a wide spread" in page
    assert (
        "| ours | 3.0 (9 ns) | 3.0 (3.6 ns) | 3.0 (3.06 ns) | 6.0 (6.01 ns) *wide* *wrong* |"
        in page
    )
    assert "| forward | ours | 6.0 | 3.000 | 3.0 | 0% | 2.0 |" in page
    assert "| theirs | cpu-b | ImportError: x |" in page
    assert "| every implementation | cuda-a | no device |" in page
    assert "wide: IQR 17%; wrong: not a number |" in page


def test_report_is_the_same_every_time(tmp_path: Path) -> None:
    """Bytes do not change where numbers do not, pictures included."""
    written = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        report.write(run(), folder)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
    assert len(written[0]) == 3
