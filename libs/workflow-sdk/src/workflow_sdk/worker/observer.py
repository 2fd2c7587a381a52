"""What a worker tells of itself, for metrics and logs."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from workflow_sdk.context import TaskContext
from workflow_sdk.failures import FailureInfo


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    """Over its start_to_close."""
    CANCELLED = "cancelled"
    """Stopped because its execution was cancelled."""
    HANDED_BACK = "handed_back"
    """Given back unfinished, as the worker was draining."""
    LOST = "lost"
    """Stopped and not reported: the lease was not the worker's any more."""


class WorkerObserver(Protocol):
    """Called on the event loop, for every attempt: be quick, and raise nothing."""

    def task_started(self, context: TaskContext) -> None:
        """A handler is about to run. For async handlers this is in the handler's own asyncio task."""

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """An attempt ended, `seconds` after it was leased; `failure` where there is one."""

    def report_refused(self, context: TaskContext, status: str) -> None:
        """The orchestrator did not take a result: STALE or REJECTED."""


class SilentObserver:
    """Tells nobody."""

    def task_started(self, context: TaskContext) -> None:
        """Nothing."""

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """Nothing."""

    def report_refused(self, context: TaskContext, status: str) -> None:
        """Nothing."""
