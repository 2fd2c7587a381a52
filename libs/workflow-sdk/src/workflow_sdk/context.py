"""What a handler may know and say of the attempt it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workflow_sdk.payloads import PayloadError, to_json

MAX_PROGRESS_BYTES = 4096


@dataclass(slots=True)
class TaskContext:
    """The attempt that a handler runs; handed to handlers that take a second argument."""

    execution_id: str
    workflow_id: str
    namespace: str
    task_id: str
    item: int | None
    """The item of a fan-out, from 0; None for a task without `for_each`."""
    task_type: str
    attempt: int
    """From 1."""
    idempotency_key: str
    """The same for every attempt of this task run and for no other: give it to the systems you call."""
    cancelled: bool = False
    """True once the handler has to stop. Async handlers get CancelledError, sync ones TaskCancelled too."""
    _tell: Callable[[bytes | None], None] = field(default=lambda _: None, repr=False)

    def heartbeat(self, progress: Any = None) -> None:
        """Say that the handler is alive, as tasks with a heartbeat timeout must; may be called often.

        `progress` is shown with the task: JSON of at most 4 KiB. Raises PayloadError where it is not. Never
        waits. (The worker's own sign of life is separate, and always on.)
        """
        if progress is None:
            self._tell(None)
            return
        encoded = to_json(progress, "progress")
        if len(encoded) > MAX_PROGRESS_BYTES:
            raise PayloadError(
                f"progress has {len(encoded)} bytes as JSON, {MAX_PROGRESS_BYTES} are allowed: tell less"
            )
        self._tell(encoded)
