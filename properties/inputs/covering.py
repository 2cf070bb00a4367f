"""Covering arrays, read from `arrays.json`.

Made once and kept, since making them takes covertable and minutes, and a run of the suite seconds:
`python -m wavemae.properties.inputs.covering` makes what is stale.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from .dimensions import ARRAYS, GOES, LEVELS, TRIPLES, VARIANTS, levels_of, together

FILE = Path(__file__).with_name("arrays.json")


@functools.cache
def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return kept


def covering_rows(array: str, variant: int, strength: int) -> list[list[int]]:
    """The rows of an array: for each dimension, in their order, the number of a level."""
    found: list[list[int]] = _kept()[_key(array, variant, strength)]["rows"]
    return found


def digest(array: str) -> str:
    """Of all that decides the rows of an array."""
    allowed = [together({a: p, b: q}) for a, b, _ in GOES for p in LEVELS[a] for q in LEVELS[b]]
    return hashlib.sha256(repr((levels_of(array), allowed)).encode()).hexdigest()[:16]


def wanted() -> list[tuple[str, int, int]]:
    """Every array that the suite uses: its name, its variant, and how many levels meet."""
    pairs = [(name, variant, 2) for name in ARRAYS for variant in range(VARIANTS.get(name, 1))]
    return pairs + [(name, 0, 3) for name in TRIPLES]


def stale() -> list[str]:
    """The arrays that are missing, or made of other levels than there are now."""
    kept = _kept() if FILE.exists() else {}
    return [
        _key(*which)
        for which in wanted()
        if kept.get(_key(*which), {}).get("of") != digest(which[0])
    ]


def _key(array: str, variant: int, strength: int) -> str:
    return f"{array} {variant}, {strength} at a time"


def _made(array: str, variant: int, strength: int) -> list[list[int]]:
    import covertable

    levels = levels_of(array)
    constraints = [
        {
            "operator": "fn",
            "requires": [a, b],
            "evaluate": lambda row, a=a, b=b, goes=goes: goes(levels[a][row[a]], levels[b][row[b]]),
        }
        for a, b, goes in GOES
    ]
    factors = {name: list(range(len(given))) for name, given in levels.items()}
    rows = covertable.make(
        factors, strength=strength, constraints=constraints, salt=f"{array}/{variant}"
    )
    return [[row[name] for name in factors] for row in rows]


def main() -> int:
    """Make what is stale and write it all."""
    old = _kept() if FILE.exists() else {}
    kept: dict[str, Any] = {}
    outdated = set(stale())
    for which in wanted():
        key = _key(*which)
        if key in outdated:
            kept[key] = {"of": digest(which[0]), "rows": _made(*which)}
        else:
            kept[key] = old[key]
        print(f"{key}: {len(kept[key]['rows'])} rows{', made' if key in outdated else ''}")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kept.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
