"""A task of a workflow, as later tasks use it, and the options of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.expressions import Expression, Owner
from workflow_sdk.authoring.policies import RetryPolicy, Timeouts


class Task:
    """A task of a workflow. A task that uses its output or its status runs after it."""

    __slots__ = ("_id", "_owner")

    def __init__(self, id: str, owner: Owner) -> None:
        self._id = id
        self._owner = owner

    @property
    def id(self) -> str:
        """The task's id, which is unique within the workflow."""
        return self._id

    @property
    def output(self) -> Expression:
        """The value that the handler returns. With `for_each`: the list of these values, in order."""
        return Expression(f"{cel_text.member('tasks', self._id)}.output", owners=[self._owner])

    @property
    def status(self) -> Expression:
        """The final status: `"SUCCEEDED"`, `"SKIPPED"`, `"FAILED"` or `"CANCELLED"`."""
        return Expression(f"{cel_text.member('tasks', self._id)}.status", owners=[self._owner])

    def __repr__(self) -> str:
        return f"<task {self._id!r} of workflow {self._owner[1]!r}>"


class TaskOptions(TypedDict, total=False):
    """The options of a task, besides its id and its type."""

    input: Any
    """The handler's input: JSON that may hold expressions. Unset: `{}`, or with `for_each` the item."""
    when: Expression
    """If it is false, the task is skipped. A fan-out evaluates it once."""
    after: Task | Sequence[Task]
    """More tasks that must end first, besides the tasks whose output or status is used."""
    for_each: Expression | Sequence[Any]
    """A list of at most 10,000 items: the task runs once for each `item`, which has an `index`."""
    max_parallel: int
    """How many of these run at the same time; 0: all."""
    queue: str
    """The queue in which the task waits. Each worker serves the queues that it was started with."""
    retry_policy: RetryPolicy
    """Replaces the workflow's whole default."""
    timeouts: Timeouts
    """Each timeout that is set replaces the workflow's default."""
    output_schema: Mapping[str, Any]
    """A JSON Schema for the value that the handler returns; with `for_each`, for each item's value."""
