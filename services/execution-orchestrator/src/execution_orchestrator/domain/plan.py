"""A compiled definition: the graph, and every expression compiled once.

One plan serves every execution of its version, so it never changes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any

from workflow_contract.names import DEFAULT_QUEUE
from workflow_expressions import Condition, Names, Template

from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.limits import DEFAULT_EXECUTION_TIMEOUT, DEFAULT_START_TO_CLOSE
from execution_orchestrator.domain.payloads import CheckedPayload
from execution_orchestrator.domain.retry_policy import RetryPolicy

OutputCheck = Callable[[CheckedPayload, Mapping[tuple[str, str], Any]], Failure | None]
"""Returns why an output breaks the schema; None if it fits. The mapping is `Snapshot.evaluated`.

Raises HeavyEvaluationError if the check takes too long for the event loop and the mapping lacks its result.
"""

InputCheck = Callable[[str], Sequence[tuple[str, str]]]
"""Returns every violation of an input (JSON) as a path (`input.order.total`) and a sentence.

Raises HeavyEvaluationError if the check takes too long for the event loop; its `compute` returns the same.
"""


@dataclass(frozen=True, slots=True)
class FanOut:
    """The `for_each` of a task."""

    items: Template
    max_parallel: int = 0  # 0: all at the same time


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a definition."""

    id: str
    type: str
    input: Template | None  # None: the execution's input, passed through unread
    schedule_to_start: timedelta
    needs: tuple[str, ...] = ()
    when: Condition | None = None
    queue: str = DEFAULT_QUEUE
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    start_to_close: timedelta = DEFAULT_START_TO_CLOSE
    heartbeat_timeout: timedelta | None = None
    fan_out: FanOut | None = None
    output_schema: OutputCheck | None = None  # of a fan-out: of the output of one item

    @property
    def may_end_at_once(self) -> bool:
        """True if it may end as soon as it begins: it may be skipped, or fan out over an empty list."""
        return self.when is not None or self.fan_out is not None

    @property
    def names_to_begin(self) -> Names:
        """The names that the rules need to begin it. If it has a condition, these are only the condition's
        names, because the task may be skipped.
        """
        if self.when is not None:
            return self.when.names
        own = self.input.names if self.input is not None else Names()
        return own if self.fan_out is None else own | self.fan_out.items.names


class Plan:
    """The graph of one version. A completion finds its dependants in O(out-degree)."""

    def __init__(
        self,
        tasks: Iterable[TaskPlan],
        *,
        output: Template | None = None,
        execution_timeout: timedelta = DEFAULT_EXECUTION_TIMEOUT,
        labels: Mapping[str, str] | None = None,
        input_schema: InputCheck | None = None,
    ) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.output = output
        self.execution_timeout = execution_timeout
        self.labels = dict(labels or {})
        self.input_schema = input_schema
        self.roots = tuple(task.id for task in self.tasks.values() if not task.needs)
        self.dependants = self._dependants()
        self._refuse_cycles()
        self.fans_out = any(task.fan_out is not None for task in self.tasks.values())
        self.task_types = frozenset(task.type for task in self.tasks.values())

    def input_violations(self, text: str) -> Sequence[tuple[str, str]]:
        """Return every violation of the input (JSON) of a start; see InputCheck. May be repeated."""
        return () if self.input_schema is None else self.input_schema(text)

    def may_follow(self, task_ids: Iterable[str], levels: int) -> list[str]:
        """Return the tasks, and those that may begin at once after them, over this number of levels."""
        found = dict.fromkeys(task_ids)
        layer = list(found)
        for _ in range(levels):
            ending = [task_id for task_id in layer if self.tasks[task_id].may_end_at_once]
            layer = [each for task_id in ending for each in self.dependants[task_id] if each not in found]
            found.update(dict.fromkeys(layer))
        return list(found)

    def _dependants(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {task_id: [] for task_id in self.tasks}
        for task in self.tasks.values():
            for needed in task.needs:
                if needed not in found:
                    raise InvalidDefinitionError(f"task `{task.id}` needs `{needed}`, which is no task")
                found[needed].append(task.id)
        return {task_id: tuple(those) for task_id, those in found.items()}

    def _refuse_cycles(self) -> None:
        """Raise InvalidDefinitionError if the graph has a cycle: its execution would never end."""
        try:
            TopologicalSorter({task.id: task.needs for task in self.tasks.values()}).prepare()
        except CycleError as error:
            cycle = " -> ".join(f"`{task_id}`" for task_id in error.args[1])
            raise InvalidDefinitionError(f"the tasks need each other in a circle: {cycle}") from None
