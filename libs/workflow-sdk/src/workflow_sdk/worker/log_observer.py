"""The default observer of a worker: it logs every failure of a handler."""

from __future__ import annotations

import logging
from typing import Any

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import FailureInfo
from workflow_sdk.worker.child_logging import ids_of
from workflow_sdk.worker.observer import AttemptOutcome

MAX_SHOWN_CHARS = 4000
"""How much of a message, and how much of a traceback, is logged."""

log = logging.getLogger("workflow_sdk.worker")


class LogObserver:
    """Logs failures, with the traceback of the handler. It does not log successes: there may be many."""

    def task_started(self, context: TaskContext) -> None:
        """Log nothing."""

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """Log a failure, and a handler that was stopped."""
        fields = _fields(f"task_{outcome.value}", context)
        if failure is not None:
            details = failure.details[-MAX_SHOWN_CHARS:].rstrip()
            log.warning(
                "%s failed: %s: %s (attempt %d of %s)%s",
                *(context.task_type, failure.type, failure.message[:MAX_SHOWN_CHARS]),
                *(context.attempt, _name(context), f"\n{details}" if details else ""),
                extra={**fields, "failure_type": failure.type},
            )
        elif outcome is AttemptOutcome.LOST:
            log.warning(
                "%s was stopped and nothing is reported, because its lease ended (attempt %d of %s)",
                *(context.task_type, context.attempt, _name(context)),
                extra=fields,
            )

    def report_refused(self, context: TaskContext, status: str) -> None:
        """Log a result that the orchestrator did not record."""
        log.warning(
            "the result of %s was not taken: %s (attempt %d of %s)",
            *(context.task_type, status, context.attempt, _name(context)),
            extra={**_fields("report_refused", context), "status": status},
        )


def _name(context: TaskContext) -> str:
    item = "" if context.item is None else f"[{context.item}]"
    return f"{context.task_id}{item} in execution {context.execution_id}"


def _fields(event: str, context: TaskContext) -> dict[str, Any]:
    return {"event": event, "task_type": context.task_type, **ids_of(context)}
