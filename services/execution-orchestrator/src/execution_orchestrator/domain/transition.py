"""One decision in the making: the pen that the rules write with.

It copies what it changes, so the snapshot stays as it was, and a decision that ends in an exception leaves
no trace.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from workflow_expressions import Names

from execution_orchestrator.domain.decision import Decision, Outcome, Snapshot
from execution_orchestrator.domain.errors import MissingError
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.plan import TaskPlan
from execution_orchestrator.domain.state_machine import (
    AttemptStatus,
    ExecutionTrigger,
    TaskStatus,
    TaskTrigger,
    next_execution_status,
    next_task_status,
)
from execution_orchestrator.domain.task import NO_ITEM, EndedAttempt, TaskKey, TaskRun


class Transition:
    """Reads the snapshot, writes the decision."""

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.plan = snapshot.plan
        self.now = now
        self.execution: Execution = snapshot.execution.copy()
        self.decision = Decision(self.execution)
        self._snapshot = snapshot

    # -- reading --------------------------------------------------------------------------------

    def plan_of(self, key: TaskKey) -> TaskPlan:
        """The plan of a task run."""
        return self.plan.tasks[key.task_id]

    def task(self, key: TaskKey) -> TaskRun:
        """The task run as it stands now; to be read only. Raises MissingError."""
        task = self.decision.tasks.get(key) or self._snapshot.tasks.get(key)
        if task is None:
            raise MissingError(tasks=[key])
        return task

    def require_tasks(self, keys: Iterable[TaskKey]) -> None:
        """Raises one MissingError for all of the task runs that are not loaded."""
        missing = [key for key in keys if key not in self.decision.tasks and key not in self._snapshot.tasks]
        if missing:
            raise MissingError(tasks=missing)

    def input_of(self, task: TaskRun) -> str:
        """The handler's input, as JSON. Raises MissingError."""
        if task.input is not None:
            return task.input  # it has become ready in this batch
        if self.plan_of(task.key).input is not None:
            if task.key not in self._snapshot.inputs:
                raise MissingError(inputs=[task.key])
            return self._snapshot.inputs[task.key]
        if self._snapshot.input is None:
            raise MissingError(execution_input=True)
        return self._snapshot.input

    def bindings(self, names: Names) -> dict[str, Any]:
        """What an expression with these names is evaluated on. Raises one MissingError for all it lacks."""
        self._require(names)
        bound: dict[str, Any] = {}
        if names.input:
            bound["input"] = json.loads(self._snapshot.input or "{}")
        if names.execution:
            bound["execution"] = self.execution.names
        if names.tasks:
            bound["tasks"] = {task_id: self._names_of(task_id, names) for task_id in names.tasks}
        return bound

    def _require(self, names: Names) -> None:
        lacks_input = names.input and self._snapshot.input is None
        statuses = [key for key in map(TaskKey, names.statuses) if key not in self.decision.tasks]
        tasks = [key for key in statuses if key not in self._snapshot.tasks]
        outputs = [task_id for task_id in names.outputs if not self._has_output(task_id)]
        if lacks_input or tasks or outputs:
            raise MissingError(tasks=tasks, outputs=outputs, execution_input=lacks_input)

    def _names_of(self, task_id: str, names: Names) -> dict[str, Any]:
        bound: dict[str, Any] = {}
        if task_id in names.outputs:
            bound["output"] = self._output(task_id)
        if task_id in names.statuses:
            bound["status"] = str(self.task(TaskKey(task_id)).status)
        return bound

    def _own_output(self, task_id: str) -> str | None:
        """The output of a task that this decision, or one before it in the batch, has just recorded."""
        key = TaskKey(task_id)
        task = self.decision.tasks.get(key) or self._snapshot.tasks.get(key)
        return None if task is None else task.output

    def _has_output(self, task_id: str) -> bool:
        snapshot = self._snapshot
        if self.plan.tasks[task_id].fan_out:
            return task_id in snapshot.item_outputs
        return self._own_output(task_id) is not None or task_id in snapshot.outputs

    def _output(self, task_id: str) -> Any:
        if self.plan.tasks[task_id].fan_out:
            return self._fan_out_output(task_id)
        own = self._own_output(task_id)
        return self._snapshot.outputs[task_id] if own is None else json.loads(own)

    def _fan_out_output(self, task_id: str) -> list[Any]:
        """The items' outputs in order: the stored ones, and over them those of this batch."""
        found = dict(self._snapshot.item_outputs[task_id])
        for tasks in (self._snapshot.tasks, self.decision.tasks):
            for key, task in tasks.items():
                if key.task_id == task_id and key.item != NO_ITEM and task.output is not None:
                    found[key.item] = task.output
        return [json.loads(found[item]) for item in sorted(found)]

    # -- writing --------------------------------------------------------------------------------

    def edit(self, key: TaskKey) -> TaskRun:
        """The task run, to be changed. Raises MissingError."""
        task = self.decision.tasks.get(key)
        if task is None:
            task = self.decision.tasks[key] = self.task(key).copy()
        return task

    def create(self, task: TaskRun) -> None:
        """A new task run."""
        self.decision.tasks[task.key] = task
        self.decision.new_tasks.add(task.key)
        self.execution.tasks_total += 1
        self.execution.tasks_open += 1

    def move(self, trigger: ExecutionTrigger) -> None:
        """Take the execution along a row of its table."""
        self.execution.status = next_execution_status(self.execution.status, trigger)

    def move_task(self, task: TaskRun, trigger: TaskTrigger) -> None:
        """Take a task run along a row of its table, and keep the counters; `task` comes from `edit`."""
        task.status = next_task_status(task.status, trigger)
        counter = _COUNTERS.get(task.status)
        if counter is not None:
            task.end_time = self.now
            task.ready_time = task.wake_time = task.frozen = None
            self.execution.tasks_open -= 1
            setattr(self.execution, counter, getattr(self.execution, counter) + 1)

    def release(self, task: TaskRun, status: AttemptStatus, failure: Failure | None = None) -> None:
        """Take the task from its worker, and keep how the attempt ended."""
        self.execution.tasks_running -= 1
        self.decision.attempts.append(
            EndedAttempt(
                task.key, task.epoch, task.attempt, status, task.worker_id, task.start_time, self.now, failure
            )
        )
        self.clear_lease(task)

    @staticmethod
    def clear_lease(task: TaskRun) -> None:
        """Forget the claim's times; the worker stays, as a note of who had it last."""
        task.boot_id = None
        task.lease_expire_time = task.close_time = task.silence_time = task.wake_time = None

    def revoke(self, task: TaskRun) -> None:
        """End the claim from our side: what its worker still says is stale from here on."""
        self.decision.revoked.append((task.key, task.epoch))
        self.decision.stop = True
        task.epoch += 1

    def event(self, type_: EventType, task: TaskRun | None = None, **details: Any) -> None:
        """Append the next event of the execution."""
        execution = self.execution
        execution.last_sequence += 1
        if task is not None:
            details |= {"task_id": task.key.task_id, "item": task.item, "attempt": task.attempt or None}
            details["worker_id"] = task.worker_id
        self.decision.events.append(
            Event(execution.last_sequence, type_, execution.status, self.now, execution.counts, **details)
        )

    def done(self, outcome: Outcome = Outcome.APPLIED) -> Decision:
        """The decision, complete."""
        self.execution.state_version += 1
        self.decision.outcome = outcome
        return self.decision

    def unchanged(self, outcome: Outcome = Outcome.UNCHANGED) -> Decision:
        """The decision that changes nothing, whatever was written so far."""
        return Decision(self._snapshot.execution, outcome)


_COUNTERS = {
    TaskStatus.SUCCEEDED: "tasks_succeeded",
    TaskStatus.FAILED: "tasks_failed",
    TaskStatus.CANCELLED: "tasks_cancelled",
    TaskStatus.SKIPPED: "tasks_skipped",
}
