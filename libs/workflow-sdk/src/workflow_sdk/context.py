"""The context of a handler: facts about the attempt that it runs, and its way to report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workflow_sdk.payloads import PayloadError, to_json

MAX_PROGRESS_BYTES = 4096


@dataclass(slots=True)
class TaskContext:
    """The attempt that a handler runs: the second argument of handlers that have one."""

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
    """The same for all attempts of this task run, and for no other one. Pass it to the systems you call."""
    cancelled: bool = False
    """True when the handler must stop. It also gets CancelledError if it is async, else TaskCancelled."""
    on_heartbeat: Callable[[bytes | None], None] = field(default=lambda _: None, repr=False)
    """Receives each heartbeat, with its progress as JSON. The worker sets it; handlers call `heartbeat`."""

    def heartbeat(self, progress: Any = None) -> None:
        """Report that the handler is alive. Handlers of tasks with a heartbeat timeout must call this.

        `progress` is shown with the task: JSON of at most 4 KiB, else PayloadError is raised. The call never
        waits, and may be frequent. It is not needed to keep the lease: the worker renews leases itself.
        """
        self.on_heartbeat(None if progress is None else encode_progress(progress))


def encode_progress(progress: Any) -> bytes:
    """Return progress as JSON bytes. Raise PayloadError if it is not JSON, or too large."""
    encoded = to_json(progress, "progress")
    if len(encoded) > MAX_PROGRESS_BYTES:
        raise PayloadError(
            f"progress has {len(encoded)} bytes as JSON, but at most {MAX_PROGRESS_BYTES} are allowed:"
            " report less"
        )
    return encoded
