"""The consequences of a task's end: its dependants become ready, are skipped, or fan out.

A completion touches the task's dependants and nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from workflow_contract.limits import MAX_FAN_OUT_ITEMS
from workflow_expressions import Budget, ExpressionError, WorkLimitError

from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.failure import PAYLOAD_TOO_LARGE, Failure
from execution_orchestrator.domain.limits import ITEM_WORK, MAX_FAN_OUT_INPUT_BYTES
from execution_orchestrator.domain.payloads import size_bytes
from execution_orchestrator.domain.plan import FanOut, TaskPlan
from execution_orchestrator.domain.rules.evaluation import (
    EvaluationFailedError,
    Place,
    as_payload,
    evaluate,
    evaluated,
    evaluation_failed,
    holds,
    require,
)
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import TaskTrigger
from execution_orchestrator.domain.task import TaskKey, TaskRun


def activate_roots(t: Transition) -> None:
    """Begin the tasks that need no other task."""
    _activate_all(t, [TaskKey(task_id) for task_id in t.plan.roots])


def unblock_dependants(t: Transition, task_id: str) -> None:
    """Begin the dependants that have no unmet need left, after a task succeeded or was skipped."""
    _activate_all(t, _count_down(t, task_id))


def _count_down(t: Transition, task_id: str, levels_ahead: int = 0) -> list[TaskKey]:
    """Decrement the unmet needs of each dependant. Return the dependants whose needs are all met."""
    dependants = t.plan.dependants[task_id]
    if any(t.find(TaskKey(each)) is None for each in dependants):
        t.require_tasks(map(TaskKey, t.plan.may_follow(dependants, levels_ahead)))
    free = []
    for each in dependants:
        task = t.edit(TaskKey(each))
        task.unmet_needs -= 1
        if task.unmet_needs == 0:
            free.append(task.key)
    return free


def _activate_all(t: Transition, keys: Iterable[TaskKey]) -> None:
    """Begin tasks. A task that ends at once (skipped, or an empty fan-out) frees its dependants in turn.

    A long chain of such tasks loads further and further ahead: twice as far each time.
    """
    layer = list(keys)
    ended_at_once = 0
    while layer:
        if len(layer) > 1:
            require(t, [t.plan_of(key).names_to_begin for key in layer])
        following: list[TaskKey] = []
        for key in layer:
            if t.execution.failure is not None:
                return
            if _activate(t, t.edit(key)):
                ended_at_once += 1
                following += _count_down(t, key.task_id, levels_ahead=ended_at_once)
        layer = following


def _activate(t: Transition, task: TaskRun) -> bool:
    """Begin one task. Return whether it has ended already."""
    plan = t.plan_of(task.key)
    try:
        if plan.when is not None and not holds(t, plan.when, _place(plan, "when", "`when`")):
            t.move_task(task, TaskTrigger.SKIP)
            t.event(EventType.TASK_SKIPPED, task)
            return True
        if plan.fan_out is not None:
            return _expand(t, task, plan, plan.fan_out)
        if plan.input is not None:
            set_input(task, evaluate(t, plan.input, _place(plan, "input", "the input")))
    except EvaluationFailedError as error:
        fail_unstarted(t, task, error.failure)
        return False
    t.move_task(task, TaskTrigger.UNBLOCK)
    make_ready(t, task)
    return False


def _expand(t: Transition, parent: TaskRun, plan: TaskPlan, fan_out: FanOut) -> bool:
    """Create a task run for each item, and make the first ones ready. Return whether the fan-out is empty."""
    names = fan_out.items.names if plan.input is None else fan_out.items.names | plan.input.names
    place = _place(plan, "for_each", "`for_each.items`")
    inputs = evaluated(t, place, names, partial(_item_inputs, plan, fan_out))
    t.move_task(parent, TaskTrigger.EXPAND)
    parent.start_time = t.now
    parent.items_open = len(inputs)
    parent.next_item = min(fan_out.max_parallel or len(inputs), len(inputs))
    for index, item_input in enumerate(inputs):
        task = new_task(plan, TaskKey(plan.id, index), unmet_needs=1, run_number=parent.run_number)
        set_input(task, item_input)
        t.create(task)
        if index < parent.next_item:
            _start_item(t, task)
    t.event(EventType.TASK_EXPANDED, parent, item_count=len(inputs))
    if not inputs:
        _end_fan_out(t, parent)
    return not inputs


def _place(plan: TaskPlan, field: str, what: str) -> Place:
    return Place((plan.id, field), f"{what} of task `{plan.id}`")


def _item_inputs(
    plan: TaskPlan, fan_out: FanOut, bound: Mapping[str, Any], budget: Budget
) -> list[str | None]:
    """Return the input of each item. Raise WorkLimitError if the budget does not suffice for all items."""
    items = _items(plan, fan_out, bound, budget)
    if plan.input is None:
        return [None] * len(items)
    budget.spend(len(items) * ITEM_WORK)
    evaluate_for = plan.input.for_items(bound, budget)
    inputs: list[str | None] = []
    total_bytes = 0
    for index, item in enumerate(items):
        text = _item_input(evaluate_for, item, index, f"the input of item {index} of task `{plan.id}`")
        inputs.append(text)
        total_bytes += size_bytes(text)
        if total_bytes > MAX_FAN_OUT_INPUT_BYTES:
            raise _inputs_too_large(plan)
    return inputs


def _items(plan: TaskPlan, fan_out: FanOut, bound: Mapping[str, Any], budget: Budget) -> list[Any]:
    what = f"`for_each.items` of task `{plan.id}`"
    items = fan_out.items.evaluate(bound, budget)
    if not isinstance(items, list):
        raise evaluation_failed(f"{what} must give a list; it gave {type(items).__name__}")
    if len(items) > MAX_FAN_OUT_ITEMS:
        raise evaluation_failed(
            f"{what} gave {len(items):,} items; at most {MAX_FAN_OUT_ITEMS:,} are run, so give it parts"
        )
    return items


def _item_input(evaluate_for: Callable[[Any, int], Any], item: Any, index: int, what: str) -> str:
    try:
        return as_payload(evaluate_for(item, index), what)
    except WorkLimitError:
        raise
    except ExpressionError as error:
        raise evaluation_failed(f"{what}: {error}") from None


def _inputs_too_large(plan: TaskPlan) -> EvaluationFailedError:
    message = (
        f"the inputs of the items of task `{plan.id}` are over {MAX_FAN_OUT_INPUT_BYTES:,} bytes together; "
        "pass references instead of the data"
    )
    return EvaluationFailedError(Failure(PAYLOAD_TOO_LARGE, message, non_retryable=True))


def _start_item(t: Transition, task: TaskRun) -> None:
    """Make an item ready, because it is its turn."""
    task.unmet_needs = 0
    t.move_task(task, TaskTrigger.UNBLOCK)
    make_ready(t, task)


def _end_fan_out(t: Transition, parent: TaskRun) -> None:
    """Complete a fan-out whose items have all succeeded."""
    t.move_task(parent, TaskTrigger.SUCCEED)
    t.event(EventType.TASK_SUCCEEDED, parent)


def succeed_item(t: Transition, item: TaskRun) -> bool:
    """Give the next item its turn after an item has succeeded. Return whether it was the last item."""
    key = item.key
    parent = t.edit(TaskKey(key.task_id))
    parent.items_open -= 1
    parent.output_bytes += item.output_bytes
    if _has_blocked_items(t, parent):
        _start_item(t, t.edit(TaskKey(key.task_id, parent.next_item)))
        parent.next_item += 1
    if parent.items_open == 0:
        _end_fan_out(t, parent)
    return parent.items_open == 0


def _has_blocked_items(t: Transition, parent: TaskRun) -> bool:
    """Return whether items wait for their turn.

    Of at most k items at a time, k - 1 are under way now. So items wait if at least k are open.
    """
    fan_out = t.plan_of(parent.key).fan_out
    return fan_out is not None and 0 < fan_out.max_parallel <= parent.items_open


def new_task(plan: TaskPlan, key: TaskKey, unmet_needs: int, run_number: int) -> TaskRun:
    """Return a task run that has not begun."""
    return TaskRun(
        key,
        plan.type,
        plan.queue,
        unmet_needs=unmet_needs,
        heartbeat_timeout=plan.heartbeat_timeout,
        run_number=run_number,
    )


def set_input(task: TaskRun, text: str | None) -> None:
    """Give the task its input, as JSON. None means the execution's input."""
    if text is not None:
        task.input, task.input_bytes = text, size_bytes(text)


def make_ready(t: Transition, task: TaskRun) -> None:
    """Put a task that has just become READY into the queue, or freeze it if its execution is frozen."""
    waits = t.plan_of(task.key).schedule_to_start
    if t.execution.frozen:
        task.frozen = waits
        return
    task.ready_time = task.last_ready_time = t.now
    task.wake_time = t.now + waits
    t.decision.ready.append(task.key)


def fail_unstarted(t: Transition, task: TaskRun, failure: Failure) -> None:
    """Fail a task that no worker has, and with it the execution."""
    task.failure = task.locate(failure, failure.retry_state)
    t.move_task(task, TaskTrigger.FAIL)
    t.execution.failure = t.execution.failure or task.failure
    t.event(EventType.TASK_FAILED, task, failure=task.failure)
