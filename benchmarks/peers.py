"""Losses that others published, called as ours are: `(x_recon, x, mask, *, reduction)`.

An adapter changes names, order of arguments and mask convention, nothing else. A peer that is a
package is imported; formulas that projects write inline are written out, with their source. Most
know fewer reductions than three, and refuse the others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Peer:
    """One peer: its name, where it is from, and how to get it (ImportError where it is missing)."""

    name: str
    source: str
    load: Callable[[], Loss]


def _chemomae() -> Loss:
    from chemomae.models.losses import masked_mse

    loss: Loss = masked_mse
    return loss


def _pypots() -> Loss:
    """`calc_mse` from its file: importing the package would import transformers and all else."""
    package = importlib.util.find_spec("pypots")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'pypots'")
    file = Path(package.submodule_search_locations[0]) / "nn" / "functional" / "error.py"
    spec = importlib.util.spec_from_file_location("pypots_error", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"pypots has no {file}")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def calc_mse(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
        _offers(reduction, "mean")
        value: Tensor = module.calc_mse(x_recon, x, mask)
        return value

    return calc_mse


def mse_loss_weight(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The mask as weight: Σ w d² ÷ Σ w."""
    # torch's own stub lacks `weight`.
    return F.mse_loss(x_recon, x, reduction=reduction, weight=mask)  # type: ignore[call-arg]


def mse_loss_indexed(
    x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Both inputs indexed by the mask, as in VideoMAE and Time-Series-Library."""
    return F.mse_loss(x_recon[mask], x[mask], reduction=reduction)


def torch_masked(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """The masked reductions of torch itself, of the squared difference."""
    _offers(reduction, "mean", "sum")
    reduce = torch.masked.mean if reduction == "mean" else torch.masked.sum
    value: Tensor = reduce((x_recon - x).square(), mask=mask)
    return value


def mae_formula(x_recon: Tensor, x: Tensor, mask: Tensor, *, reduction: str = "mean") -> Tensor:
    """Σ d² m ÷ Σ m, as in MAE and what follows it, without the mean over a patch."""
    _offers(reduction, "mean", "sum")
    total = ((x_recon - x) ** 2 * mask).sum()
    return total / mask.sum() if reduction == "mean" else total


def _offers(reduction: str, *offered: str) -> None:
    if reduction not in offered:
        raise ValueError(f"this peer offers reduction {' and '.join(offered)}, got {reduction!r}")


PEERS = (
    Peer("chemomae", "chemomae 0.2.4, chemomae.models.losses.masked_mse", _chemomae),
    Peer("PyPOTS calc_mse", "pypots 1.5, pypots.nn.functional.error.calc_mse", _pypots),
    Peer("F.mse_loss, weight", "torch.nn.functional.mse_loss(weight=)", lambda: mse_loss_weight),
    Peer("F.mse_loss, indexed", "VideoMAE, Time-Series-Library", lambda: mse_loss_indexed),
    Peer("torch.masked", "torch.masked.mean", lambda: torch_masked),
    Peer("MAE formula", "facebookresearch/mae, models_mae.py, forward_loss", lambda: mae_formula),
)
