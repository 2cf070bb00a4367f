"""What a subject says, made safe to show: it may hold what steers a terminal or reverses text."""

from __future__ import annotations

from typing import Any


def printable(value: Any) -> Any:
    """The same data, in whose strings everything unprintable is written as Python escapes it."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_shown, value))
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    return value


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")
