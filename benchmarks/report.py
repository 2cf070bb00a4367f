"""From the JSON of a run to docs/benchmarks.md and its pictures.

Run alone, `python benchmarks/report.py bench.json FOLDER`, it draws an earlier run again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

PHASES = ("forward", "forward + backward")
WIDE = 0.1  # an IQR beyond this share of the median is remarked on
WRONG = 0.01  # so is a value or gradient further off than this

_METHOD = f"""## How it is measured

- One row is one implementation on one device, dtype, size (B×L), mask and phase. *forward*: nothing
  requires a gradient, as in evaluation; *forward + backward*: `x_recon` does, as in training. The
  reduction is `"mean"`, which is the one that all peers have.
- The **floor** reads every input byte once and writes every gradient byte once, by library calls on
  the same tensors taken as 64-bit integers (`benchmarks/floor.py`). forward: the sums of `x_recon`,
  of `x` and of `mask`. forward + backward: `x_recon` − `x`, written to fresh memory, and the sum of
  `mask`. GB/s are those bytes ÷ the time taken: of the traffic that is needed, not of
  the traffic that was caused.
- Masks: *blocks* hides three in four blocks of 16 in each row, as in MAE; *Bernoulli* each position
  with p = ½; *full*; *empty*.
- In every round each implementation is timed once, in an order drawn anew, so that drift hits all
  alike; pytest-benchmark is handed the samples. A sample is the mean of as many calls as fill 2 ms.
  The inputs rotate: sets of them that exceed 256 MiB together take turns, at most 64; sets of less
  than 4 MiB may therefore stay in a cache, for the floor as well (column *cache* below).
- Shown are the median and, as spread, the interquartile range (IQR) in percent of it. Beyond
  {WIDE:.0%} a row is marked *wide*: do not build on it. A value or, in the second phase, a gradient
  that is more than {WRONG:.0%} off is marked *wrong*.
- On a GPU, times are those between two CUDA events, synchronised before and after.
- Memory: the most that torch's allocator had given out at any moment of one call, beyond the
  inputs; the gradient counts (profiler with `profile_memory` on the CPU, `max_memory_allocated` on
  a GPU).
- The gate, `tox run -e bench-gate`, compares the fastest rounds in place of medians, on one thread:
  what else a machine does can only add to a time. It fails where a ratio to the floor or to the
  best peer is more than 1.5 times the one in `benchmarks/recorded_ratios.json`, three times in a
  row, and prints how far each moved.
- *compiled* is `torch.compile(fullgraph=True, dynamic=False)`. Compilation comes before the rounds
  and has a table of its own.
"""


@dataclass(frozen=True)
class Row:
    """One implementation on one workload, from the JSON; seconds are of one call."""

    implementation: str
    device: str
    dtype: str
    size: str
    elements: int
    mask: str
    phase: str
    cold: bool
    input_bytes: int
    times_floor: float
    gb_per_second: float
    elements_per_second: float
    extra_bytes: int
    compile_seconds: float | None
    relative_error: float | None
    min: float
    median: float
    iqr: float
    rounds: int

    @property
    def remarks(self) -> list[str]:
        """What to know before believing the row."""
        found = [f"wide: IQR {self.iqr / self.median:.0%}"] if self.iqr > WIDE * self.median else []
        if self.relative_error is not None and not self.relative_error <= WRONG:
            found.append(
                "wrong: "
                + (
                    "not a number"
                    if math.isnan(self.relative_error)
                    else f"off by {self.relative_error:.2g}"
                )
            )
        return found


def write(run: dict[str, Any], folder: Path) -> None:
    """The page and the pictures of a run into a folder."""
    rows = [
        Row(
            **entry["extra_info"],
            **{key: entry["stats"][key] for key in ("min", "median", "iqr", "rounds")},
        )
        for entry in run["benchmarks"]
        if "implementation" in entry["extra_info"]
    ]
    devices = list(dict.fromkeys(row.device for row in rows))
    parts = [_head(run, rows), _METHOD, _compared(run)]
    for device in devices:
        over_sizes = [
            row
            for row in rows
            if (row.device, row.dtype, row.mask) == (device, "float32", "blocks")
        ]
        largest = max(row.elements for row in over_sizes)
        middle = [row for row in rows if row.device == device]
        pictures = {
            f"benchmarks-{device}-throughput.svg": _throughput(over_sizes),
            f"benchmarks-{device}-memory.svg": _memory(
                [row for row in over_sizes if row.elements == largest]
            ),
        }
        for name, figure in pictures.items():
            figure.savefig(folder / name, metadata={"Date": None})
        parts += [
            f"## {device}: over sizes\n\nfloat32, blocks.\n\n![Elements per second over size]"
            f"(benchmarks-{device}-throughput.svg)\n",
            *(_pivot(over_sizes, phase, "size") for phase in PHASES),
            _fit(over_sizes),
            *_other_columns(middle),
            f"## {device}: memory\n\n![Extra bytes per element](benchmarks-{device}-memory.svg)\n",
            _compile(over_sizes),
        ]
    parts += [_suite(run), _not_measured(run), _all(rows)]
    (folder / "benchmarks.md").write_text("\n".join(part for part in parts if part))


def _head(run: dict[str, Any], rows: list[Row]) -> str:
    machine = run["machine_info"]["wavemae"]
    wide = sum(1 for row in rows if row.iqr > WIDE * row.median)
    return f"""# Benchmarks

Written by `{run["command"].removesuffix(" -- ")}` on {run["datetime"][:10]}, and not edited.

| | |
| --- | --- |
| processor | {machine["processor"]}, {machine["cores"]} cores, torch uses {machine["threads"]} |
| GPU | {machine["cuda"] or "none: the cells of CUDA are not measured"} |
| software | torch {machine["torch"]}, Python {machine["python"]}, {machine["system"]} |
| rows | {len(rows)}, of which {wide} with a wide spread (IQR beyond {WIDE:.0%} of the median) |
"""


def _compared(run: dict[str, Any]) -> str:
    lines = ([name, f"`{source}`"] for name, source in run["sources"].items())
    return "## What is compared\n\n" + _table(["implementation", "from"], lines)


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    cells = [list(head)]
    cells += [["---"] * len(cells[0]), *(list(line) for line in lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.implementation for row in rows))


def _cell(row: Row | None) -> str:
    if row is None:
        return "not measured"
    marks = "".join(f" *{remark.partition(':')[0]}*" for remark in row.remarks)
    return f"{row.times_floor:.1f} ({row.median / row.elements * 1e9:.3g} ns){marks}"


def _pivot(rows: list[Row], phase: str, column: str) -> str:
    """Implementation × one other thing: multiple of the floor, and nanoseconds per element."""
    chosen = [row for row in rows if row.phase == phase]
    columns = list(dict.fromkeys(getattr(row, column) for row in chosen))
    found = {(row.implementation, getattr(row, column)): row for row in chosen}
    lines = ([name, *(_cell(found.get((name, c))) for c in columns)] for name in _names(chosen))
    head = f"**{phase}**: multiple of the floor (nanoseconds per element).\n\n"
    return head + _table([column, *columns], lines)


def _other_columns(rows: list[Row]) -> list[str]:
    """The pivots over dtypes and over masks, at the size that most of them have."""
    parts = []
    for column, fixed in (("dtype", ("mask", "blocks")), ("mask", ("dtype", "float32"))):
        found = [row for row in rows if getattr(row, fixed[0]) == fixed[1]]
        kinds = {row.size: set[str]() for row in found}
        for row in found:
            kinds[row.size].add(getattr(row, column))
        size = max(kinds, key=lambda s: len(kinds[s]))
        found = [row for row in found if row.size == size]
        if len(kinds[size]) > 1:
            parts.append(f"## {rows[0].device}: over {column}s\n\n{size}, {fixed[1]}.\n")
            parts += [_pivot(found, phase, column) for phase in PHASES]
    return parts


def _fit(rows: list[Row]) -> str:
    """Time = a + b·n by least squares of relative deviations, and how the largest size fits it."""
    largest = max(rows, key=lambda row: row.elements)
    lines = []
    for phase in PHASES:
        slopes: dict[str, float] = {}
        for name in _names(rows):
            own = [row for row in rows if (row.implementation, row.phase) == (name, phase)]
            n = np.array([row.elements for row in own], dtype=float)
            t = np.array([row.min for row in own])
            small = n < largest.elements
            if small.sum() < 3:
                continue
            b, a = np.polyfit(n[small], t[small], 1, w=1 / t[small])
            slopes[name] = b
            ratio = (a + b * n) / t
            beyond = [f"{1 / r:.1f}" for r in ratio[~small]]
            times = f"{b / slopes['floor']:.1f}" if "floor" in slopes else ""
            worst = f"{np.abs(ratio[small] - 1).max():.0%}"
            lines.append([phase, name, f"{a * 1e6:.1f}", f"{b * 1e9:.3f}", times, worst, *beyond])
    head = ["phase", "implementation", "a, µs", "b, ns", "b ÷ floor's b", "worst deviation"]
    head.append(f"{largest.size}: time ÷ line")
    return f"""## {rows[0].device}: how cost grows with size

Time of one call = a + b·n for n elements, fitted to the fastest rounds of all sizes but the
largest, each deviation taken relative to its time. The last column tells how many times longer the
largest size takes than this line says. On the CPU the system hands out fresh pages for each large
tensor, and they cost more than the arithmetic.

{_table(head, lines)}"""


def _compile(rows: list[Row]) -> str:
    compiled = [row for row in rows if row.compile_seconds is not None]
    if not compiled:
        return ""
    lines = (
        [row.implementation, row.phase, row.size, f"{row.compile_seconds:.1f}"] for row in compiled
    )
    return f"""## {rows[0].device}: time to compile

The first call, in seconds, with an empty cache, after the process has compiled something once.

{_table(["implementation", "phase", "size", "s"], lines)}"""


def _suite(run: dict[str, Any]) -> str:
    entries = [entry for entry in run["benchmarks"] if "suite" in entry["extra_info"]]
    if not entries:
        return ""
    lines = []
    for entry in entries:
        stats = entry["stats"]
        what = f"{stats['rounds']} mutants" if stats["rounds"] > 1 else "1 run"
        lines.append(
            [entry["extra_info"]["suite"], what, f"{stats['median']:.2f}", f"{stats['max']:.2f}"]
        )
    return "## The suite's own speed\n\n" + _table(["what", "of", "median, s", "longest, s"], lines)


def _not_measured(run: dict[str, Any]) -> str:
    cells: dict[tuple[str, str], list[str]] = {}
    for key, reason in run["not_measured"].items():
        workload, _, name = key.partition(": ")
        cells.setdefault((name or "every implementation", reason), []).append(workload)
    lines = []
    for (name, reason), where in cells.items():
        places = ", ".join(where) if len(where) <= 4 else f"{len(where)} cells of {_common(where)}"
        lines.append([name, places, reason])
    if not lines:
        return ""
    return "## Not measured\n\n" + _table(["implementation", "where", "why"], lines)


def _common(workloads: list[str]) -> str:
    devices = sorted({workload.partition("-")[0] for workload in workloads})
    return " and ".join(devices)


def _all(rows: list[Row]) -> str:
    head = ["device", "dtype", "size", "mask", "phase", "implementation", "× floor"]
    head += [
        "fastest, µs",
        "median, µs",
        "IQR",
        "GB/s",
        "10⁹ elements/s",
        "extra bytes per element",
        "cache",
        "remarks",
    ]
    lines = (
        (
            *(row.device, row.dtype, row.size, row.mask, row.phase, row.implementation),
            f"{row.times_floor:.2f}",
            f"{row.min * 1e6:.1f}",
            f"{row.median * 1e6:.1f}",
            f"{row.iqr / row.median:.0%}",
            f"{row.gb_per_second:.2f}",
            f"{row.elements_per_second / 1e9:.3f}",
            f"{row.extra_bytes / row.elements:.2f}",
            "cold" if row.cold else "warm",
            "; ".join(row.remarks),
        )
        for row in rows
    )
    table = _table(head, lines)
    return f"## All rows\n\n<details><summary>{len(rows)} rows</summary>\n\n{table}\n</details>\n"


def _style(name: str, names: list[str]) -> dict[str, Any]:
    if name == "floor":
        return {"color": "black", "linestyle": "--", "marker": ""}
    compiled = name.endswith(", compiled")
    bases = [other for other in names if other != "floor" and not other.endswith(", compiled")]
    base = name.removesuffix(", compiled")
    color = f"C{bases.index(base)}" if base in bases else "grey"
    return {"color": color, "linestyle": ":" if compiled else "-", "marker": "o", "markersize": 3}


def _throughput(rows: list[Row]) -> Figure:
    """Elements per second over size, both axes logarithmic, one panel for each phase."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    names = _names(rows)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, phase in zip(panels, PHASES, strict=True):
        for name in names:
            own = [row for row in rows if (row.implementation, row.phase) == (name, phase)]
            panel.loglog(
                [row.elements for row in own],
                [row.elements_per_second for row in own],
                label=name,
                **_style(name, names),
            )
        panel.set(title=phase, xlabel="elements, B × L")
        panel.grid(visible=True, color="0.9")
    panels[0].set_ylabel("elements per second")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    return figure


def _memory(rows: list[Row]) -> Figure:
    """Bars: peak extra bytes per element of each implementation, one panel for each phase."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    names = _names(rows)[::-1]
    panels = figure.subplots(1, 2, sharey=True)
    for panel, phase in zip(panels, PHASES, strict=True):
        held = {
            row.implementation: row.extra_bytes / row.elements for row in rows if row.phase == phase
        }
        bars = panel.barh(names, [held.get(name, 0.0) for name in names], color="C0")
        panel.bar_label(
            bars, [f"{held[n]:.1f}" if n in held else "not measured" for n in names], padding=2
        )
        panel.set(title=f"{phase}, {rows[0].size}", xlabel="extra bytes per element at the peak")
        panel.margins(x=0.15)
    return figure


mpl.rcParams.update({"svg.hashsalt": "wavemae", "svg.fonttype": "none"})

if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
