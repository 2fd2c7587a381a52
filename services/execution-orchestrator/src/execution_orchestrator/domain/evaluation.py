"""Expressions of the definition, evaluated on what the execution has by now."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from workflow_expressions import Condition, ExpressionError, Names, Template

from execution_orchestrator.domain.errors import MissingError
from execution_orchestrator.domain.failure import EXPRESSION_ERROR, NON_RETRYABLE, Failure
from execution_orchestrator.domain.payloads import dump, problem_of_depth, problem_of_size
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey, TaskRun
from execution_orchestrator.domain.transition import Transition


class EvaluationFailedError(Exception):
    """An expression of the definition gave no usable value; carries the failure of the task."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = replace(failure, retry_state=NON_RETRYABLE).bounded()


def evaluation_failed(message: str) -> EvaluationFailedError:
    """The error of an expression that could not be evaluated, or gave something of the wrong kind."""
    return EvaluationFailedError(Failure(EXPRESSION_ERROR, message, non_retryable=True))


def evaluate(t: Transition, template: Template, what: str) -> Any:
    """The value of a template. Raises EvaluationFailedError, MissingError."""
    try:
        return template.evaluate(bindings(t, template.names))
    except ExpressionError as error:
        raise evaluation_failed(f"{what}: {error}") from None


def holds(t: Transition, condition: Condition, what: str) -> bool:
    """Whether a condition is true. Raises EvaluationFailedError, MissingError."""
    try:
        return condition.evaluate(bindings(t, condition.names))
    except ExpressionError as error:
        raise evaluation_failed(f"{what}: {error}") from None


def as_payload(value: Any, what: str) -> str:
    """Return a value as JSON. Raise EvaluationFailedError if it exceeds a limit or holds an infinite number."""
    try:
        text = dump(value)
    except ValueError:
        raise evaluation_failed(
            f"{what} holds a number that is infinite or NaN, which JSON does not have; guard against it with `? :`"
        ) from None
    problem = problem_of_size(text, what) or problem_of_depth(value, text, what)
    if problem is not None:
        raise EvaluationFailedError(problem)
    return text


def bindings(t: Transition, names: Names) -> dict[str, Any]:
    """What an expression with these names is evaluated on. Raises one MissingError for all it lacks."""
    require(t, [names])
    bound: dict[str, Any] = {}
    if names.input:
        bound["input"] = _parse(t, t.snapshot.input or "{}")
    if names.execution:
        bound["execution"] = t.execution.names
    if names.tasks:
        bound["tasks"] = {task_id: _names_of(t, task_id, names) for task_id in names.tasks}
    return bound


def require(t: Transition, several: Iterable[Names]) -> None:
    """Raises one MissingError for all that expressions with these names lack."""
    tasks: list[TaskKey] = []
    outputs: list[str] = []
    lacks_input = False
    for names in several:
        lacks_input |= names.input and t.snapshot.input is None
        tasks += [key for key in map(TaskKey, names.statuses) if t.find(key) is None]
        outputs += [task_id for task_id in names.outputs if not _has_output(t, task_id)]
    if lacks_input or tasks or outputs:
        raise MissingError(tasks=tasks, outputs=outputs, execution_input=lacks_input)


def _names_of(t: Transition, task_id: str, names: Names) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    if task_id in names.outputs:
        bound["output"] = _output(t, task_id)
    if task_id in names.statuses:
        bound["status"] = str(t.task(TaskKey(task_id)).status)
    return bound


def _has_output(t: Transition, task_id: str) -> bool:
    task = t.find(TaskKey(task_id))
    if task is not None and task.status is TaskStatus.SKIPPED:
        return True  # it has none; its row may not be stored yet
    if t.plan.tasks[task_id].fan_out:
        return task_id in t.snapshot.item_outputs or (task is not None and _ended_empty(task))
    return task_id in t.snapshot.outputs or (task is not None and task.output is not None)


def _ended_empty(fan_out: TaskRun) -> bool:
    return fan_out.status is TaskStatus.SUCCEEDED and fan_out.next_item == 0


def _output(t: Transition, task_id: str) -> Any:
    """What has just been recorded, else what was loaded; null where the task was skipped."""
    if t.plan.tasks[task_id].fan_out:
        return _fan_out_output(t, task_id)
    task = t.find(TaskKey(task_id))
    if task is not None and task.output is not None:
        return _parse(t, task.output)
    return t.snapshot.outputs.get(task_id)


def _fan_out_output(t: Transition, task_id: str) -> list[Any]:
    """The items' outputs in order: the stored ones, and over them those of this batch."""
    found = dict(t.snapshot.item_outputs.get(task_id, {}))
    for tasks in (t.snapshot.tasks, t.decision.tasks):
        for key, task in tasks.items():
            if key.task_id == task_id and key.item != NO_ITEM and task.output is not None:
                found[key.item] = task.output
    return [json.loads(found[item]) for item in sorted(found)]


def _parse(t: Transition, text: str) -> Any:
    """JSON parsed once for a decision, however many expressions read it; they don't change it."""
    try:
        return t.parsed[text]
    except KeyError:
        value = t.parsed[text] = json.loads(text)
        return value
