"""The commands of users: start, pause, resume, cancel. Each takes effect in bounded time, whatever workers
do.
"""

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
    """Accept an execution. It is Pending, all of its task runs exist, and those without needs are ready.

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
    """Pause the execution: from this commit on nobody claims a task of it. Attempts in flight finish."""
    execution = t.execution
    if execution.status is ExecutionStatus.PAUSED:
        return t.unchanged()
    refuse_final(execution, "PauseExecution")
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
    """Return to the status before the pause. Attempts that ended during the pause take effect now."""
    execution = t.execution
    refuse_final(execution, "ResumeExecution")
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
    """Cancel every task run that is not in flight now. Attempts in flight get the grace period."""
    execution = t.execution
    if execution.status is ExecutionStatus.CANCELLED:
        return t.unchanged()
    refuse_final(execution, "CancelExecution")
    grace = min(command.grace, MAX_CANCEL_GRACE)
    deadline = t.now + grace
    first = execution.cancel_deadline is None
    if execution.cancel_deadline is not None and deadline >= execution.cancel_deadline:
        return t.unchanged()  # a second cancel can only shorten the grace
    execution.cancel_deadline = deadline
    ends_now = execution.tasks_running == 0 or not grace
    if not ends_now:
        _cancel_waiting(t)
    if first:
        _request_cancel(t, command.reason)
    if ends_now:
        end_cancelled(t)
    return t.done()


def _request_cancel(t: Transition, reason: str) -> None:
    """Record the request and its event. The counts of the event include the task runs that it cancels."""
    execution = t.execution
    execution.cancel_requested = True
    execution.cancel_reason = reason or None
    execution.timeout_time = execution.timeout_remaining = None  # the cancel deadline replaces them
    t.event(EventType.CANCEL_REQUESTED, reason=execution.cancel_reason)


def _cancel_waiting(t: Transition) -> None:
    execution = t.execution
    t.decision.workers_must_check = True
    if execution.tasks_open > execution.tasks_running:
        execution.tasks_cancelled += execution.tasks_open - execution.tasks_running
        execution.tasks_open = execution.tasks_running
        t.decision.bulk.append(BulkChange.CANCEL_WAITING)


def refuse_final(execution: Execution, method: str) -> None:
    """Raise StatusConflictError if the execution is final."""
    if execution.status in FINAL_EXECUTION_STATUSES:
        advice = "that is final, so start a new execution if the work is still wanted"
        raise StatusConflictError(method, execution.status, advice)


def refuse_cancelling(execution: Execution, method: str) -> None:
    """Raise StatusConflictError if a cancel is under way."""
    if execution.cancel_requested:
        advice = "a cancel is under way, so wait for Cancelled"
        raise StatusConflictError(method, execution.status, advice)
