"""The evaluation of expressions on the execution's input and the outputs so far."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from workflow_expressions import Budget, Condition, ExpressionError, Names, Template, WorkLimitError

from execution_orchestrator.domain.decision import MissingError
from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.failure import EXPRESSION_ERROR, NON_RETRYABLE, PAYLOAD_TOO_LARGE, Failure
from execution_orchestrator.domain.limits import (
    MAX_FAN_OUT_OUTPUT_BYTES,
    MAX_INLINE_EVALUATION_BYTES,
    MAX_INLINE_EVALUATION_WORK,
)
from execution_orchestrator.domain.payloads import (
    dump,
    problem_of_depth,
    problem_of_size,
    problem_of_value_size,
)
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import TaskStatus
from execution_orchestrator.domain.task import NO_ITEM, TaskKey, TaskRun

T = TypeVar("T")

Compute = Callable[[dict[str, Any], Budget], T]
"""An evaluation on bindings. It is pure, so it may run on any thread."""


class Place(NamedTuple):
    """The place of an expression in its definition."""

    key: tuple[str, str]
    """Task id (empty for the workflow) and field. No two expressions of a plan have the same key."""
    what: str
    """Its name in errors."""


class EvaluationFailedError(Exception):
    """An expression of the definition gave no usable value. `failure` is the failure of the task."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = replace(failure, retry_state=NON_RETRYABLE).bounded()


def evaluation_failed(message: str) -> EvaluationFailedError:
    """Return the error of an expression that could not be evaluated, or gave a value of a wrong type."""
    return EvaluationFailedError(Failure(EXPRESSION_ERROR, message, non_retryable=True))


def evaluate(t: Transition, template: Template, place: Place) -> str:
    """Return the value of a template as JSON. Errors as for `evaluated`."""
    return evaluated(t, place, template.names, partial(_payload_of, template, place.what))


def holds(t: Transition, condition: Condition, place: Place) -> bool:
    """Return whether a condition is true. Errors as for `evaluated`."""
    return evaluated(t, place, condition.names, condition.evaluate)


def evaluated(t: Transition, place: Place, names: Names, compute: Compute[T]) -> T:
    """Return the result of `compute` on the values of these names.

    Compute it here only if that is fast. Otherwise raise HeavyEvaluationError: the caller computes it on a
    thread, and decides again. Raise EvaluationFailedError and MissingError.
    """
    if place.key in t.snapshot.evaluated:
        found: T | EvaluationFailedError = t.snapshot.evaluated[place.key]
        if isinstance(found, EvaluationFailedError):
            raise found
        return found
    sources = _sources(t, names)
    if sources.size <= MAX_INLINE_EVALUATION_BYTES:
        try:
            return _computed(compute, sources.bound(t.parsed), place, Budget(MAX_INLINE_EVALUATION_WORK))
        except WorkLimitError:
            pass
    raise HeavyEvaluationError(place.key, partial(_compute_elsewhere, compute, sources, place))


def _compute_elsewhere(compute: Compute[T], sources: "Sources", place: Place) -> T | EvaluationFailedError:
    try:
        return _computed(compute, sources.bound({}), place, Budget())
    except WorkLimitError as error:
        return evaluation_failed(f"{place.what}: {error}")
    except EvaluationFailedError as error:
        return error


def _computed(compute: Compute[T], bound: dict[str, Any], place: Place, budget: Budget) -> T:
    try:
        return compute(bound, budget)
    except WorkLimitError:
        raise
    except ExpressionError as error:
        raise evaluation_failed(f"{place.what}: {error}") from None


def _payload_of(template: Template, what: str, bound: dict[str, Any], budget: Budget) -> str:
    return as_payload(template.evaluate(bound, budget), what)


def as_payload(value: Any, what: str) -> str:
    """Return a value as JSON. Raise EvaluationFailedError if it exceeds a limit or JSON has no such value."""
    try:
        text = dump(value)
    except ValueError:
        raise evaluation_failed(
            f"{what} holds a number that is infinite or NaN, which JSON does not have; "
            "guard against it with `? :`"
        ) from None
    problem = (
        problem_of_size(text, what)
        or problem_of_depth(value, text, what)
        or problem_of_value_size(value, text, what)
    )
    if problem is not None:
        raise EvaluationFailedError(problem)
    return text


@dataclass(frozen=True, slots=True)
class Sources:
    """The values that an expression reads, as JSON that is not parsed yet. They never change."""

    input: str | None
    execution: Mapping[str, Any] | None
    outputs: Mapping[str, str | list[str] | None]
    """By task id. A fan-out has the list of its items' outputs."""
    statuses: Mapping[str, str]

    @property
    def size(self) -> int:
        """The number of characters of JSON."""
        outputs = sum(_size_of(output) for output in self.outputs.values())
        return len(self.input or "") + outputs

    def bound(self, parsed: dict[str, Any]) -> dict[str, Any]:
        """Return the bindings. `parsed` keeps the value of each JSON text for the next call."""
        bound: dict[str, Any] = {}
        if self.input is not None:
            bound["input"] = _parse(self.input, parsed)
        if self.execution is not None:
            bound["execution"] = self.execution
        if self.outputs or self.statuses:
            bound["tasks"] = tasks = {
                task_id: {"status": status} for task_id, status in self.statuses.items()
            }
            for task_id, output in self.outputs.items():
                tasks.setdefault(task_id, {})["output"] = _value_of(output, parsed)
        return bound


def _sources(t: Transition, names: Names) -> Sources:
    """Return the values of these names. Raise one MissingError for all values that are not loaded."""
    require(t, [names])
    _refuse_large_outputs(t, names)
    return Sources(
        (t.snapshot.input or "{}") if names.input else None,
        t.execution.names if names.execution else None,
        {task_id: _output(t, task_id) for task_id in names.outputs},
        {task_id: str(t.task(TaskKey(task_id)).status) for task_id in names.statuses},
    )


def _size_of(output: str | list[str] | None) -> int:
    return sum(map(len, output)) if isinstance(output, list) else len(output or "")


def _value_of(output: str | list[str] | None, parsed: dict[str, Any]) -> Any:
    if isinstance(output, list):
        return [json.loads(each) for each in output]
    return None if output is None else _parse(output, parsed)


def require(t: Transition, several: Iterable[Names]) -> None:
    """Raise one MissingError for all values of these names that are not loaded."""
    tasks: list[TaskKey] = []
    outputs: list[str] = []
    lacks_input = False
    for names in several:
        lacks_input |= names.input and t.snapshot.input is None
        tasks += [key for key in map(TaskKey, names.statuses) if t.find(key) is None]
        for task_id in names.outputs:
            if t.plan.tasks[task_id].fan_out and t.find(TaskKey(task_id)) is None:
                tasks.append(TaskKey(task_id))  # its row says whether the outputs are small enough to load
            elif not _has_output(t, task_id):
                outputs.append(task_id)
    if lacks_input or tasks or outputs:
        raise MissingError(tasks=tasks, outputs=outputs, execution_input=lacks_input)


def _has_output(t: Transition, task_id: str) -> bool:
    task = t.find(TaskKey(task_id))
    if task is not None and task.status is TaskStatus.SKIPPED:
        return True  # it has no output, and its row may not be stored yet
    if t.plan.tasks[task_id].fan_out:
        if _outputs_too_large(t, task_id):
            return True  # the evaluation refuses them, so nobody loads them
        return task_id in t.snapshot.item_outputs or (task is not None and _ended_empty(task))
    return task_id in t.snapshot.outputs or (task is not None and task.output is not None)


def _outputs_too_large(t: Transition, task_id: str) -> bool:
    fan_out = t.task(TaskKey(task_id))
    return fan_out.output_bytes > MAX_FAN_OUT_OUTPUT_BYTES or task_id in t.snapshot.too_large


def _refuse_large_outputs(t: Transition, names: Names) -> None:
    """Raise EvaluationFailedError if the outputs of a fan-out are too large to be read by an expression."""
    for task_id in names.outputs:
        if t.plan.tasks[task_id].fan_out and _outputs_too_large(t, task_id):
            message = (
                f"the outputs of the items of task `{task_id}` are over {MAX_FAN_OUT_OUTPUT_BYTES:,} bytes "
                "together, which no expression can read; return references from the items instead of the data"
            )
            raise EvaluationFailedError(Failure(PAYLOAD_TOO_LARGE, message, non_retryable=True))


def _ended_empty(fan_out: TaskRun) -> bool:
    return fan_out.status is TaskStatus.SUCCEEDED and fan_out.next_item == 0


def _output(t: Transition, task_id: str) -> str | list[str] | None:
    """Return the output of this batch, else the stored one; None if the task was skipped."""
    if t.plan.tasks[task_id].fan_out:
        return _fan_out_output(t, task_id)
    task = t.find(TaskKey(task_id))
    if task is not None and task.output is not None:
        return task.output
    return t.snapshot.outputs.get(task_id)


def _fan_out_output(t: Transition, task_id: str) -> list[str]:
    """Return the outputs of the items, in order. An output of this batch replaces the stored one."""
    found = dict(t.snapshot.item_outputs.get(task_id, {}))
    for tasks in (t.snapshot.tasks, t.decision.tasks):
        for key, task in tasks.items():
            if key.task_id == task_id and key.item != NO_ITEM and task.output is not None:
                found[key.item] = task.output
    return [found[item] for item in sorted(found)]


def _parse(text: str, parsed: dict[str, Any]) -> Any:
    """Return the value of JSON. One decision parses each text once; no expression changes the value."""
    try:
        return parsed[text]
    except KeyError:
        value = parsed[text] = json.loads(text)
        return value
