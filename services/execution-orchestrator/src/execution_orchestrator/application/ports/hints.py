"""What the queue holds: hints of what may be ready. They may be stale, doubled or lost; the claim decides."""

from typing import NamedTuple
from uuid import UUID

from workflow_contract.names import DEFAULT_QUEUE

SEPARATOR = "|"


Kind = tuple[str, str, str]
"""Namespace, task type and queue: they decide which workers may run a task."""


class Hint(NamedTuple):
    """One task run that was ready when the hint was written. No name in it may hold a `|`."""

    namespace: str
    execution_id: UUID
    task_id: str
    item: int  # of a fan-out; -1 for a plain task
    task_type: str
    queue: str = DEFAULT_QUEUE

    def encode(self) -> str:
        """The hint as it stands in its queue: `namespace|execution_id|task_id|item|task_type`."""
        return f"{self.namespace}|{self.execution_id}|{self.task_id}|{self.item}|{self.task_type}"

    @classmethod
    def decode(cls, text: str, queue: str = DEFAULT_QUEUE) -> "Hint":
        """The inverse of `encode`, for a hint found in `queue`. Raises ValueError for what is none."""
        parts = text.split(SEPARATOR)
        if len(parts) != 5:
            raise ValueError(f"not a hint: {text!r}")
        namespace, execution_id, task_id, item, task_type = parts
        return cls(namespace, UUID(execution_id), task_id, int(item), task_type, queue)
