"""The report that a worker makes of an attempt: how the handler ended, and why it was stopped, decide it.

After the worker has stopped a handler, only the handler's output still counts. Any other ending is treated as
a result of the stop, and the reason of the stop decides what is reported.
"""

from __future__ import annotations

from workflow_sdk.failures import START_TO_CLOSE_TIMEOUT, FailureInfo
from workflow_sdk.worker.attempts import LOST, StopReason
from workflow_sdk.worker.observer import AttemptOutcome

Ending = bytes | FailureInfo | None
"""How a handler ended: with output, with a failure, or (None) because it was stopped."""


def outcome_of(ending: Ending, reason: StopReason | None) -> AttemptOutcome:
    """Return what is reported. `reason` says why the worker stopped the handler; None if it did not."""
    if reason in LOST:
        return AttemptOutcome.LOST
    if reason is StopReason.TIMED_OUT:
        return AttemptOutcome.TIMED_OUT
    if isinstance(ending, bytes):
        return AttemptOutcome.SUCCEEDED
    if reason is StopReason.CANCEL_REQUESTED:
        return AttemptOutcome.CANCELLED
    if reason in (StopReason.DRAINING, StopReason.NO_PROCESS):
        return AttemptOutcome.HANDED_BACK
    return AttemptOutcome.FAILED


def failure_of(ending: Ending, reason: StopReason | None, start_to_close: float) -> FailureInfo:
    """Return the failure to report for the outcomes FAILED and TIMED_OUT; `start_to_close` is in seconds."""
    if isinstance(ending, FailureInfo) and reason is not StopReason.TIMED_OUT:
        return ending
    return FailureInfo(START_TO_CLOSE_TIMEOUT, f"the handler was stopped after {start_to_close:g} s")
