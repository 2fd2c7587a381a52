"""Every expression of a definition: it parses, its types fit, it names only what exists where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import workflow_expressions as expressions
from workflow_expressions import ExpressionError, Scope, compile_condition, compile_template

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.errors import Problem
from workflow_catalog.domain.limits import MAX_FAN_OUT_ITEMS
from workflow_catalog.domain.validation.graph import TaskGraph


def expression_problems(definition: Mapping[str, Json], graph: TaskGraph) -> Iterator[Problem]:
    """Problems of `when`, `for_each.items` and `input` of every task, and of `output`."""
    everything = frozenset(graph.ids)
    for index, task in enumerate(definition["tasks"]):
        upstream = graph.upstream(task.get("id", ""))
        if upstream is None:
            scope = Scope(tasks=everything)
        else:
            scope = Scope(tasks=upstream, later_tasks=everything - upstream)
        yield from _task_problems(f"tasks[{index}]", task, scope)
    if "output" in definition:
        yield from _template_problems("output", definition["output"], Scope(tasks=everything))


def _task_problems(field: str, task: Mapping[str, Json], scope: Scope) -> Iterator[Problem]:
    if "when" in task:
        try:
            compile_condition(task["when"], scope=scope)
        except ExpressionError as error:
            yield _problem(f"{field}.when", error)
    if "for_each" in task:
        yield from _items_problems(f"{field}.for_each.items", task["for_each"].get("items"), scope)
    if "input" in task:
        inside = Scope(scope.tasks, scope.later_tasks, in_fan_out="for_each" in task)
        yield from _template_problems(f"{field}.input", task["input"], inside)


def _items_problems(field: str, items: Json, scope: Scope) -> Iterator[Problem]:
    problems = list(_template_problems(field, items, scope))
    if problems:
        yield from problems
        return
    kind = compile_template(items, scope=scope).result_type
    if kind not in ("LIST", "DYN"):
        yield Problem(field, "must be a list, or one expression that gives a list, as `${input.pages}`")
    elif isinstance(items, list) and len(items) > MAX_FAN_OUT_ITEMS:
        yield Problem(
            field, f"has {len(items):,} items, over the limit of {MAX_FAN_OUT_ITEMS:,}: split the list"
        )


def _template_problems(field: str, template: Json, scope: Scope) -> Iterator[Problem]:
    for error in expressions.find_problems(template, scope=scope):
        yield _problem(field, error)


def _problem(field: str, error: ExpressionError) -> Problem:
    path = expressions.format_path(error.path)
    joint = "." if path and not path.startswith("[") else ""
    return Problem(f"{field}{joint}{path}", str(error.within(())))
