"""Start, pause, resume, cancel: what users ask for. Each ends in bounded time, whatever workers do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from execution_orchestrator.domain.commands import (
    CancelExecution,
    PauseExecution,
    ResumeExecution,
    StartExecution,
)
from execution_orchestrator.domain.decision import BulkChange, Decision, Snapshot
from execution_orchestrator.domain.errors import StatusConflictError
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.execution import Execution, Pause
from execution_orchestrator.domain.limits import MAX_CANCEL_GRACE
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.rules.clocks import freeze, thaw
from execution_orchestrator.domain.rules.finishing import end_cancelled, note_quiesced, settle
from execution_orchestrator.domain.rules.scheduling import activate_roots, new_task
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import (
    FINAL_EXECUTION_STATUSES,
    ExecutionStatus,
    ExecutionTrigger,
)
from execution_orchestrator.domain.task import TaskKey


def start(
    plan: Plan, command: StartExecution, now: datetime, evaluated: Mapping[tuple[str, str], Any] | None = None
) -> Decision:
    """Accept an execution: Pending, its tasks laid out, the first of them ready.

    `evaluated` holds what HeavyEvaluationError asked for in an earlier try. Raise HeavyEvaluationError.
    """
    execution = Execution(
        command.execution_id,
        command.namespace,
        command.workflow_id,
        command.version,
        labels={**plan.labels, **command.labels},
        create_time=now,
        timeout_time=now + plan.execution_timeout,
    )
    t = Transition(Snapshot(execution, plan, input=command.input, evaluated=evaluated or {}), now)
    for task in plan.tasks.values():
        needs = len(task.needs)
        t.create(new_task(task, TaskKey(task.id), unmet_needs=needs, run_number=execution.run_number))
    t.event(EventType.EXECUTION_CREATED)
    activate_roots(t)
    settle(t)
    t.decision.created = True
    return t.done()


def pause(t: Transition, command: PauseExecution) -> Decision:
    """Nothing of the execution is claimed from this commit on; attempts in flight finish."""
    execution = t.execution
    if execution.status is ExecutionStatus.PAUSED:
        return t.unchanged()
    refuse_terminal(execution, "PauseExecution")
    refuse_cancelling(execution, "PauseExecution")
    before = execution.status
    t.move(ExecutionTrigger.PAUSE)
    execution.paused_from = before
    execution.pause = Pause(t.now, reason=command.reason, actor=command.actor)
    freeze(t, BulkChange.FREEZE)
    t.event(EventType.EXECUTION_PAUSED, reason=command.reason or None)
    note_quiesced(t)
    return t.done()


def resume(t: Transition, command: ResumeExecution) -> Decision:
    """Back to the status before the pause; what failed or was finished meanwhile takes effect now."""
    execution = t.execution
    refuse_terminal(execution, "ResumeExecution")
    if execution.status is not ExecutionStatus.PAUSED:
        return t.unchanged()
    refuse_cancelling(execution, "ResumeExecution")
    pending = execution.paused_from is ExecutionStatus.PENDING
    t.move(ExecutionTrigger.RESUME_PENDING if pending else ExecutionTrigger.RESUME_RUNNING)
    execution.paused_from = execution.pause = None
    t.event(EventType.EXECUTION_RESUMED, reason=command.reason or None)
    settle(t)
    if not execution.final:
        thaw(t)
    return t.done()


def cancel(t: Transition, command: CancelExecution) -> Decision:
    """What is not in flight is cancelled now; what is has until the grace is over."""
    execution = t.execution
    if execution.status is ExecutionStatus.CANCELLED:
        return t.unchanged()
    refuse_terminal(execution, "CancelExecution")
    grace = min(command.grace, MAX_CANCEL_GRACE)
    deadline = t.now + grace
    first = execution.cancel_deadline is None
    if execution.cancel_deadline is not None and deadline >= execution.cancel_deadline:
        return t.unchanged()  # a second cancel can only hurry
    execution.cancel_deadline = deadline
    ends_now = execution.tasks_running == 0 or not grace
    if not ends_now:
        _close_waiting(t)
    if first:
        _request_cancel(t, command.reason)
    if ends_now:
        end_cancelled(t)
    return t.done()


def _request_cancel(t: Transition, reason: str) -> None:
    """Write the request and its event; the tasks that the request cancels are in the event's counts."""
    execution = t.execution
    execution.cancel_requested = True
    execution.cancel_reason = reason or None
    execution.timeout_time = execution.timeout_remaining = None  # the cancel deadline comes in their place
    t.event(EventType.CANCEL_REQUESTED, reason=execution.cancel_reason)


def _close_waiting(t: Transition) -> None:
    execution = t.execution
    t.decision.workers_must_check = True
    if execution.tasks_open > execution.tasks_running:
        execution.tasks_cancelled += execution.tasks_open - execution.tasks_running
        execution.tasks_open = execution.tasks_running
        t.decision.bulk.append(BulkChange.CANCEL_WAITING)


def refuse_terminal(execution: Execution, method: str) -> None:
    """Raise StatusConflictError if the execution is final."""
    if execution.status in FINAL_EXECUTION_STATUSES:
        advice = "that is final, so start a new execution if the work is still wanted"
        raise StatusConflictError(method, execution.status, advice)


def refuse_cancelling(execution: Execution, method: str) -> None:
    """Raise StatusConflictError if a cancel is under way."""
    if execution.cancel_requested:
        advice = "a cancel is under way, so wait for Cancelled"
        raise StatusConflictError(method, execution.status, advice)
