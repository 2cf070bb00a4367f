"""From the JSON of a run to docs/benchmarks.md and its pictures.

Run alone, `python benchmarks/report.py bench.json FOLDER`, it draws an earlier run again.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

CALM = 0.1  # as in calm.py, which this script does not import: it runs alone, too
PHASES = ("forward", "forward + backward")
OURS, ONE_PASS = "fused", "one pass"  # of implementations: what the page is about, and a bound
BOUNDS = ("floor", ONE_PASS)
WIDE = 0.1  # an IQR beyond this share of the median is remarked on
WRONG = 0.01  # so is a value or gradient further off than this

_METHOD = f"""## How it is measured

- One row is one implementation on one device, dtype, size (B×L), mask and phase. *forward*: nothing
  requires a gradient, as in evaluation; *forward + backward*: `x_recon` does, as in training. The
  reduction is `"mean"`, which is the one that all peers have.
- The **floor** is what two calls have to move, by library calls on the same tensors taken as
  64-bit integers (`benchmarks/floor.py`). forward: every input byte is read, as the sums of
  `x_recon`, of `x` and of `mask`. forward + backward: that, and then every input byte is read again
  and every gradient byte written: `x_recon` − `x`, to fresh memory, and the sum of `mask`. The loss
  has to be known before the upstream gradient is, and the count before the gradient, so that a loss
  which keeps nothing large from forward to backward cannot do with less. *{ONE_PASS}* is only the
  latter half of this: the inputs read once and the gradient written, as if loss and gradient were
  one call. A loss that keeps a gradient in advance, and holds its memory all the while, could come
  near it. GB/s are the floor's bytes ÷ the time taken.
- Masks: *blocks* hides three in four blocks of 16 in each row, as in MAE; *Bernoulli* each position
  with p = ½; *full*; *empty*.
- In every round each implementation is timed once, in an order drawn anew, so that drift hits all
  alike; pytest-benchmark is handed the samples. A sample is the mean of as many calls as fill 2 ms.
  The inputs rotate: sets of them that exceed 256 MiB together take turns, at most 64; sets of less
  than 4 MiB may therefore stay in a cache, for the floor as well (column *cache* below).
- Shown are the median and, as spread, the interquartile range (IQR) in percent of it. Beyond
  {WIDE:.0%} a row is marked *wide*: do not build on it. Where other processes used more than
  {CALM:.0%} of a processor the rounds were repeated, twice at most, and the calmest are shown; a
  row is marked *disturbed* if that did not help. `--priority` holds other processes up while rounds
  last. A value or, in the second phase, a gradient that is more than {WRONG:.0%} off is marked
  *wrong*.
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
    kind: str
    cold: bool
    input_bytes: int
    times_floor: float
    gb_per_second: float
    elements_per_second: float
    extra_bytes: int
    compile_seconds: float | None
    relative_error: float | None
    others: float | None
    min: float
    median: float
    iqr: float
    rounds: int

    @property
    def remarks(self) -> list[str]:
        """What to know before believing the row."""
        found = [f"wide: IQR {self.iqr / self.median:.0%}"] if self.iqr > WIDE * self.median else []
        if self.others is not None and self.others > CALM:
            found.append(f"disturbed: others used {self.others:.0%} of a processor")
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
    parts = [_head(run, rows), _METHOD, _compared(run)]
    for device in dict.fromkeys(row.device for row in rows):
        parts += _device([row for row in rows if row.device == device], folder)
    parts += [_suite(run), _not_measured(run), _all(rows)]
    (folder / "benchmarks.md").write_text("\n".join(part for part in parts if part))


def _device(rows: list[Row], folder: Path) -> list[str]:
    """The sections about one device, and its pictures."""
    device = rows[0].device
    over_sizes = [row for row in rows if (row.dtype, row.mask) == ("float32", "blocks")]
    everyone = _with_most_implementations(over_sizes)
    largest = max(everyone, key=lambda row: row.elements).size
    pictures = {
        "floor": _times_floor(over_sizes),
        "growth": _growth(over_sizes),
        "memory": _memory([row for row in everyone if row.size == largest]),
    }
    for name, figure in pictures.items():
        figure.savefig(folder / f"benchmarks-{device}-{name}.svg", metadata={"Date": None})
    return [
        f"## {device}: over sizes\n\nfloat32, blocks.\n",
        *(_pivot(everyone, phase, "size") for phase in PHASES),
        _fit(everyone),
        _pivot_of_growth(over_sizes),
        *_other_columns(rows),
        f"## {device}: memory\n\n![Extra bytes per element](benchmarks-{device}-memory.svg)\n",
        _compile(everyone),
    ]


def _with_most_implementations(rows: list[Row]) -> list[Row]:
    """Those of the sizes on which most implementations were timed."""
    names = {row.size: set[str]() for row in rows}
    for row in rows:
        names[row.size].add(row.implementation)
    most = max(map(len, names.values()))
    return [row for row in rows if len(names[row.size]) == most]


def _head(run: dict[str, Any], rows: list[Row]) -> str:
    machine = run["machine_info"]["wavemae"]
    marked = [row.remarks for row in rows]
    wide, disturbed = (
        sum(any(remark.startswith(mark) for remark in remarks) for remarks in marked)
        for mark in ("wide", "disturbed")
    )
    picture = "".join(
        f"\n![Time ÷ floor over size, each line with its name](benchmarks-{device}-floor.svg)\n"
        for device in dict.fromkeys(row.device for row in rows)
    )
    return f"""# Benchmarks

{_conclusion(run, rows)}{picture}
{_in_figures(rows)}
Written by `{run["command"].removesuffix(" -- ")}` on {run["datetime"][:10]}, and not edited.

| | |
| --- | --- |
| processor | {machine["processor"]}, {machine["cores"]} cores, torch uses {machine["threads"]} |
| GPU | {machine["cuda"] or "none: the cells of CUDA are not measured"} |
| software | torch {machine["torch"]}, Python {machine["python"]}, {machine["system"]} |
| fused | {machine["fused"]} |
| rows | {len(rows)}; {wide} wide (IQR beyond {WIDE:.0%} of the median), {disturbed} disturbed |
"""


def _conclusion(run: dict[str, Any], rows: list[Row]) -> str:
    """What the figures say of fused, one line each, on the device that was measured first."""
    device = rows[0].device
    chosen = _with_most_implementations(
        [r for r in rows if (r.device, r.dtype, r.mask) == (device, "float32", "blocks")]
    )
    sizes = sorted({row.elements: row.size for row in chosen}.items())
    lines = [
        f"On {device}, float32, block masks, from {sizes[0][1]} to {sizes[-1][1]}, fused takes "
        + " and ".join(f"{_span(_against('floor', chosen, p))} times the floor {p}" for p in PHASES)
        + ".",
        "The best peer takes "
        + " and ".join(f"{_span(_ahead(chosen, phase))} times as long, {phase}" for phase in PHASES)
        + ".",
        *_alike(rows, device),
        _linear(rows, device),
    ]
    missing = sorted({why for key, why in run["not_measured"].items() if key.startswith("cuda")})
    if missing:
        lines.append(f"CUDA is not measured: {'; '.join(missing)}.")
    return "".join(f"- {line}\n" for line in lines)


def _span(values: Iterable[float]) -> str:
    """The least and the greatest of some figures."""
    found = [*values]
    low, high = f"{min(found):.2f}", f"{max(found):.2f}"
    return low if low == high else f"{low} to {high}"


def _found(rows: list[Row], phase: str, name: str) -> dict[str, Row]:
    return {row.size: row for row in rows if (row.phase, row.implementation) == (phase, name)}


def _against(name: str, rows: list[Row], phase: str) -> list[float]:
    """Times of fused ÷ that of another, of each size."""
    others = _found(rows, phase, name)
    return [row.median / others[size].median for size, row in _found(rows, phase, OURS).items()]


def _best_peer(rows: list[Row], phase: str, size: str) -> Row:
    """The fastest that is neither ours nor a bound."""
    own = {row for row in rows if (row.phase, row.size) == (phase, size)}
    return min((row for row in own if row.kind == "peer"), key=lambda row: row.median)


def _ahead(rows: list[Row], phase: str) -> list[float]:
    return [
        _best_peer(rows, phase, size).median / row.median
        for size, row in _found(rows, phase, OURS).items()
    ]


def _alike(rows: list[Row], device: str) -> list[str]:
    """How much dtype and mask matter to fused: a line, if they were varied."""
    own = [row for row in rows if (row.device, row.implementation) == (device, OURS)]
    parts = []
    for phase in PHASES:
        known = {(row.size, row.dtype, row.mask): row.median for row in own if row.phase == phase}
        others = (
            (size, what, seconds / known[size, "float32", "blocks"])
            for (size, dtype, mask), seconds in known.items()
            for what in (mask if dtype == "float32" else dtype if mask == "blocks" else None,)
            if what not in ("blocks", None) and (size, "float32", "blocks") in known
        )
        ratios: dict[str, list[float]] = {}
        for _, what, ratio in others:
            ratios.setdefault(str(what), []).append(ratio)
        each = (f"{what} {statistics.median(found):.2f}" for what, found in ratios.items())
        if ratios:
            parts.append(f"{', '.join(each)} {phase}")
    return [f"Its time ÷ that for float32 and block masks: {'; '.join(parts)}."] if parts else []


def _linear(rows: list[Row], device: str) -> str:
    """Within what its time per element stays, over the thousandfold up to the largest size."""
    own = [row for row in rows if (row.device, row.implementation) == (device, OURS)]
    own = [row for row in own if (row.dtype, row.mask) == ("float32", "blocks")]
    largest = max(row.elements for row in own)
    own = [row for row in own if row.elements >= largest / 2**10]
    parts = (
        f"{_span(row.median / row.elements * 1e9 for row in own if row.phase == phase)} ns {phase}"
        for phase in PHASES
    )
    first = min(row.elements for row in own)
    return (
        f"From 2^{math.log2(first):.3g} to 2^{math.log2(largest):.3g} elements one takes "
        f"{' and '.join(parts)}."
    )


def _in_figures(rows: list[Row]) -> str:
    """Fused beside floor, one pass and best peer, of each size on which all were timed."""
    over_sizes = [row for row in rows if (row.dtype, row.mask) == ("float32", "blocks")]
    lines = []
    for device in dict.fromkeys(row.device for row in rows):
        everyone = _with_most_implementations([r for r in over_sizes if r.device == device])
        for phase in PHASES:
            one_pass = _found(everyone, phase, ONE_PASS)
            floors = _found(everyone, phase, "floor")
            compiled = _found(everyone, phase, "definition, compiled")
            for size, row in sorted(
                _found(everyone, phase, OURS).items(), key=lambda item: item[1].elements
            ):
                peer = _best_peer(everyone, phase, size)
                bound = one_pass.get(size)
                lines.append(
                    [
                        *(device, size, phase, f"{row.median * 1e6:.1f}"),
                        f"{row.median / floors[size].median:.2f}",
                        f"{row.median / bound.median:.2f}" if bound else "as floor",
                        f"{peer.median / row.median:.2f}",
                        peer.implementation,
                        f"{compiled[size].median / row.median:.2f}" if compiled else "",
                    ]
                )
    head = ["device", "size", "phase", "fused, µs", "÷ floor", f"÷ {ONE_PASS}", "best peer ÷ fused"]
    return _table([*head, "best peer", "definition, compiled ÷ fused"], lines)


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
tensor, and they can cost more than the arithmetic.

{_table(head, lines)}"""


def _of_growth(rows: list[Row]) -> list[Row]:
    """Those of the implementations that were timed on the most sizes."""
    sizes: dict[str, set[str]] = {}
    for row in rows:
        sizes.setdefault(row.implementation, set()).add(row.size)
    most = len(sizes[OURS])
    return [row for row in rows if len(sizes[row.implementation]) == most]


def _pivot_of_growth(rows: list[Row]) -> str:
    """Nanoseconds per element of the few that were timed on more sizes than the rest."""
    grown = _of_growth(rows)
    sizes = dict(sorted({row.elements: row.size for row in grown}.items()))
    lines = []
    for phase in PHASES:
        for name in _names(grown):
            own = {
                n: row for n, size in sizes.items() if (row := _found(grown, phase, name).get(size))
            }
            if own:
                each = (f"{own[n].median / n * 1e9:.3g}" if n in own else "" for n in sizes)
                lines.append([phase, name, *each])
    head = ["phase", "implementation", *(f"2^{math.log2(n):.3g}" for n in sizes)]
    return f"""Nanoseconds per element, from 2^{math.log2(min(sizes)):.3g} elements to \
2^{math.log2(max(sizes)):.3g}:

{_table(head, lines)}
![Time of one call over size](benchmarks-{rows[0].device}-growth.svg)
"""


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
    if name in BOUNDS:
        dashes = "--" if name == "floor" else "-."
        return {"color": "black", "linestyle": dashes, "marker": "", "linewidth": 1}
    compiled = name.endswith(", compiled")
    bases = [other for other in names if other not in BOUNDS and not other.endswith(", compiled")]
    base = name.removesuffix(", compiled")
    color = f"C{bases.index(base)}" if base in bases else "grey"
    return {"color": color, "linestyle": ":" if compiled else "-", "marker": "o", "markersize": 3}


def _lines(rows: list[Row], phase: str) -> dict[str, tuple[list[Row], dict[str, Any]]]:
    """What to draw of each implementation: its rows over size, and how."""
    names = _names(rows)
    return {
        name: (
            sorted(_found(rows, phase, name).values(), key=lambda row: row.elements),
            _style(name, names),
        )
        for name in names
        if _found(rows, phase, name)
    }


def _times_floor(rows: list[Row]) -> Figure:
    """Time ÷ floor over size, both axes logarithmic, one panel for each phase, each line named."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    for panel, phase in zip(figure.subplots(1, 2, sharey=True), PHASES, strict=True):
        ends = []
        for name, (own, style) in _lines(rows, phase).items():
            panel.loglog([r.elements for r in own], [r.times_floor for r in own], **style)
            height = math.log10(own[-1].times_floor)
            ends.append((height, own[-1].elements, name, style["color"]))
        place = -math.inf
        for height, n, name, color in sorted(ends):  # names that would meet are moved apart
            place = max(place + 0.055, height)
            panel.annotate(
                name,
                (n, 10**height),
                (max(row.elements for row in rows) * 1.6, 10**place),
                color=color,
                fontsize="small",
                weight="bold" if name == OURS else "normal",
                verticalalignment="center",
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.3},
            )
        panel.set(title=phase, xlabel="elements, B × L")
        panel.set_xlim(right=max(row.elements for row in rows) * 300)
        panel.yaxis.set_major_formatter("{x:g}")
        panel.grid(visible=True, color="0.9")
        panel.set_ylabel("time ÷ floor")
    return figure


def _growth(rows: list[Row]) -> Figure:
    """Time of one call over size, both axes logarithmic, with a line of slope 1 for comparison."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    grown = _of_growth(rows)
    for panel, phase in zip(panels, PHASES, strict=True):
        for name, (own, style) in _lines(grown, phase).items():
            panel.loglog(
                [r.elements for r in own], [r.median * 1e6 for r in own], label=name, **style
            )
        largest = max(_found(grown, phase, OURS).values(), key=lambda row: row.elements)
        n = [row.elements for row in _lines(grown, phase)[OURS][0]]
        each = largest.median / largest.elements * 1e6
        panel.loglog(n, [each * k for k in n], color="0.8", label="slope 1", zorder=0)
        panel.set(title=phase, xlabel="elements, B × L")
        panel.grid(visible=True, color="0.9")
    panels[0].set_ylabel("time of one call, µs")
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
