"""Cases as plain data for JSON: numbers as hex floats, so that nothing is rounded."""

from __future__ import annotations

import dataclasses
from typing import Any

from .operands import Operand
from .values import RECIPES, Values


def plain(value: Any) -> Any:
    """A case, or a part of one, as plain data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"recipe": type(value).__name__} | data if type(value).__name__ in RECIPES else data
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value.hex()
    return value


def operand_from(data: dict[str, Any]) -> Operand:
    """The operand that `plain` described."""
    values: Values
    if isinstance(data["values"], dict):
        given = dict(data["values"])
        recipe = RECIPES[given.pop("recipe")]
        values = recipe(**{k: _number_from(v) for k, v in given.items()})
    else:
        values = tuple(float.fromhex(v) for v in data["values"])
    outside = None if data["outside"] is None else float.fromhex(data["outside"])
    edits = tuple((position, float.fromhex(value)) for position, value in data["edits"])
    return Operand(data["dtype"], values, data["layout"], outside, edits)


def _number_from(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number_from(item) for item in value)
    return float.fromhex(value) if isinstance(value, str) else value
