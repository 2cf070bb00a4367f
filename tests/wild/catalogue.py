"""What is tried in the wild, in the order of the table."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

from wavemae.properties import Subject, load_subject

FOLDER = Path(__file__).parent / "subjects"

ENTRIES = (
    "chemomae_losses",
    "vitmae",
    "patchtst",
    "hiera",
    "pypots_mse",
    "monai_masked_loss",
    "torch_weight",
    "torch_masked",
    "torchmetrics_mean:IGNORE",
    "torchmetrics_mean:DISABLE",
    "torchmetrics_mean:IMPUTE",
    "tsl_metric",
    "gluonts_average",
    "neuralforecast_mse",
    "biotrainer_mse",
    "keras_mask",
    "optax_where",
)


@dataclass(frozen=True)
class Entry:
    """One implementation: the file with its adapter, and what the file says of it."""

    target: str
    subject: Subject
    module: ModuleType

    @property
    def version(self) -> str:
        """The package and its version, as installed; of torch without the build."""
        package: str = self.module.PACKAGE
        return f"{package} {metadata.version(package).partition('+')[0]}"


def target(name: str) -> str:
    """How the command names an entry."""
    file, _, attribute = name.partition(":")
    return f"{FOLDER / file}.py:{attribute or 'SUBJECT'}"


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, their packages imported."""
    return tuple(_entry(target(name)) for name in ENTRIES)


def _entry(name: str) -> Entry:
    subject = load_subject(name)
    path = name.rpartition(":")[0]
    (module,) = (m for m in sys.modules.values() if getattr(m, "__file__", None) == path)
    return Entry(name, subject, module)
