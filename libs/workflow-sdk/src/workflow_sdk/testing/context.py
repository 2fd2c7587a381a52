"""A context for handlers that a test calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict

from workflow_sdk.context import TaskContext, encode_progress
from workflow_sdk.payloads import from_json


class ContextFields(TypedDict, total=False):
    """The fields of a context that a test can choose."""

    execution_id: str
    workflow_id: str
    namespace: str
    task_id: str
    item: int | None
    attempt: int
    idempotency_key: str


@dataclass(slots=True)
class FakeTaskContext(TaskContext):
    """A TaskContext with default values, which records heartbeats.

        context = FakeTaskContext(attempt=3)
        charge({"amount": 5}, context)
        assert context.progress == [{"done": 1}]

    `FakeTaskContext(cancelled=True)` is for handlers that look at `context.cancelled`.
    """

    execution_id: str = "01890000-0000-7000-8000-000000000001"
    workflow_id: str = "test-workflow"
    namespace: str = "default"
    task_id: str = "test_task"
    item: int | None = None
    task_type: str = "test.task"
    attempt: int = 1
    idempotency_key: str = "01890000-0000-7000-8000-000000000001/test_task"
    heartbeats: int = 0
    """The number of heartbeats."""
    progress: list[Any] = field(default_factory=list)
    """The progress of each heartbeat that had any, as JSON returns it."""

    def heartbeat(self, progress: Any = None) -> None:
        """Record a heartbeat. Raises PayloadError, as the worker's context does."""
        encoded = None if progress is None else encode_progress(progress)
        self.heartbeats += 1
        if encoded is not None:
            self.progress.append(from_json(encoded))
        self.on_heartbeat(encoded)
