"""The tasks of a definition as a graph: layers by longest path, and the orders in which they can be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SWEEPS = 6


class CycleError(Exception):
    """Tasks that need each other in a circle: there is no order to draw them in."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(" → ".join(ids))
        self.ids = tuple(ids)


@dataclass(frozen=True, slots=True)
class GraphTask:
    """A task as it is drawn."""

    id: str
    type: str = ""
    needs: tuple[str, ...] = ()
    when: str = ""
    fan_out: str = ""
    """`×3` or `×N`; empty where it runs once."""
    items: str = ""
    """The expression that the items come from."""
    child: str = ""
    """The workflow that it runs, with its version."""
    missing: tuple[str, ...] = field(default=())
    """What it needs and is not there."""


def graph_tasks(definition: Any) -> list[GraphTask]:
    """The tasks in the definition's order; of two with the same id the first."""
    first: dict[str, Any] = {}
    for task in definition.tasks:
        first.setdefault(task.id, task)
    return [_graph_task(task, first) for task in first.values()]


def _graph_task(task: Any, known: Mapping[str, Any]) -> GraphTask:
    needs = tuple(dict.fromkeys(task.needs))
    fan_out = items = child = ""
    if task.HasField("for_each"):
        of = task.for_each.items
        literal = of.HasField("list_value")
        fan_out = f"×{len(of.list_value.values)}" if literal else "×N"
        items = "" if literal else of.string_value
    if task.HasField("workflow"):
        version = f" v{task.workflow.version}" if task.workflow.version else ""
        child = f"{task.workflow.workflow_id}{version}"
    return GraphTask(
        task.id,
        task.type,
        tuple(need for need in needs if need in known),
        task.when,
        fan_out,
        items,
        child,
        tuple(need for need in needs if need not in known),
    )


def layers(tasks: Sequence[GraphTask]) -> list[list[GraphTask]]:
    """Each task one layer below the deepest that it needs; within a layer ordered so that few lines cross.

    Raises CycleError.
    """
    depth = _depths(tasks)
    result: list[list[GraphTask]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for task in tasks:
        result[depth[task.id]].append(task)
    return _uncrossed(result)


def depth_first(tasks: Sequence[GraphTask]) -> list[GraphTask]:
    """What was begun is ended before the next begins: few lines are open at a time. Raises CycleError."""
    _depths(tasks)
    dependants = dependants_of(tasks)
    waits_for = {task.id: len(task.needs) for task in tasks}
    by_id = {task.id: task for task in tasks}
    stack = [task.id for task in reversed(tasks) if not task.needs]
    order = []
    while stack:
        task = by_id[stack.pop()]
        order.append(task)
        for dependant in reversed(dependants[task.id]):
            waits_for[dependant] -= 1
            if not waits_for[dependant]:
                stack.append(dependant)
    return order


def dependants_of(tasks: Sequence[GraphTask]) -> dict[str, list[str]]:
    """By id, those that need it, in the definition's order."""
    dependants: dict[str, list[str]] = {task.id: [] for task in tasks}
    for task in tasks:
        for need in task.needs:
            dependants[need].append(task.id)
    return dependants


def _depths(tasks: Sequence[GraphTask]) -> dict[str, int]:
    dependants = dependants_of(tasks)
    waits_for = {task.id: len(task.needs) for task in tasks}
    depth = {task.id: 0 for task in tasks if not task.needs}
    ready = list(depth)
    for id in ready:  # it grows while it is walked
        for dependant in dependants[id]:
            depth[dependant] = max(depth.get(dependant, 0), depth[id] + 1)
            waits_for[dependant] -= 1
            if not waits_for[dependant]:
                ready.append(dependant)
    if len(ready) < len(tasks):
        raise CycleError(_circle({task.id: task for task in tasks if waits_for[task.id]}))
    return depth


def _circle(left: Mapping[str, GraphTask]) -> list[str]:
    """One circle among tasks that each wait for another one of them, from a task back to itself."""
    path: list[str] = []
    id = next(iter(left))
    while id not in path:
        path.append(id)
        id = next(need for need in left[id].needs if need in left)
    return [*reversed(path[path.index(id) :]), path[-1]]


def _uncrossed(found: list[list[GraphTask]]) -> list[list[GraphTask]]:
    """Barycentres: each layer sorted by where its neighbours are, down and up in turns."""
    tasks = [task for layer in found for task in layer]
    needs = {task.id: task.needs for task in tasks}
    dependants: Mapping[str, Sequence[str]] = dependants_of(tasks)
    place = {task.id: share for layer in found for task, share in _shares(layer)}
    for sweep in range(SWEEPS):
        neighbours = dependants if sweep % 2 else needs
        for layer in reversed(found) if sweep % 2 else found:
            layer.sort(key=lambda task: _centre(neighbours[task.id], place, place[task.id]))
            place.update({task.id: share for task, share in _shares(layer)})
    return found


def _shares(layer: Sequence[GraphTask]) -> list[tuple[GraphTask, float]]:
    """Where each one is in its layer, from 0 to 1."""
    return [(task, (index + 0.5) / len(layer)) for index, task in enumerate(layer)]


def _centre(neighbours: Sequence[str], place: Mapping[str, float], own: float) -> float:
    if not neighbours:
        return own
    # Rounded, so that the order does not hang on the last digit of a sum.
    return round(sum(place[id] for id in neighbours) / len(neighbours), 9)
