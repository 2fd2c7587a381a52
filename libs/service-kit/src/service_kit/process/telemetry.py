"""Logs: structlog writes JSON lines (or coloured text), also for libraries that use the standard logging.

A line has `time` (ISO 8601, UTC), `level`, `service`, and `event` (words with underscores, in the past
tense). Within an RPC it has `rpc`, `request_id` and `traceparent` too.
`structlog.contextvars.bind_contextvars` adds further fields.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from service_kit.process.settings import LogSettings
from service_kit.tools.rpc_call import current_call

# These libraries log each of their retries or requests at INFO.
_CHATTY = ("grpc", "uvicorn", "asyncio", "httpx", "httpcore")


def configure_logging(service: str, settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging for this process. May be repeated.

    Lines go to `stream`, by default standard error.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_call,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _service_adder(service),
    ]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(settings, stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _renderers(settings: LogSettings, colors: bool) -> list[Processor]:
    """Return the renderers of a line. They never show local variables, because these may hold secrets."""
    if settings.log_format == "console":
        # If rich is installed, structlog would use it, and rich shows local variables.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", exception_formatter=plain)]
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(tracebacks),
        structlog.processors.JSONRenderer(default=str),
    ]


def _add_call(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    call = current_call.get()
    if call is not None:
        for key, value in call.log_fields().items():
            event.setdefault(key, value)
    return event


def _service_adder(service: str) -> Processor:
    def add_service(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return add_service


def _add_logger_name(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the name of the logger, because the event of a library's line is free text."""
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event
