"""Check a draft before it becomes a version. Find all problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_FOUND, MAX_PROBLEMS, MAX_TASKS
from workflow_catalog.domain.problem import Problem
from workflow_catalog.domain.validation.children import Neighbours, child_problems
from workflow_catalog.domain.validation.expressions import expression_problems
from workflow_catalog.domain.validation.graph import TaskGraph
from workflow_catalog.domain.validation.schema import schema_problems
from workflow_catalog.domain.validation.structure import structure_problems
from workflow_catalog.domain.validation.times import time_problems
from workflow_catalog.domain.validation.value_types import ValueTypes

ALONE = Neighbours()


def find_problems(definition: Mapping[str, Json], around: Neighbours = ALONE) -> tuple[Problem, ...]:
    """Return the problems of a definition (JSON of the contract's WorkflowDefinition), as `first_problems`.

    The rules of single fields (patterns, ranges) belong to the contract, so they are not checked here. Takes
    up to a second of processor time for the largest definitions. May be repeated.
    """
    tasks = definition.get("tasks", [])
    if not 1 <= len(tasks) <= MAX_TASKS:
        return (Problem("tasks", f"has {len(tasks)} tasks: a workflow has 1 to {MAX_TASKS}"),)
    return first_problems(_all_problems(definition, tasks, around))


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return at most MAX_PROBLEMS distinct problems: errors first, then in the order of the definition."""
    found = dict.fromkeys(islice(problems, MAX_FOUND))
    return tuple(sorted(found, key=_position)[:MAX_PROBLEMS])


def _position(problem: Problem) -> tuple[bool, int, int]:
    name = re.split(r"[.\[]", problem.field, maxsplit=1)[0]
    place = _FIELDS.index(name) if name in _FIELDS else -1
    task = re.match(r"tasks\[(\d+)\]", problem.field)
    return not problem.is_error, place, int(task[1]) if task else -1


_FIELDS: Final = (
    *("description", "labels", "owner", "input_schema", "output", "execution_timeout", "defaults"),
    "tasks",
)


def _all_problems(
    definition: Mapping[str, Json], tasks: list[Mapping[str, Json]], around: Neighbours
) -> Iterator[Problem]:
    graph = TaskGraph(tasks)
    yield from structure_problems(tasks, graph)
    yield from graph.cycle_problems()
    broken = dict(_broken_schemas(definition, tasks))
    for found in broken.values():
        yield from found
    values = ValueTypes(None if "input_schema" in broken else definition.get("input_schema"))
    sound = [
        {**task, "output_schema": {}} if f"tasks[{index}].output_schema" in broken else task
        for index, task in enumerate(tasks)
    ]
    yield from expression_problems({**definition, "tasks": sound}, graph, values)
    yield from time_problems(definition)
    yield from child_problems(tasks, around)


def _broken_schemas(
    definition: Mapping[str, Json], tasks: list[Mapping[str, Json]]
) -> Iterator[tuple[str, list[Problem]]]:
    """Yield the path of each invalid schema, with its problems. Nothing is known about its values."""
    schemas = {"input_schema": definition.get("input_schema")}
    schemas.update({f"tasks[{n}].output_schema": task.get("output_schema") for n, task in enumerate(tasks)})
    for field, schema in schemas.items():
        if found := list(schema_problems(field, schema)):
            yield field, found
