"""Logs the worker's lines to standard error if its program does not configure logging.

Without this, Python drops lines below WARNING. But the author of a worker wants to see that it is connected,
to which address and with which name. If the program configures logging, even later, only its handlers show
these lines.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("workflow_sdk")
FORMAT = "%(asctime)s %(levelname)s %(message)s"


def log_by_default() -> None:
    """Log the SDK's lines to standard error until the program configures logging. May be repeated."""
    if logging.getLogger().handlers or LOGGER.handlers or LOGGER.level != logging.NOTSET:
        return
    LOGGER.addHandler(_Default())
    LOGGER.setLevel(logging.INFO)


class _Default(logging.StreamHandler):  # type: ignore[type-arg]
    """Removes itself when the root logger has handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True for a record that no other handler shows."""
        if not logging.getLogger().handlers:
            return bool(super().filter(record))
        LOGGER.removeHandler(self)
        LOGGER.setLevel(logging.NOTSET)
        return False
