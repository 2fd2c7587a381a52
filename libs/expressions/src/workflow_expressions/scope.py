"""Which names an expression may use, and which ones it does use."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, Literal

Root = Literal["input", "execution", "item", "index", "tasks"]

ROOTS: Final[tuple[Root, ...]] = ("input", "execution", "item", "index", "tasks")
"""Every name that an expression can begin with."""

TASK_FIELDS: Final = ("output", "status")
"""What can be asked of a task: `tasks.<id>.output`, `tasks.<id>.status`."""

EXECUTION_FIELDS: Final = ("id", "namespace", "workflow_id", "version", "run_number")
"""What can be asked of the execution: `execution.id`, and so on."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that exist where an expression stands.

    `tasks` are the ids of the tasks that have ended by then; None checks no task id, for definitions that
    were checked when they were published. `later_tasks` are ids of the workflow: one that is not in `tasks`
    is an error too, with a better sentence. `in_fan_out` says whether `item` and `index` exist.
    """

    tasks: AbstractSet[str] | None = field(default_factory=frozenset)
    later_tasks: AbstractSet[str] = field(default_factory=frozenset)
    in_fan_out: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names that an expression, or all expressions of a template, use: what must be bound to evaluate."""

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
