"""What must hold before a draft becomes a version: everything that can be known is checked, all at once."""

from __future__ import annotations

from collections.abc import Mapping

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.errors import Problem
from workflow_catalog.domain.limits import MAX_PROBLEMS, MAX_TASKS
from workflow_catalog.domain.validation.expressions import expression_problems
from workflow_catalog.domain.validation.graph import TaskGraph
from workflow_catalog.domain.validation.schema import schema_problems
from workflow_catalog.domain.validation.structure import structure_problems
from workflow_catalog.domain.validation.times import time_problems


def find_problems(definition: Mapping[str, Json]) -> tuple[Problem, ...]:
    """Every problem of a definition (JSON of the contract's WorkflowDefinition), at most 100.

    Rules of single fields (patterns, ranges) are the contract's and were checked when the draft was saved.
    Takes up to a second of CPU for the largest definitions.
    """
    tasks = definition.get("tasks", [])
    if not 1 <= len(tasks) <= MAX_TASKS:
        return (Problem("tasks", f"has {len(tasks)} tasks: a workflow has 1 to {MAX_TASKS}"),)
    graph = TaskGraph(tasks)
    problems = [
        *structure_problems(tasks, graph),
        *graph.cycle_problems(),
        *expression_problems(definition, graph),
        *schema_problems(definition.get("input_schema")),
        *time_problems(definition),
    ]
    return tuple(problems[:MAX_PROBLEMS])
