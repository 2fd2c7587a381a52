"""What follows when a task ends: its dependants become ready, are skipped, or fan out.

A completion touches the task's dependants and nothing else.
"""

import json
from typing import Any

from workflow_expressions import ExpressionError, Template

from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.failure import EXPRESSION_ERROR, PAYLOAD_TOO_LARGE, Failure
from execution_orchestrator.domain.limits import MAX_FAN_OUT_ITEMS, MAX_PAYLOAD_BYTES
from execution_orchestrator.domain.plan import FanOut, TaskPlan
from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus, TaskTrigger
from execution_orchestrator.domain.task import TaskKey, TaskRun
from execution_orchestrator.domain.transition import Transition


class EvaluationFailedError(Exception):
    """An expression of the definition gave no usable value; carries the failure of the task."""

    def __init__(self, type_: str, message: str, task_id: str = "") -> None:
        super().__init__(message)
        self.failure = Failure(
            type_, message, non_retryable=True, task_id=task_id, retry_state="non-retryable"
        )


def evaluate(t: Transition, template: Template) -> Any:
    """The value of a template. Raises EvaluationFailedError, MissingError."""
    try:
        return template.evaluate(t.bindings(template.names))
    except ExpressionError as error:
        raise EvaluationFailedError(EXPRESSION_ERROR, str(error)) from None


def as_payload(value: Any, what: str) -> str:
    """A value as JSON. Raises EvaluationFailedError where it is over the limit."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) * 4 > MAX_PAYLOAD_BYTES and len(text.encode()) > MAX_PAYLOAD_BYTES:
        message = f"{what} is over {MAX_PAYLOAD_BYTES:,} bytes as JSON; pass a reference instead of the data"
        raise EvaluationFailedError(PAYLOAD_TOO_LARGE, message)
    return text


def activate_roots(t: Transition) -> None:
    """Begin: what needs nothing becomes ready."""
    _activate_all(t, [TaskKey(task_id) for task_id in t.plan.roots])


def unblock_dependants(t: Transition, task_id: str) -> None:
    """A task has ended well or was skipped: count down what needs it, begin what needs no more."""
    _activate_all(t, _count_down(t, task_id))


def _count_down(t: Transition, task_id: str) -> list[TaskKey]:
    keys = [TaskKey(each) for each in t.plan.dependants[task_id]]
    t.require_tasks(keys)
    free = []
    for key in keys:
        task = t.edit(key)
        task.unmet_needs -= 1
        if task.unmet_needs == 0 and not task.final:
            free.append(key)
    return free


def _activate_all(t: Transition, keys: list[TaskKey]) -> None:
    """Begin tasks; those that end at once (skipped, an empty fan-out) free others in turn."""
    pending = keys
    while pending and t.execution.failure is None:
        key = pending.pop()
        if _activate(t, t.edit(key)):
            pending.extend(_count_down(t, key.task_id))


def _activate(t: Transition, task: TaskRun) -> bool:
    """Begin one task; returns whether it has ended already."""
    plan = t.plan_of(task.key)
    try:
        if plan.when is not None and not _holds(t, plan):
            t.move_task(task, TaskTrigger.SKIP)
            t.event(EventType.TASK_SKIPPED, task)
            return True
        if plan.fan_out is not None:
            return _expand(t, task, plan, plan.fan_out)
        if plan.input is not None:
            task.input = as_payload(evaluate(t, plan.input), f"the input of task `{task.key.task_id}`")
    except EvaluationFailedError as error:
        fail_unstarted(t, task, error.failure)
        return False
    t.move_task(task, TaskTrigger.UNBLOCK)
    make_ready(t, task)
    return False


def _holds(t: Transition, plan: TaskPlan) -> bool:
    assert plan.when is not None
    try:
        return plan.when.evaluate(t.bindings(plan.when.names))
    except ExpressionError as error:
        raise EvaluationFailedError(EXPRESSION_ERROR, f"`when` of task `{plan.id}`: {error}") from None


def _expand(t: Transition, parent: TaskRun, plan: TaskPlan, fan_out: FanOut) -> bool:
    items = _items(t, plan, fan_out)
    inputs = _item_inputs(t, plan, items)
    t.move_task(parent, TaskTrigger.EXPAND)
    parent.start_time = t.now
    parent.items_open = len(items)
    parent.next_item = min(fan_out.max_parallel or len(items), len(items))
    for index, item_input in enumerate(inputs):
        task = new_task(plan, TaskKey(plan.id, index), unmet_needs=1)
        task.input = item_input
        t.create(task)
        if index < parent.next_item:
            start_item(t, task)
    t.event(EventType.TASK_EXPANDED, parent)
    if not items:
        end_fan_out(t, parent)
        return True
    return False


def _items(t: Transition, plan: TaskPlan, fan_out: FanOut) -> list[Any]:
    items = evaluate(t, fan_out.items)
    if not isinstance(items, list):
        message = f"`for_each.items` of task `{plan.id}` must give a list; it gave {type(items).__name__}"
        raise EvaluationFailedError(EXPRESSION_ERROR, message)
    if len(items) > MAX_FAN_OUT_ITEMS:
        message = (
            f"`for_each.items` of task `{plan.id}` gave {len(items):,} items; "
            f"at most {MAX_FAN_OUT_ITEMS:,} are run"
        )
        raise EvaluationFailedError(EXPRESSION_ERROR, message)
    return items


def _item_inputs(t: Transition, plan: TaskPlan, items: list[Any]) -> list[str | None]:
    template = plan.input
    if template is None:
        return [None] * len(items)
    bound = t.bindings(template.names)
    what = f"the input of an item of task `{plan.id}`"
    try:
        return [
            as_payload(template.evaluate(bound | {"item": item, "index": index}), what)
            for index, item in enumerate(items)
        ]
    except ExpressionError as error:
        raise EvaluationFailedError(EXPRESSION_ERROR, f"{what}: {error}") from None


def start_item(t: Transition, task: TaskRun) -> None:
    """It is the item's turn."""
    task.unmet_needs = 0
    t.move_task(task, TaskTrigger.UNBLOCK)
    make_ready(t, task)


def end_fan_out(t: Transition, parent: TaskRun) -> None:
    """Every item has ended well."""
    t.move_task(parent, TaskTrigger.SUCCEED)
    t.event(EventType.TASK_SUCCEEDED, parent)


def new_task(plan: TaskPlan, key: TaskKey, unmet_needs: int) -> TaskRun:
    """A task run that has not begun."""
    return TaskRun(
        key, plan.type, plan.queue, unmet_needs=unmet_needs, heartbeat_timeout=plan.heartbeat_timeout
    )


def make_ready(t: Transition, task: TaskRun) -> None:
    """A task that has just become READY waits in the queue, or frozen while its execution is paused."""
    waits = t.plan_of(task.key).schedule_to_start
    if t.execution.status is ExecutionStatus.PAUSED:
        task.frozen = waits
        return
    task.ready_time = t.now
    task.wake_time = t.now + waits
    t.decision.ready.append(task.key)


def fail_unstarted(t: Transition, task: TaskRun, failure: Failure) -> None:
    """A task that no worker has fails for good, and with it the execution."""
    failure = Failure(
        failure.type,
        failure.message,
        non_retryable=True,
        task_id=task.key.task_id,
        item=task.item,
        attempt=task.attempt,
        retry_state=failure.retry_state,
    )
    t.move_task(task, TaskTrigger.FAIL)
    task.failure = failure
    t.execution.failure = t.execution.failure or failure
    t.event(EventType.TASK_FAILED, task, failure=failure)


def succeed_item(t: Transition, key: TaskKey) -> bool:
    """An item has ended well: the next one gets its turn. Returns whether it was the last."""
    parent_key = TaskKey(key.task_id)
    t.require_tasks([parent_key])
    parent = t.edit(parent_key)
    parent.items_open -= 1
    following = TaskKey(key.task_id, parent.next_item)
    if _has_blocked_items(t, parent):
        task = t.edit(following)
        parent.next_item += 1
        if task.status is TaskStatus.BLOCKED:
            start_item(t, task)
    if parent.items_open == 0:
        end_fan_out(t, parent)
        return True
    return False


def _has_blocked_items(t: Transition, parent: TaskRun) -> bool:
    """Whether items wait for their turn: of k at a time k - 1 are under way now, and more are open."""
    fan_out = t.plan_of(parent.key).fan_out
    return fan_out is not None and 0 < fan_out.max_parallel <= parent.items_open
