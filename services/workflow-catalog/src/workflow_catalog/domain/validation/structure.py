"""Check ids, types and needs, the parts of a definition that other parts refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from workflow_contract.names import WAIT_PREFIX

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.problem import Problem, unknown
from workflow_catalog.domain.validation.graph import TaskGraph


def structure_problems(tasks: Sequence[Mapping[str, Json]], graph: TaskGraph) -> Iterator[Problem]:
    """Yield a problem for a task without an id or a type, a repeated id, and an unknown or repeated need."""
    for index, task in enumerate(tasks):
        yield from _identity_problems(index, task, graph)
        yield from _need_problems(index, task, graph)


def _identity_problems(index: int, task: Mapping[str, Json], graph: TaskGraph) -> Iterator[Problem]:
    task_id = task.get("id", "")
    if not task_id:
        yield Problem(f"tasks[{index}].id", "is missing: give the task a name, such as `fetch_pages`")
    elif graph.index(task_id) != index:
        sentence = f"`{task_id}` is already the id of tasks[{graph.index(task_id)}]: give each task its own"
        yield Problem(f"tasks[{index}].id", sentence)
    task_type = task.get("type")
    field = f"tasks[{index}].type"
    if not task_type:
        yield Problem(field, "is missing: name the handler that runs it, such as `http.request`")
    elif task_type.startswith(WAIT_PREFIX):
        sentence = f"`{task_type}` is reserved for the engine, and no release runs it yet"
        yield Problem(field, f"{sentence}: name a handler of your workers")


def _need_problems(index: int, task: Mapping[str, Json], graph: TaskGraph) -> Iterator[Problem]:
    seen: set[str] = set()
    for position, need in enumerate(task.get("needs", [])):
        field = f"tasks[{index}].needs[{position}]"
        if need not in graph:
            sentence = f"`{need}` names no task"
            yield unknown(field, sentence, need, graph.ids, "add the task, or remove the need")
        elif need in seen:
            yield Problem(field, f"`{need}` is needed twice: remove one")
        seen.add(need)
