"""The interface through which a worker reports its attempts, for metrics and logs."""

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
    """It ran longer than its start_to_close."""
    CANCELLED = "cancelled"
    """It was stopped because its execution was cancelled."""
    HANDED_BACK = "handed_back"
    """It was handed back unfinished: the worker was draining, or could start no child process."""
    LOST = "lost"
    """It was stopped and not reported: the worker did not hold the lease any more."""


class WorkerObserver(Protocol):
    """The worker calls it on the event loop, for every attempt. Return quickly, and raise nothing."""

    def task_started(self, context: TaskContext) -> None:
        """Note that a handler is about to run. An async handler runs in the asyncio task of this call."""

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """Note that an attempt ended, `seconds` after it was leased; `failure` is set if it failed."""

    def report_refused(self, context: TaskContext, status: str) -> None:
        """Note that the orchestrator did not record a result: `status` is STALE, REJECTED or UNDECIDED."""


class SilentObserver:
    """Ignores everything."""

    def task_started(self, context: TaskContext) -> None:
        """Do nothing."""

    def task_ended(
        self, context: TaskContext, outcome: AttemptOutcome, seconds: float, failure: FailureInfo | None
    ) -> None:
        """Do nothing."""

    def report_refused(self, context: TaskContext, status: str) -> None:
        """Do nothing."""
