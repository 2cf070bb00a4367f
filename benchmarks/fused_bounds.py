"""What bounds `wavemae.fused` without its native part: operators' prices, and 2 MiB of scratch.

Three tables, float32 and block masks throughout:

- small inputs: operators called and nodes of autograd, ours beside the definition's and a peer's;
- one block: what each of the five operators on it costs while everything is in the cache;
- scratch: larger blocks pay the fixed prices less often. The times of the definition, of the
  compiled MAE formula and of the floor in relation to ours, from the fastest of interleaved rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer

from wavemae import fused
from wavemae.fused import cpu, internals

from .implementations import DEFINITION, IMPLEMENTATIONS, Implementation
from .measure import fastest, measure
from .workloads import PHASES, Workload

PEER = "MAE formula, compiled"
MEBIBYTES = (1, 2, 4, 8, 16)
SIZES = ((32, 64), (1024, 256), (1024, 2048), (8192, 2048))


class _Counting(TorchDispatchMode):
    """Counts the operators that reach a device; views do not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += not func.is_view
        return func(*args, **(kwargs or {}))


def nodes(loss: Tensor) -> int:
    """How many nodes of autograd stand behind a tensor, without those that fill a leaf's grad."""
    found, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if (
            node is not None
            and node not in found
            and node.name() != "torch::autograd::AccumulateGrad"
        ):
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(found)


def print_small() -> None:
    """Calls and nodes at 32 × 64."""
    for implementation in (with_scratch(2), DEFINITION, IMPLEMENTATIONS["MAE formula"]):
        step = {phase: implementation.step(phase) for phase in PHASES}
        ((x_recon, x, mask), *_) = Workload("cpu", "float32", 32, 64, "blocks", PHASES[1]).inputs()
        with torch.no_grad(), _Counting() as forward:
            step["forward"](x_recon, x, mask)
        with _Counting() as both:
            step["forward + backward"](x_recon, x, mask)
        behind = nodes(implementation.load()(x_recon, x, mask, reduction="mean"))
        print(
            f"   32x64    {implementation.name:12} operators: forward {forward.calls},"
            f" with backward {both.calls}; nodes of autograd: {behind}"
        )


def print_operators() -> None:
    """Nanoseconds per element of each operator on a block as large as 2 MiB allow."""
    size = (cpu._MOST_BYTES - 2**17) // 2 // 4
    (inputs, *_) = Workload("cpu", "float32", size // 2048, 2048, "blocks", "forward").inputs()
    a, b, mask = (t.reshape(-1) for t in inputs)
    squares, count = torch.empty(size), torch.empty((), dtype=torch.int32)
    bits, widened = squares.view(torch.int32), torch.empty(size, dtype=torch.int32)
    rows, sums = squares.view(-1, cpu._ROW), torch.empty(size // cpu._ROW)
    operators: dict[str, Callable[[], object]] = {
        "squared differences": lambda: internals.mse_loss(a, b, cpu._NO_REDUCTION, out=squares),
        "mask widened": lambda: widened.copy_(mask),
        "squares selected": lambda: bits.mul_(widened),
        "rows added": lambda: torch.sum(rows, 1, out=sums),
        "masked counted": lambda: torch.sum(widened, 0, dtype=torch.int32, out=count),
    }
    for name, operator in operators.items():
        timer = Timer(
            "operator()", globals={"operator": operator}, num_threads=torch.get_num_threads()
        )
        print(
            f"   {size} elements  {name:20} {timer.blocked_autorange().median / size * 1e9:.3f} ns"
        )


def with_scratch(mebibytes: int) -> Implementation:
    """Fused, in blocks of as much scratch."""

    def loss(x_recon: Tensor, x: Tensor, mask: Tensor, **given: Any) -> Tensor:
        cpu._MOST_BYTES = mebibytes * 2**20
        return fused._loss(x_recon, x, mask, given["reduction"], lambda device: cpu)

    return Implementation(f"{mebibytes} MiB", "wavemae.fused.masked_mse", lambda: loss, kind="ours")


def print_scratch(seconds: float) -> None:
    """A line per size, phase and amount."""
    ours = {implementation.name: implementation for implementation in map(with_scratch, MEBIBYTES)}
    for (batch, length), phase in ((size, phase) for size in SIZES for phase in PHASES):
        workload = Workload("cpu", "float32", batch, length, "blocks", phase)
        others = {name: IMPLEMENTATIONS[name] for name in (PEER, DEFINITION.name)}
        timings = measure(workload, {**ours, **others}, seconds)
        found = fastest(timings)
        for name in ours:
            print(
                f"{batch:5}x{length}  {phase:18}  scratch {name:>6}"
                f"  definition / ours {found[DEFINITION.name] / found[name]:.2f}"
                f"  peer / ours {found[PEER] / found[name]:.2f}"
                f"  ours / floor {found[name] / found['floor']:.2f}"
                f"  extra {timings[name].extra_bytes / 2**20:.2f} MiB",
                flush=True,
            )


def main() -> None:
    """The three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each size and phase")
    seconds = parser.parse_args().seconds
    print_small()
    print_operators()
    print_scratch(seconds)


if __name__ == "__main__":
    main()
