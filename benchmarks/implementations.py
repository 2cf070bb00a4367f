"""What is measured: ours, the peers, and some of both compiled."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Literal

import torch

from wavemae.models import losses

from .peers import PEERS, Loss, Peer
from .workloads import Phase, Step


@dataclass(frozen=True)
class Implementation(Peer):
    """A peer or one of ours, compiled or as it is."""

    kind: Literal["ours", "peer"] = "peer"
    compiled: bool = False

    def step(self, phase: Phase) -> Step:
        """One call of the loss (reduction "mean"), with its backward if the phase has one.

        Raises:
            ImportError: the package it comes from is not installed.
        """
        loss = self.load()
        if self.compiled:
            loss = torch.compile(loss, fullgraph=True, dynamic=False)
        if phase == "forward":
            return lambda x_recon, x, mask: loss(x_recon, x, mask, reduction="mean")
        return lambda x_recon, x, mask: torch.autograd.grad(
            loss(x_recon, x, mask, reduction="mean"), x_recon
        )[0]

    def as_compiled(self) -> Implementation:
        """The same under `torch.compile`, full graph, shapes static."""
        return replace(self, name=f"{self.name}, compiled", compiled=True)


def _fused() -> Loss:
    loss: Loss = importlib.import_module("wavemae.fused").masked_mse
    return loss


DEFINITION = Implementation(
    "definition", "wavemae.models.losses.masked_mse", lambda: losses.masked_mse, kind="ours"
)
FUSED = Implementation("fused", "wavemae.fused.masked_mse", _fused, kind="ours")
_OTHERS = {peer.name: Implementation(peer.name, peer.source, peer.load) for peer in PEERS}

# On how cost grows.
GROWING = (FUSED.name, "MAE formula, compiled")

IMPLEMENTATIONS = {
    implementation.name: implementation
    for implementation in (
        DEFINITION,
        DEFINITION.as_compiled(),
        FUSED,
        FUSED.as_compiled(),
        *_OTHERS.values(),
        _OTHERS["MAE formula"].as_compiled(),
    )
}
