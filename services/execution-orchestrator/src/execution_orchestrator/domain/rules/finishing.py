"""The end of an execution: when it ends, and with which status."""

from dataclasses import replace

from execution_orchestrator.domain.decision import BulkChange
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.payloads import size_bytes
from execution_orchestrator.domain.rules.evaluation import EvaluationFailedError, Place, evaluate
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import ExecutionStatus, ExecutionTrigger

_OUTPUT = Place(("", "output"), "the output of the workflow")


def settle(t: Transition) -> None:
    """End the execution if nothing keeps it going. Call this after a task run ended or left its worker.

    A paused execution does not end: a failure, or the end of its last task run, takes effect at the resume.
    """
    execution = t.execution
    if execution.cancel_requested:
        if execution.tasks_running == 0:
            end_cancelled(t)
    elif execution.status is ExecutionStatus.PAUSED:
        note_quiesced(t)
    elif execution.failure is not None:
        end_failed(t, ExecutionTrigger.FAIL, execution.failure)
    elif execution.tasks_open == 0:
        end_completed(t)


def note_quiesced(t: Transition) -> None:
    """Record that nothing of a paused execution is in flight any more. Nothing starts, so it happens once."""
    pause = t.execution.pause
    if pause is not None and t.execution.tasks_running == 0:
        t.execution.pause = replace(pause, quiesced_time=t.now)
        t.event(EventType.EXECUTION_QUIESCED)


def begin(t: Transition) -> None:
    """Make a Pending execution Running: at the first claim, or when the engine itself has done the work."""
    if t.execution.status is ExecutionStatus.PENDING:
        t.move(ExecutionTrigger.START)
        t.execution.start_time = t.now
        t.event(EventType.EXECUTION_STARTED)


def end_completed(t: Transition) -> None:
    """End the execution as Completed. Every task run is final, and none has failed."""
    begin(t)
    if t.plan.output is not None:
        try:
            t.execution.output = evaluate(t, t.plan.output, _OUTPUT)
            t.execution.output_bytes = size_bytes(t.execution.output)
        except EvaluationFailedError as error:
            end_failed(t, ExecutionTrigger.FAIL, error.failure)
            return
    _end(t, ExecutionTrigger.COMPLETE, EventType.EXECUTION_COMPLETED)


def end_failed(t: Transition, trigger: ExecutionTrigger, failure: Failure) -> None:
    """End the execution as Failed, with the root cause, and cancel every open task run."""
    t.execution.failure = failure
    _cancel_all(t)
    _end(t, trigger, EventType.EXECUTION_FAILED, failure)


def end_cancelled(t: Transition) -> None:
    """End the execution as Cancelled, even if attempts are in flight: a cancel never waits for a worker."""
    t.execution.failure = None  # of a task, during a pause; the user's cancel ends the execution
    _cancel_all(t)
    _end(t, ExecutionTrigger.CANCEL, EventType.EXECUTION_CANCELLED)


def _end(t: Transition, trigger: ExecutionTrigger, type_: EventType, failure: Failure | None = None) -> None:
    execution = t.execution
    t.move(trigger)
    execution.final = True
    execution.end_time = t.now
    execution.timeout_time = execution.timeout_remaining = None
    execution.paused_from = execution.pause = execution.quarantine = None
    t.event(type_, failure=failure, reason=execution.cancel_reason)


def _cancel_all(t: Transition) -> None:
    execution = t.execution
    if execution.tasks_open == 0:
        return
    t.decision.workers_must_check |= execution.tasks_running > 0
    execution.tasks_cancelled += execution.tasks_open
    execution.tasks_open = execution.tasks_running = 0
    t.decision.ready.clear()
    t.decision.bulk.append(BulkChange.CANCEL_ALL)
