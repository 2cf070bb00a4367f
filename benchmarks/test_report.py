"""The page and the pictures say what a run's JSON says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import report

MACHINE = {"processor": "P", "cores": 2, "threads": 1, "cuda": None, "fused": "F"}


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
        "kind": {"fused": "ours", "theirs": "peer"}.get(name, "bound"),
        "cold": True,
        "input_bytes": 9 * elements,
        "times_floor": seconds / (2e-6 + 1e-9 * elements),
        "gb_per_second": 9e-9 * elements / seconds,
        "elements_per_second": elements / seconds,
        "extra_bytes": 4 * elements,
        "compile_seconds": None,
        "relative_error": 0.0,
        "others": None,
    }
    stats = {"min": seconds, "median": seconds, "iqr": 0.0, "rounds": 7}
    return {
        "extra_info": {key: changed.get(key, value) for key, value in row.items()},
        "stats": {key: changed.get(key, value) for key, value in stats.items()},
    }


def run() -> dict[str, Any]:
    """Ours takes three times the floor; six times, widely spread and wrong, at the largest size.

    The peer takes twelve times the floor, one pass half of it, and a half three times as long.
    """
    entries = []
    for phase in report.PHASES:
        for elements in (10**3, 10**4, 10**5, 10**6):
            floor = 2e-6 + 1e-9 * elements
            large = elements == 10**6
            changed = {"iqr": floor, "relative_error": float("nan"), "others": 0.3} if large else {}
            entries.append(entry("floor", phase, elements, floor))
            ours = floor * (6 if large else 3)
            entries.append(entry("fused", phase, elements, ours, **changed))
            entries.append(entry("theirs", phase, elements, 12 * floor))
            if phase != "forward":
                entries.append(entry("one pass", phase, elements, floor / 2))
        entries.append(entry("fused", phase, 10**4, 9 * (2e-6 + 1e-5), dtype="float16"))
    return {
        "benchmarks": entries,
        "machine_info": {"wavemae": {**MACHINE, "torch": "T", "python": "3", "system": "S"}},
        "datetime": "2026-01-02T03:04:05",
        "command": "tox run -e bench -- ",
        "sources": {"fused": "pkg.ours"},
        "not_measured": {"cuda-a": "no device", "cpu-b: theirs": "ImportError: x"},
    }


def test_page_says_what_was_measured(tmp_path: Path) -> None:
    """Multiple of the floor, marks, the fit, and what was not measured."""
    report.write(run(), tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "Written by `tox run -e bench` on 2026-01-02" in page
    assert "30; 2 wide (IQR beyond 10% of the median), 2 disturbed" in page
    assert (
        "| fused | 3.0 (9 ns) | 3.0 (3.6 ns) | 3.0 (3.06 ns) | 6.0 (6.01 ns) *wide* *disturbed*"
        " *wrong* |" in page
    )
    assert "| forward | fused | 6.0 | 3.000 | 3.0 | 0% | 2.0 |" in page
    assert "| theirs | cpu-b | ImportError: x |" in page
    assert "| every implementation | cuda-a | no device |" in page
    assert "wide: IQR 17%; disturbed: others used 30% of a processor; wrong: not a number |" in page


def test_page_begins_with_its_conclusion(tmp_path: Path) -> None:
    """Five lines, the picture, and the figures that the lines sum up."""
    report.write(run(), tmp_path)
    page = (tmp_path / "benchmarks.md").read_text().splitlines()
    assert page[0] == "# Benchmarks"
    assert page[2:9] == [
        "- On cpu, float32, block masks, from 1×1000 to 1×1000000, fused takes 3.00 to 6.00 times "
        "the floor forward and 3.00 to 6.00 times the floor forward + backward.",
        "- The best peer takes 2.00 to 4.00 times as long, forward and 2.00 to 4.00 times as long, "
        "forward + backward.",
        "- Its time ÷ that for float32 and block masks: float16 3.00 forward; "
        "float16 3.00 forward + backward.",
        "- From 2^9.97 to 2^19.9 elements one takes 3.06 to 9.00 ns forward and 3.06 to 9.00 ns "
        "forward + backward.",
        "- CUDA is not measured: no device.",
        "",
        "![Time ÷ floor over size, each line with its name](benchmarks-cpu-floor.svg)",
    ]
    assert "| cpu | 1×1000 | forward + backward | 9.0 | 3.00 | 6.00 | 4.00 | theirs |  |" in page
    assert "| cpu | 1×1000 | forward | 9.0 | 3.00 | as floor | 4.00 | theirs |  |" in page


def test_report_is_the_same_every_time(tmp_path: Path) -> None:
    """Bytes do not change where numbers do not, pictures included."""
    written = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        report.write(run(), folder)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
    assert len(written[0]) == 4
