"""How a handler ended, as a test sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflowsystem.worker.v1 import task_pb2

from workflow_sdk.failures import START_TO_CLOSE_TIMEOUT, FailureInfo
from workflow_sdk.payloads import from_json
from workflow_sdk.worker.observer import AttemptOutcome


@dataclass(frozen=True, slots=True)
class HandlerResult:
    """The report that a worker makes of an attempt, and the progress that the handler reported."""

    outcome: AttemptOutcome
    """A str: it compares with words such as "succeeded", "failed", "timed_out" and "cancelled"."""
    output: Any = None
    """The output as the next task receives it; None unless the outcome is "succeeded"."""
    failure: FailureInfo | None = None
    """Set if the outcome is "failed" or "timed_out"."""
    progress: Sequence[Any] = ()
    """The progress of each heartbeat that had any."""
    heartbeats: int = 0
    """The number of heartbeats."""
    ignored_stop: bool = False
    """True if an async handler went on after it was cancelled, until the worker gave it up."""


def result_of(message: task_pb2.TaskResult) -> HandlerResult:
    """Return the result that a worker reported to an orchestrator. Heartbeats are not part of it."""
    match message.WhichOneof("outcome"):
        case "output":
            return HandlerResult(AttemptOutcome.SUCCEEDED, from_json(message.output))
        case "cancelled":
            return HandlerResult(AttemptOutcome.CANCELLED)
        case "handed_back":
            return HandlerResult(AttemptOutcome.HANDED_BACK)
    reported = message.failure
    failure = FailureInfo(reported.type, reported.message, reported.details, reported.non_retryable)
    timed_out = failure.type == START_TO_CLOSE_TIMEOUT
    return HandlerResult(AttemptOutcome.TIMED_OUT if timed_out else AttemptOutcome.FAILED, failure=failure)
