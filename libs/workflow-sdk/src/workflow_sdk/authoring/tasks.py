"""A task of a workflow, as the tasks after it use it, and the options that it may be written with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.expressions import Expression, Owner
from workflow_sdk.authoring.policies import RetryPolicy, Timeouts


class Task:
    """A task that a workflow has. To use its output or its status is to run after it."""

    __slots__ = ("_id", "_owner")

    def __init__(self, id: str, owner: Owner) -> None:
        self._id = id
        self._owner = owner

    @property
    def id(self) -> str:
        """Its id within the workflow."""
        return self._id

    @property
    def output(self) -> Expression:
        """What its handler returns; with `for_each` the list of what the runs return, in order."""
        return Expression(f"{cel_text.member('tasks', self._id)}.output", owners=[self._owner])

    @property
    def status(self) -> Expression:
        """How it ended: `"SUCCEEDED"`, `"SKIPPED"`, `"FAILED"` or `"CANCELLED"`."""
        return Expression(f"{cel_text.member('tasks', self._id)}.status", owners=[self._owner])

    def __repr__(self) -> str:
        return f"<task {self._id!r} of workflow {self._owner[1]!r}>"


class TaskOptions(TypedDict, total=False):
    """What can be said of a task, beside its id and what it runs."""

    input: Any
    """The handler's input: JSON that may hold expressions. Unset: `{}`, or with `for_each` the item."""
    when: Expression
    """Where it is false, the task is skipped. In a fan-out it is asked once."""
    after: Task | Sequence[Task]
    """Tasks that must end first, beside those whose output or status is used."""
    for_each: Expression | Sequence[Any]
    """A list, at most 10,000 long: the task runs once for each `item`, which has an `index`."""
    max_parallel: int
    """How many of these run at the same time; 0 is all of them."""
    queue: str
    """The queue that it waits in; workers choose the queues they serve."""
    retry_policy: RetryPolicy
    """Replaces the workflow's default as a whole."""
    timeouts: Timeouts
    """Each one that is set replaces the workflow's default."""
    output_schema: Mapping[str, Any]
    """A JSON Schema of what the handler returns, with `for_each` for one item."""
