"""Order the tasks of a definition as a graph: in layers by the longest path, and in orders to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SWEEPS = 6


class CycleError(Exception):
    """Tasks need each other in a circle, so there is no order to draw them in."""

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
    """`×3` or `×N`. Empty if the task runs once."""
    items: str = ""
    """The expression that the items come from."""
    child: str = ""
    """The workflow that the task runs, with its version."""
    missing: tuple[str, ...] = field(default=())
    """The ids that the task needs and that no task has."""


def graph_tasks(definition: Any) -> list[GraphTask]:
    """Return the tasks in the definition's order. If two tasks have the same id, return only the first."""
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
    """Return the layers. Each task is one layer below the deepest task that it needs.

    Within a layer, the order is chosen so that few lines cross. Raise CycleError if tasks need each other in
    a circle.
    """
    depth = _depths(tasks)
    result: list[list[GraphTask]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for task in tasks:
        result[depth[task.id]].append(task)
    return _uncrossed(result)


def depth_first(tasks: Sequence[GraphTask]) -> list[GraphTask]:
    """Return an order that ends each chain before the next begins, so that few lines are open at a time.

    Raise CycleError if tasks need each other in a circle.
    """
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
    """Return for each id the tasks that need it, in the definition's order."""
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
    """Return one circle among tasks that each wait for another one of them, from a task back to itself."""
    path: list[str] = []
    id = next(iter(left))
    while id not in path:
        path.append(id)
        id = next(need for need in left[id].needs if need in left)
    return [*reversed(path[path.index(id) :]), path[-1]]


def _uncrossed(found: list[list[GraphTask]]) -> list[list[GraphTask]]:
    """Sort each layer by the average place of its neighbours (barycentres), down and up in turns."""
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
    """Return the place of each task in its layer, from 0 to 1."""
    return [(task, (index + 0.5) / len(layer)) for index, task in enumerate(layer)]


def _centre(neighbours: Sequence[str], place: Mapping[str, float], own: float) -> float:
    if not neighbours:
        return own
    # Rounded, so that the order does not depend on the last digit of a sum.
    return round(sum(place[id] for id in neighbours) / len(neighbours), 9)
