"""The rows of one decision: the rules read and write them here.

A transition copies each row before it changes it. So the snapshot stays as it was, and a decision that ends
in an exception leaves no trace.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from execution_orchestrator.domain.decision import Decision, Effect, MissingError, Snapshot
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.plan import Plan, TaskPlan
from execution_orchestrator.domain.state_machine import (
    AttemptStatus,
    ExecutionTrigger,
    TaskStatus,
    TaskTrigger,
    next_execution_status,
    next_task_status,
)
from execution_orchestrator.domain.task import EndedAttempt, TaskKey, TaskRun


class Transition:
    """A reader of the snapshot and a writer of the decision."""

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.now = now
        self.execution: Execution = snapshot.execution.copy()
        self.decision = Decision(self.execution)
        self.snapshot = snapshot
        self._plan = snapshot.available_plan
        self.parsed: dict[str, Any] = {}

    # -- reading --------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The plan of the execution. Raise PlanUnavailableError if it is not available."""
        return self.snapshot.plan if self._plan is None else self._plan

    def plan_of(self, key: TaskKey) -> TaskPlan:
        """Return the plan of a task run. Raise PlanUnavailableError if it is not available."""
        plan = self._plan or self.plan  # rules ask often, so this spares them a call
        return plan.tasks[key.task_id]

    def find(self, key: TaskKey) -> TaskRun | None:
        """Return the task run in its present state, or None if it is not loaded. Do not change it."""
        return self.decision.tasks.get(key) or self.snapshot.tasks.get(key)

    def task(self, key: TaskKey) -> TaskRun:
        """Return the task run in its present state. Do not change it. Raise MissingError."""
        task = self.find(key)
        if task is None:
            raise MissingError(tasks=[key])
        return task

    def require_tasks(self, keys: Iterable[TaskKey]) -> None:
        """Raise one MissingError for all task runs that are not loaded."""
        missing = [key for key in keys if self.find(key) is None]
        if missing:
            raise MissingError(tasks=missing)

    def input_of(self, task: TaskRun) -> str:
        """Return the handler's input, as JSON. Raise MissingError."""
        if task.input is not None:
            return task.input  # it became ready in this batch
        if self.plan_of(task.key).input is not None:
            if task.key not in self.snapshot.inputs:
                raise MissingError(inputs=[task.key])
            return self.snapshot.inputs[task.key]
        if self.snapshot.input is None:
            raise MissingError(execution_input=True)
        return self.snapshot.input

    # -- writing --------------------------------------------------------------------------------

    def edit(self, key: TaskKey) -> TaskRun:
        """Return the task run, for changes. Raise MissingError."""
        task = self.decision.tasks.get(key)
        if task is None:
            task = self.decision.tasks[key] = self.task(key).copy()
        return task

    def create(self, task: TaskRun) -> None:
        """Add a new task run."""
        self.decision.tasks[task.key] = task
        self.decision.new_tasks.add(task.key)
        self.execution.tasks_total += 1
        self.execution.tasks_open += 1

    def move(self, trigger: ExecutionTrigger) -> None:
        """Take the execution along a row of its table."""
        self.execution.status = next_execution_status(self.execution.status, trigger)

    def move_task(self, task: TaskRun, trigger: TaskTrigger) -> None:
        """Take a task run along a row of its table, and update the counters. `task` comes from `edit`."""
        task.status = next_task_status(task.status, trigger)
        counter = _COUNTERS.get(task.status)
        if counter is not None:
            task.end_time = self.now
            task.ready_time = task.wake_time = task.frozen = None
            self.execution.tasks_open -= 1
            setattr(self.execution, counter, getattr(self.execution, counter) + 1)

    def release(self, task: TaskRun, status: AttemptStatus, failure: Failure | None = None) -> None:
        """Take the task from its worker, and add the end of the attempt to the history."""
        self.execution.tasks_running -= 1
        self.decision.attempts.append(
            EndedAttempt(
                task.key, task.epoch, task.attempt, status, task.worker_id, task.start_time, self.now, failure
            )
        )
        self.clear_lease(task)

    @staticmethod
    def clear_lease(task: TaskRun) -> None:
        """Clear the times of the claim. `worker_id` stays and names the last worker."""
        task.boot_id = None
        task.lease_expire_time = task.close_time = task.silence_time = task.wake_time = None

    def revoke(self, task: TaskRun) -> None:
        """End the claim: later reports of its worker are stale."""
        self.decision.workers_must_check = True
        task.epoch += 1

    def event(self, type_: EventType, task: TaskRun | None = None, **details: Any) -> None:
        """Append the next event of the execution."""
        execution = self.execution
        execution.last_sequence += 1
        if task is not None:
            details |= {"task_id": task.key.task_id, "item": task.item, "attempt": task.attempt or None}
            details["worker_id"] = task.worker_id
        self.decision.events.append(
            Event(
                execution.last_sequence,
                type_,
                execution.status,
                self.now,
                execution.counts,
                run_number=execution.run_number,
                **details,
            )
        )

    def done(self, effect: Effect = Effect.APPLIED) -> Decision:
        """Return the complete decision."""
        self.execution.state_version += 1
        self.decision.effect = effect
        return self.decision

    def unchanged(self, effect: Effect = Effect.UNCHANGED) -> Decision:
        """Return a decision without changes; discard everything recorded so far."""
        return Decision(self.snapshot.execution, effect)


_COUNTERS = {
    TaskStatus.SUCCEEDED: "tasks_succeeded",
    TaskStatus.FAILED: "tasks_failed",
    TaskStatus.CANCELLED: "tasks_cancelled",
    TaskStatus.SKIPPED: "tasks_skipped",
}
