"""Hints: the entries of the queue. A hint may be stale, doubled or lost; only the claim decides.

Redis holds only hints. If it loses all of them, that costs delay, never work.
"""

from typing import NamedTuple
from uuid import UUID

from workflow_contract.names import DEFAULT_QUEUE

SEPARATOR = "|"


Kind = tuple[str, str, str]
"""Namespace, task type and queue. Together they decide which workers may run a task."""


class Hint(NamedTuple):
    """A task run that was ready when the hint was written. None of its names may contain a `|`."""

    namespace: str
    execution_id: UUID
    task_id: str
    item: int  # -1 if the task run is not an item of a fan-out
    task_type: str
    queue: str = DEFAULT_QUEUE

    def encode(self) -> str:
        """Return the hint as text: `namespace|execution_id|task_id|item|task_type`."""
        return f"{self.namespace}|{self.execution_id}|{self.task_id}|{self.item}|{self.task_type}"

    @classmethod
    def decode(cls, text: str, queue: str = DEFAULT_QUEUE) -> "Hint":
        """Return the hint of a text from `queue`. Raise ValueError if the text is not a hint."""
        parts = text.split(SEPARATOR)
        if len(parts) != 5:
            raise ValueError(f"not a hint: {text!r}")
        namespace, execution_id, task_id, item, task_type = parts
        return cls(namespace, UUID(execution_id), task_id, int(item), task_type, queue)


class HintsUnavailableError(Exception):
    """Redis does not answer. After a commit the call has succeeded all the same: the sweep repairs the
    hints.
    """
