"""Check that every expression of a definition parses, that its types fit, and that its names exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from workflow_contract.limits import MAX_FAN_OUT_ITEMS
from workflow_expressions import (
    ANY,
    Checked,
    ExpressionError,
    ExpressionWarning,
    Kind,
    ObjectType,
    Scope,
    Types,
    ValueType,
    check_condition,
    check_template,
    format_path,
)

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_EXPRESSIONS
from workflow_catalog.domain.problem import Problem, Severity
from workflow_catalog.domain.validation.graph import TaskGraph
from workflow_catalog.domain.validation.value_types import ValueTypes

_NO_INPUT: Final = ObjectType({})


def expression_problems(
    definition: Mapping[str, Json], graph: TaskGraph, values: ValueTypes
) -> Iterator[Problem]:
    """Yield problems of `when`, `for_each.items` and `input` of every task, and of `output`.

    Add the types of all tasks to `values`.
    """
    count = _count_expressions(definition)
    if count > MAX_EXPRESSIONS:
        sentence = f"has {count:,} expressions, over the limit of {MAX_EXPRESSIONS:,}: pass whole values"
        yield Problem("tasks", sentence)
        return
    everything = frozenset(graph.ids)
    for index in graph.order:
        task = definition["tasks"][index]
        upstream = graph.upstream(task.get("id", ""))
        known = everything if upstream is None else upstream
        check = _TaskCheck(f"tasks[{index}]", Scope(known, everything), values)
        yield from check.problems(task)
        values.add(task, check.input_type)
    if "output" in definition:
        found = check_template(definition["output"], scope=Scope(everything), types=Types(values.roots()))
        yield from _problems("output", found)


class _TaskCheck:
    """The check of one task's expressions. Its input may rely on the tests in `when`, and on the items."""

    def __init__(self, field: str, scope: Scope, values: ValueTypes) -> None:
        self.input_type: ValueType = ANY
        self._field = field
        self._scope = scope
        self._values = values
        self._types = Types(values.roots())

    def problems(self, task: Mapping[str, Json]) -> Iterator[Problem]:
        if "when" in task:
            found, tested = check_condition(task["when"], scope=self._scope, types=self._types)
            self._types = Types(self._types.roots, tested)
            yield from (_problem(f"{self._field}.when", error) for error in found)
        self.input_type = _NO_INPUT
        scope = self._scope
        if "for_each" in task:
            items = check_template(task["for_each"].get("items"), scope=scope, types=self._types)
            yield from _items_problems(f"{self._field}.for_each.items", task["for_each"].get("items"), items)
            self.input_type = items.type.item
            self._types = Types(self._values.roots(items.type.item), self._types.guarded)
            scope = Scope(scope.tasks, scope.later_tasks, in_fan_out=True)
        if "input" in task:
            checked = check_template(task["input"], scope=scope, types=self._types)
            self.input_type = checked.type
            yield from _problems(f"{self._field}.input", checked)


def _items_problems(field: str, items: Json, found: Checked) -> Iterator[Problem]:
    yield from _problems(field, found)
    if found.type.kind not in (Kind.ANY, Kind.LIST):
        yield Problem(field, "must be a list, or one expression that gives a list, such as `${input.pages}`")
    elif isinstance(items, list) and len(items) > MAX_FAN_OUT_ITEMS:
        yield Problem(
            field, f"has {len(items):,} items, over the limit of {MAX_FAN_OUT_ITEMS:,}: split the list"
        )


def _problems(field: str, found: Checked) -> Iterator[Problem]:
    return (_problem(field, error) for error in found.problems)


def _problem(field: str, error: ExpressionError) -> Problem:
    path = format_path(error.path)
    joint = "." if path and not path.startswith("[") else ""
    severity = Severity.WARNING if isinstance(error, ExpressionWarning) else Severity.ERROR
    return Problem(f"{field}{joint}{path}", str(error.within(())), severity, error.suggestion)


def _count_expressions(value: Json) -> int:
    count = 0
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            count += each.count("${")
        elif isinstance(each, dict | list):
            pending.extend(each.values() if isinstance(each, dict) else each)
    return count
