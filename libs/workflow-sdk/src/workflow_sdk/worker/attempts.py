"""The attempts that a worker holds, and how long each may run.

A lease lasts `ttl` from the moment when the orchestrator gave or renewed it, by the orchestrator's clock. The
worker has another clock. So it counts from a moment that is certainly not later: when it *sent* the heartbeat
that was acknowledged. For a new lease it knows only when the lease arrived, which is later than the moment
when it was given. So it uses only LEASE_SHARE of the ttl: the handler has stopped before the orchestrator
gives its task to another worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from enum import Enum
from functools import partial

from google.protobuf.duration_pb2 import Duration
from workflowsystem.worker.v1 import task_pb2

from workflow_sdk.context import TaskContext

LEASE_SHARE = 0.8
REVOKED_GRACE_SECONDS = 1.0
"""How long a handler may take to stop after another worker may have its task."""

TaskRef = tuple[str, str, int, int, bytes]
"""Execution, task, item (-1 for none), epoch and token: one claim. The token is secret: never log a key."""


class StopReason(Enum):
    """Why the worker stops a handler."""

    CANCEL_REQUESTED = "cancel requested"
    """Its execution is being cancelled: report `cancelled`."""
    REVOKED = "revoked"
    """The worker does not hold the claim any more: report nothing."""
    LEASE_EXPIRED = "lease expired"
    """The lease was not renewed in time: report nothing."""
    TIMED_OUT = "timed out"
    """It ran longer than its start_to_close: report a failure."""
    DRAINING = "draining"
    """The worker is ending: hand the task back."""
    NO_PROCESS = "no process"
    """No child process can be started for it: hand the task back."""


LOST = frozenset({StopReason.REVOKED, StopReason.LEASE_EXPIRED})
"""The reasons with which nothing is reported: another worker may have the task."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One leased task that this worker holds. `on_heartbeat` receives the heartbeats of its handler."""

    lease: task_pb2.Lease
    leased_at: float
    deadline: float
    """When the handler must have stopped, unless the lease is renewed; monotonic seconds."""
    on_heartbeat: InitVar[Callable[[Attempt, bytes | None], None]]
    key: TaskRef = field(init=False)
    context: TaskContext = field(init=False)
    heartbeat_timeout: float | None = field(init=False)
    """How long the handler may be silent, in seconds; None: without limit."""
    interrupt: Callable[[float], None] | None = None
    """Stops the handler within the given number of seconds; None before it runs."""
    stop_reason: StopReason | None = None
    waiting: bool = False
    """It waits for a child process, so its handler is not silent: it has not begun."""
    handler_alive: bool = False
    """The handler sent a heartbeat that no acknowledged message has carried."""
    progress: bytes | None = None
    timer: asyncio.TimerHandle | None = None

    def __post_init__(self, on_heartbeat: Callable[[Attempt, bytes | None], None]) -> None:
        self.key = key_of(self.lease.task)
        self.context = _context(self.lease, partial(on_heartbeat, self))
        timed = self.lease.HasField("heartbeat_timeout")
        self.heartbeat_timeout = in_seconds(self.lease.heartbeat_timeout) if timed else None

    def stop(self, reason: StopReason, grace: float) -> None:
        """Stop the handler within `grace` seconds. The first reason stays, unless the lease is lost later."""
        if self.stop_reason is not None and (self.stop_reason in LOST or reason not in LOST):
            return
        self.stop_reason = reason
        self.context.cancelled = True
        if self.interrupt is not None:
            self.interrupt(grace)


def key_of(ref: task_pb2.TaskRef) -> TaskRef:
    """Return the key of a claim."""
    return (ref.execution_id, ref.task_id, ref.item if ref.HasField("item") else -1, ref.epoch, ref.token)


def in_seconds(duration: Duration) -> float:
    """Return a Duration of a lease in seconds."""
    return float(duration.seconds) + duration.nanos / 1e9


class Attempts:
    """All attempts that the worker holds, by claim."""

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
        """Return the attempt of a claim; None if the worker does not hold it."""
        return self._by_key.get(key)

    def add(self, attempt: Attempt) -> None:
        """Add an attempt that begins."""
        self._by_key[attempt.key] = attempt

    def remove(self, attempt: Attempt) -> bool:
        """Remove an attempt that ended. Return False if it was removed before."""
        if self._by_key.pop(attempt.key, None) is None:
            return False
        if not self._by_key:
            self._changed.set()
        return True

    def renew(self, attempt: Attempt, sent_at: float, ttl: float) -> None:
        """Extend the attempt's deadline: a heartbeat that was sent at `sent_at` was acknowledged."""
        attempt.deadline = max(attempt.deadline, sent_at + ttl * LEASE_SHARE)

    async def none_left(self, timeout: float) -> bool:
        """Wait until the last attempt has ended. Return False if some are left after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._by_key:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return not self._by_key
        return True


def _context(lease: task_pb2.Lease, on_heartbeat: Callable[[bytes | None], None]) -> TaskContext:
    return TaskContext(
        execution_id=lease.task.execution_id,
        workflow_id=lease.workflow_id,
        namespace=lease.namespace,
        task_id=lease.task.task_id,
        item=lease.task.item if lease.task.HasField("item") else None,
        task_type=lease.task_type,
        attempt=lease.attempt,
        idempotency_key=lease.idempotency_key,
        on_heartbeat=on_heartbeat,
    )
