"""Every entry by its id, as a target: `python -m wavemae.properties wavemae.corpus.subjects:ID`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import corpus

if TYPE_CHECKING:
    from wavemae.properties import Subject


def __getattr__(identifier: str) -> Subject:
    if identifier not in corpus:
        raise AttributeError(f"no entry of the corpus is called {identifier!r}")
    return corpus[identifier].load()
