"""Logging in child processes: as in the worker, and with the ids of the task in every line.

A child process has the worker's levels, and the format of the worker's first handler if that is a plain
`logging.Formatter`. A program with another set-up, such as structlog, names a function with
`Worker(child_setup=...)` that configures logging in the child process.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from workflow_sdk.context import TaskContext

DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def logging_of_this_process() -> dict[str, Any]:
    """Return how this process logs, for `configure`; empty if it does not log."""
    root = logging.getLogger()
    if not root.handlers:
        return {}
    formatter = root.handlers[0].formatter
    plain = type(formatter) is logging.Formatter
    loggers = logging.Logger.manager.loggerDict
    return {
        "level": root.level,
        "format": formatter._fmt if formatter is not None and plain else None,
        "dates": formatter.datefmt if formatter is not None and plain else None,
        "loggers": {
            name: logger.level
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger) and logger.level
        },
    }


def configure(described: dict[str, Any]) -> None:
    """Log to standard error with the worker's levels and format."""
    if not described:
        return
    logging.basicConfig(
        level=described["level"], format=described["format"] or DEFAULT_FORMAT, datefmt=described["dates"]
    )
    for name, level in described["loggers"].items():
        logging.getLogger(name).setLevel(level)


def call_setup(name: str) -> None:
    """Call the function `module:function`. Raise what it raises, or the error of the import."""
    module, _, function = name.partition(":")
    setup: Callable[[], None] = getattr(importlib.import_module(module), function)
    setup()


class TaskIds(logging.Filter):
    """Adds the worker's id and the ids of the running task to every log record.

    A field that the record already has is not changed. Records of structlog get the ids as fields too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.context: TaskContext | None = None
        self.worker_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        fields = record.msg if isinstance(record.msg, dict) else record.__dict__
        ids = {} if self.context is None else ids_of(self.context)
        for name, value in {"worker_id": self.worker_id, **ids}.items():
            fields.setdefault(name, value)
        return True

    def watch(self) -> None:
        """Add the ids to the records of every handler of the root logger. May be repeated."""
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)


def ids_of(context: TaskContext) -> dict[str, str | int]:
    """Return the ids of an attempt, with the names that log lines have for them."""
    ids: dict[str, str | int] = {
        "execution_id": context.execution_id,
        "workflow_id": context.workflow_id,
        "task_id": context.task_id,
        "attempt": context.attempt,
    }
    if context.item is not None:
        ids["item"] = context.item
    return ids
