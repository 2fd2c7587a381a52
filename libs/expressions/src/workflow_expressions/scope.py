"""The names that an expression may use, and the names that it uses."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Literal

Root = Literal["input", "execution", "item", "index", "tasks"]

ROOTS: Final[tuple[Root, ...]] = ("input", "execution", "item", "index", "tasks")
"""Every name that an expression can begin with."""

TASK_FIELDS: Final = ("output", "status")
"""The fields of a task: `tasks.<id>.output`, `tasks.<id>.status`."""

EXECUTION_FIELDS: Final = ("id", "namespace", "workflow_id", "version", "run_number")
"""The fields of the execution: `execution.id`, and so on."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that an expression may use.

    `tasks` has the ids of the tasks that have ended before the expression runs. With None, no task id is
    checked, which suits definitions that were checked when they were published. `later_tasks` has other task
    ids of the workflow: using one that is not in `tasks` is an error too, but its message is better.
    `in_fan_out` is True if `item` and `index` exist.
    """

    tasks: AbstractSet[str] | None = field(default_factory=frozenset)
    later_tasks: AbstractSet[str] = field(default_factory=frozenset)
    in_fan_out: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names that an expression, or a template, uses. A caller must bind them before it evaluates."""

    input: bool = False
    execution: bool = False
    item: bool = False
    index: bool = False
    outputs: frozenset[str] = frozenset()
    """Ids of the tasks whose output is used."""
    statuses: frozenset[str] = frozenset()
    """Ids of the tasks whose status is used."""

    @property
    def tasks(self) -> frozenset[str]:
        """Ids of the tasks whose output or status is used."""
        return self.outputs | self.statuses

    def __or__(self, other: Names) -> Names:
        return Names(
            input=self.input or other.input,
            execution=self.execution or other.execution,
            item=self.item or other.item,
            index=self.index or other.index,
            outputs=self.outputs | other.outputs,
            statuses=self.statuses | other.statuses,
        )
