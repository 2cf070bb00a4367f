"""What is set of the loggers of the process."""

from __future__ import annotations

import logging
from typing import Any

from ..inputs import internals


class Settings(dict[str, Any]):
    """By the names of loggers; one that came later is no difference: a loss may make its own."""

    def __ne__(self, other: Any) -> bool:
        known = other if isinstance(other, dict) else dict.fromkeys(self)
        return any(known.get(name, settings) != settings for name, settings in self.items())

    def __eq__(self, other: object) -> bool:
        return not self != other

    __hash__ = None  # as of every dict


def settings_of(logger: logging.Logger) -> tuple[Any, ...]:
    """What is set of it; a handler that does nothing is nothing."""
    handlers = [each for each in logger.handlers if not isinstance(each, logging.NullHandler)]
    return logger.level, handlers, list(logger.filters), logger.propagate, logger.disabled


def set_to(logger: logging.Logger, settings: tuple[Any, ...]) -> None:
    """Set what `settings_of` has read."""
    level, handlers, filters, logger.propagate, logger.disabled = settings
    idle = [each for each in logger.handlers if isinstance(each, logging.NullHandler)]
    logger.handlers[:], logger.filters[:] = [*idle, *handlers], filters
    logger.setLevel(level)  # which also forgets what was worked out from levels


def all_settings() -> Settings:
    """Of all loggers but the root; a mere part of a longer name is none."""
    known = list(logging.root.manager.loggerDict.items())
    return Settings(
        (name, settings_of(logger))
        for name, logger in known
        if isinstance(logger, logging.Logger) and name != internals.TRACE_LOG
    )


def put_back(wanted: dict[str, Any]) -> None:
    """Set what `all_settings` has read."""
    for name, settings in wanted.items():
        logger = logging.root.manager.loggerDict.get(name)
        if isinstance(logger, logging.Logger) and settings_of(logger) != settings:
            set_to(logger, settings)
