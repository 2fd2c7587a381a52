"""The attempts in a worker's hands, and until when each may run.

A lease lasts `ttl` from the moment it was given or last renewed, by the orchestrator's clock. The worker has
another clock, so it counts from a moment that is surely not later: the one when the acknowledged heartbeat
was *sent*. A new lease was given at an unknown moment before it arrived. Of the ttl it uses only a part
(LEASE_SHARE), so that a handler has stopped before the orchestrator gives its task to somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from workflowsystem.worker.v1 import task_pb2

from workflow_sdk.context import TaskContext

LEASE_SHARE = 0.8

TaskRef = tuple[str, str, int, int, bytes]
"""Execution, task, item (-1 for none), epoch and token: one claim. The token is secret: never log a key."""


class StopReason(Enum):
    """Why a handler was told to stop."""

    CANCEL_REQUESTED = "cancel requested"
    """Its execution is being cancelled: report `cancelled`."""
    REVOKED = "revoked"
    """The claim is not the worker's any more: report nothing."""
    LEASE_EXPIRED = "lease expired"
    """It could not be renewed in time: report nothing."""
    TIMED_OUT = "timed out"
    """Over its start_to_close: report a failure."""
    DRAINING = "draining"
    """The worker ends: hand it back."""
    NO_PROCESS = "no process"
    """No child process can be started for it: hand it back."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One leased task in this worker's hands."""

    key: TaskRef
    lease: task_pb2.Lease
    context: TaskContext
    leased_at: float
    deadline: float
    """When the handler must have stopped unless the lease is renewed; monotonic seconds."""
    heartbeat_timeout: float | None = None
    """How long the handler may be silent, in seconds; None: as long as it likes."""
    stop: Callable[[float], None] | None = None
    """How the handler is stopped, within so many seconds; None before it runs."""
    stop_reason: StopReason | None = None
    waiting: bool = False
    """It waits for a child process, so no handler can be blamed for silence."""
    handler_alive: bool = False
    """The handler gave a sign that no acknowledged heartbeat has carried."""
    progress: bytes | None = None
    timer: asyncio.TimerHandle | None = None


def key_of(ref: task_pb2.TaskRef) -> TaskRef:
    """The key of a claim."""
    return (ref.execution_id, ref.task_id, ref.item if ref.HasField("item") else -1, ref.epoch, ref.token)


class Attempts:
    """All attempts in the worker's hands, by claim."""

    def __init__(self) -> None:
        self._by_key: dict[TaskRef, Attempt] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._by_key.values()))

    def __contains__(self, key: TaskRef) -> bool:
        return key in self._by_key

    def get(self, key: TaskRef) -> Attempt | None:
        """The attempt of a claim, while it is in the worker's hands."""
        return self._by_key.get(key)

    def add(self, attempt: Attempt) -> None:
        """Take an attempt in."""
        self._by_key[attempt.key] = attempt

    def remove(self, attempt: Attempt) -> bool:
        """The attempt ended; False if it had been removed before."""
        if self._by_key.pop(attempt.key, None) is None:
            return False
        if not self._by_key:
            self._changed.set()
        return True

    def renew(self, attempt: Attempt, sent_at: float, ttl: float) -> None:
        """A heartbeat that was sent at that time was acknowledged."""
        attempt.deadline = max(attempt.deadline, sent_at + ttl * LEASE_SHARE)

    async def none_left(self, timeout: float) -> bool:
        """Wait until the last attempt has ended; False if some are left after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._by_key:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return not self._by_key
        return True
