"""Coffee spectra, a masked autoencoder, three losses, four trainings: what the traps do.

    python docs/pretraining.py [--seed N] [--steps N]

trains ChemoMAE (chemomae 0.2.4) on infrared spectra of 60 coffees (they ship with chemotools 0.5.0)
with wavemae's `masked_mse`, with chemomae's, and with the loss of transformers' ViTMAE: on clean
data, with dead detector pixels, in float16, and with a batch in which nothing is hidden. It prints
the table of docs/pretraining.md and draws docs/pretraining.png. A minute on two cores; nothing is
downloaded and no accelerator is used.

`pip install wavemae chemomae==0.2.4 chemotools==0.5.0 transformers matplotlib` is what it needs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from chemomae.models import ChemoMAE
from chemomae.models import losses as chemomae_losses
from torch import Tensor
from tqdm import tqdm
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from wavemae.models.losses import masked_mse

# 1841 channels; 7 neighbours are averaged, which leaves 256 = 16 patches of 16 (and 49 channels).
SEQ_LEN, NEIGHBOURS = 256, 7
N_PATCHES, N_HIDDEN = 16, 10
BATCH, STEPS = 20, 300
EMPTY = 150  # the step that hides nothing, where that is tried
DEAD = (37, 101, 102, 190, 233)  # dead detector pixels: NaN there in every spectrum
SHOWN = 41  # the coffee in the picture
MILLI = 1000.0  # float16 is tried in thousandths of a unit, as in milli-absorbance

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def coffee() -> Tensor:
    """The spectra, shape (60, SEQ_LEN), each and then each channel with mean 0 and deviation 1.

    The first half is the standard normal variate (SNV). It leaves the coffees so alike that always
    guessing their mean spectrum scores 0.0013, and that is all the model then learns. After the
    second half that guess scores 1, and whoever scores less has looked at the visible patches.
    """
    files = importlib.metadata.files("chemotools") or []
    (path,) = (str(file.locate()) for file in files if file.name == "coffee_spectra.csv")
    table = np.loadtxt(path, delimiter=",", skiprows=1)  # the first row numbers the channels
    assert table.shape == (60, 1841)
    used = table[:, : SEQ_LEN * NEIGHBOURS].reshape(len(table), SEQ_LEN, NEIGHBOURS).mean(axis=2)
    for axis in (1, 0):
        used = (used - used.mean(axis, keepdims=True)) / used.std(axis, keepdims=True)
    return torch.from_numpy(used).float()


def small_model(seed: int) -> ChemoMAE:
    """ChemoMAE with two narrow layers, the same for the same seed."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="enable_nested_tensor is True")
        return ChemoMAE(
            seq_len=SEQ_LEN,
            n_patches=N_PATCHES,
            n_mask=N_HIDDEN,
            d_model=32,
            nhead=4,
            num_layers=2,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread: as fast for so small a model, and not ten times slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def vitmae_loss(x_recon: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """The loss in Hugging Face's `ViTMAEForPreTraining.forward`, with what it scores handed to it.

    The image has one row, the patches one pixel. It is the formula of He et al.:
    Σ (difference² · mask) / Σ mask.
    """
    model = SimpleNamespace(config=ViTMAEConfig(patch_size=1, num_channels=1))
    model.patchify = lambda *given, **named: ViTMAEForPreTraining.patchify(model, *given, **named)
    model.decoder = lambda *_, **__: SimpleNamespace(logits=x_recon[:, :, None])
    model.vit = lambda *_, **__: SimpleNamespace(
        mask=mask.to(x.dtype),
        **dict.fromkeys(("last_hidden_state", "ids_restore", "hidden_states", "attentions")),
    )
    image = x[:, None, None, :]
    loss: Tensor = ViTMAEForPreTraining.forward(model, image, interpolate_pos_encoding=True).loss
    return loss


LOSSES: dict[str, Loss] = {
    "wavemae": masked_mse,
    "chemomae": chemomae_losses.masked_mse,
    "ViTMAE": vitmae_loss,
}
CONDITIONS = ("clean data", "dead pixels", "float16", "an empty mask")


@dataclass
class Run:
    """One training: what the loss said at each step, what was true, and how it ended."""

    said: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)  # the same mean, in float64
    broken: str = ""  # what stopped it, in words; empty if nothing did
    model: ChemoMAE | None = None

    @property
    def reached(self) -> float:
        """The true mean of the last 20 steps; guessing the mean spectrum every time scores 1."""
        return sum(self.true[-20:]) / 20

    @property
    def not_finite(self) -> list[float]:
        """What the loss said that was no number."""
        return [value for value in self.said if not math.isfinite(value)]

    def words(self) -> str:
        """A cell of the table."""
        if self.broken:
            return self.broken
        wrong = self.not_finite
        words = f"said {wrong[0]} at {len(wrong)} of {len(self.said)} steps, " if wrong else ""
        return f"{words}reached {self.reached:.2f}"


def train(loss: Loss, condition: str, seed: int, steps: int, progress: Any = None) -> Run:
    """Train one model; stop where a step fails or leaves a parameter that is not finite."""
    spectra, model, run = coffee(), small_model(seed), Run()
    run.model = model
    dead = torch.zeros(SEQ_LEN, dtype=torch.bool)
    if condition == "dead pixels":
        dead[list(DEAD)] = True
        spectra[:, dead] = math.nan
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for number in range(steps):
        x = spectra[torch.randperm(len(spectra), generator=generator)[:BATCH]]
        visible = model.make_visible(BATCH, generator=generator)
        if condition == "an empty mask" and number == EMPTY:
            visible[:] = True
        mask = ~visible & ~dead
        x_recon, _, _ = model(x.nan_to_num(0.0), visible)  # a model cannot read NaN; a loss may
        unit = 1.0
        if condition == "float16":
            x_recon, x, unit = (MILLI * x_recon).half(), (MILLI * x).half(), MILLI
        value = loss(x_recon, x, mask)
        run.said.append(value.item() / unit**2)
        run.true.append(true_mean(x_recon, x, mask) / unit**2)
        optimizer.zero_grad()
        try:
            value.backward()
        except RuntimeError as error:
            run.broken = f"stopped at step {number}: {str(error).partition(' and does not')[0]}"
            return run
        optimizer.step()
        if not all(bool(p.isfinite().all()) for p in model.parameters()):
            run.broken = f"ruined at step {number}: it said {value.item():.3g}, parameters are NaN"
            return run
        if progress is not None:
            progress.update()
            progress.set_postfix(loss=f"{run.true[-1]:.3f}", refresh=False)
    return run


def true_mean(x_recon: Tensor, x: Tensor, mask: Tensor) -> float:
    """The mean over the mask in float64, exact here but for some 1e-13; 0 where there is none."""
    squares = (x_recon.detach().double() - x.double())[mask].square()
    return squares.sum().item() / max(int(mask.sum()), 1)


def train_all(seed: int, steps: int) -> dict[tuple[str, str], Run]:
    """Every loss under every condition, with a bar for each."""
    runs = {}
    with one_thread():
        for condition in CONDITIONS:
            for name, loss in LOSSES.items():
                with tqdm(total=steps, desc=f"{condition}, {name}", ncols=90) as progress:
                    runs[condition, name] = train(loss, condition, seed, steps, progress)
                    progress.set_postfix_str(runs[condition, name].words())
    return runs


def table(runs: dict[tuple[str, str], Run]) -> str:
    """How each training ended, as Markdown."""
    lines = [f"| training | {' | '.join(LOSSES)} |", f"| --- |{' --- |' * len(LOSSES)}"]
    lines += [
        f"| {condition} | {' | '.join(runs[condition, name].words() for name in LOSSES)} |"
        for condition in CONDITIONS
    ]
    return "\n".join(lines)


def draw(runs: dict[tuple[str, str], Run], seed: int, file: Path) -> None:
    """Two spectra with their masked blocks, and what all trainings reached."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(13, 6), constrained_layout=True)
    for axis in axes[0]:
        axis.remove()
    grid = axes[0][0].get_gridspec()
    tops = [figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[0, 2:])]
    for axis, condition in zip(tops, CONDITIONS, strict=False):
        _draw_spectrum(axis, runs[condition, "wavemae"], condition, seed)
    for axis, condition in zip(axes[1], CONDITIONS, strict=True):
        notes = []
        for name, style in zip(LOSSES, ("-", "--", ":"), strict=True):
            run = runs[condition, name]
            values = np.array(run.true) + np.where(np.array(run.true) == 0, np.nan, 0)
            (line,) = axis.plot(values, style, label=name, linewidth=1.5)
            if run.broken:
                last = values[np.isfinite(values)][-1]
                axis.plot(len(values) - 1, last, "x", color=line.get_color(), ms=11, mew=3)
            if run.broken or run.not_finite:
                notes.append(f"{name}: " + run.words().partition(":" if run.broken else ",")[0])
        note = axis.text(0.04, 0.04, "\n".join(notes), transform=axis.transAxes, fontsize=8)
        note.set_in_layout(False)
        axis.set(title=condition, xlabel="step", yscale="log", ylim=(0.015, 3))
    axes[1][0].set_ylabel("mean squared error")
    axes[1][0].legend(fontsize=8)
    figure.savefig(file, dpi=80, metadata={"Software": None})
    plt.close(figure)


def _draw_spectrum(axis: Any, run: Run, condition: str, seed: int) -> None:
    """One coffee, what was hidden of it, and what the model filled in."""
    model, x = run.model, coffee()[SHOWN : SHOWN + 1]
    assert model is not None
    dead = list(DEAD) if condition == "dead pixels" else []
    model.eval()
    with torch.no_grad():
        visible = model.make_visible(1, generator=torch.Generator().manual_seed(seed + len(dead)))
        seen = x.clone()
        seen[:, dead] = 0.0
        guess = model(seen, visible)[0][0]
    model.train()
    width = SEQ_LEN // N_PATCHES
    for start in range(0, SEQ_LEN, width):
        if not visible[0, start]:
            axis.axvspan(start - 0.5, start + width - 0.5, color="#f3d9a4", linewidth=0)
    for place in dead:
        axis.axvline(place, color="#b3261e", linewidth=1)
    truth = x[0].clone()
    truth[dead] = guess[dead] = guess[visible[0]] = math.nan
    axis.plot(truth, color="#222", linewidth=1.5, label="spectrum")
    axis.plot(guess, color="#1f6fb2", linewidth=2, label="filled in where hidden")
    axis.set(
        title=f"coffee {SHOWN}, {condition}, trained with wavemae",
        xlabel="channel",
        ylabel="standardised absorbance",
        xlim=(0, SEQ_LEN - 1),
    )
    axis.legend(fontsize=8, loc="lower left")


def main() -> None:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--picture", type=Path, default=Path(__file__).with_suffix(".png"))
    given = parser.parse_args()
    runs = train_all(given.seed, given.steps)
    print(table(runs))
    draw(runs, given.seed, given.picture)
    print(f"drawn: {given.picture}")


if __name__ == "__main__":
    main()
