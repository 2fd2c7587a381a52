"""The graph of a workflow's tasks and their needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from operator import or_
from typing import Final, TypeVar

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.problem import Problem

T = TypeVar("T")

MAX_CYCLES: Final = 10
"""Cycles that are reported. A graph can have many more."""


class TaskGraph:
    """Tasks by id, with the needs of each. Tasks without an id, and needs for unknown tasks, are left out."""

    def __init__(self, tasks: Sequence[Mapping[str, Json]]) -> None:
        self._index: dict[str, int] = {}
        for index, task in enumerate(tasks):
            if task.get("id"):
                self._index.setdefault(task["id"], index)
        self._needs = {
            task_id: [need for need in dict.fromkeys(tasks[index].get("needs", [])) if need in self._index]
            for task_id, index in self._index.items()
        }
        self.cycles = self._find_cycles()
        """Each cycle begins and ends with the same task, and the next task always needs the one before."""
        self._ancestors = {} if self.cycles else self._find_ancestors()
        known = [self._index[task_id] for task_id in self._ancestors]
        self._order = [*known, *sorted(set(range(len(tasks))) - set(known))]

    @property
    def ids(self) -> list[str]:
        """All ids in the order of the definition."""
        return list(self._index)

    @property
    def order(self) -> list[int]:
        """The indexes of all tasks, each after the tasks that it needs. With cycles, the order as written."""
        return self._order

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._index

    def index(self, task_id: str) -> int:
        """Return the index of the task with this id in the definition: the first one if several have it."""
        return self._index[task_id]

    def upstream(self, task_id: str) -> Set[str] | None:
        """Return the tasks that have ended when this one starts, or None if the graph has cycles."""
        if self.cycles or task_id not in self._ancestors:
            return None
        return _Upstream(self._index, self._ancestors[task_id])

    def cycle_problems(self) -> Iterator[Problem]:
        """Yield a problem for each cycle, at the need that closes it."""
        for cycle in self.cycles:
            first, second = cycle[0], cycle[1]
            shown = " -> ".join(cycle if len(cycle) <= 12 else [*cycle[:6], "...", *cycle[-5:]])
            yield Problem(
                f"tasks[{self._index[second]}].needs",
                f"closes a cycle, {shown}, in which no task could start: remove `{first}` or another need",
            )

    def _find_cycles(self) -> list[list[str]]:
        needs = {task_id: list(each) for task_id, each in self._needs.items()}
        cycles: list[list[str]] = []
        while len(cycles) < MAX_CYCLES:
            try:
                TopologicalSorter(needs).prepare()
                break
            except CycleError as error:
                cycle: list[str] = error.args[1]
                cycles.append(cycle)
                needs[cycle[1]].remove(cycle[0])
        return cycles

    def _find_ancestors(self) -> dict[str, int]:
        """Return, for each task, a bit mask of the indexes of all tasks that must end before it."""
        ancestors: dict[str, int] = {}
        for task_id in TopologicalSorter(self._needs).static_order():
            masks = (ancestors[need] | 1 << self._index[need] for need in self._needs[task_id])
            ancestors[task_id] = reduce(or_, masks, 0)
        return ancestors


class _Upstream(Set[str]):
    """A set of tasks, stored as a bit mask: 500 sets of up to 500 ids would take most of a check's time."""

    def __init__(self, index: Mapping[str, int], mask: int) -> None:
        self._index = index
        self._mask = mask

    def __contains__(self, task_id: object) -> bool:
        return (
            isinstance(task_id, str)
            and task_id in self._index
            and bool(self._mask >> self._index[task_id] & 1)
        )

    def __iter__(self) -> Iterator[str]:
        return (task_id for task_id, index in self._index.items() if self._mask >> index & 1)

    def __len__(self) -> int:
        return self._mask.bit_count()

    @classmethod
    def _from_iterable(cls, iterable: Iterable[T]) -> frozenset[T]:
        """Build the results of `|` and other set operators."""
        return frozenset(iterable)
