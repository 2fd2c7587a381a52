"""What the worker has to say: collected while a message is being written, and then said all at once.

Results stay until they are acknowledged. A new session says them again: the orchestrator takes a repeat of
what it has for the same. Everything else is said once.

A lease takes one of the credits that the worker granted, its result gives it back. An attempt that ends
without a result gives none back, so the worker grants one more.
"""

from __future__ import annotations

import asyncio

from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.worker.attempts import Attempt, TaskKey
from workflow_sdk.worker.packing import gathered

LARGEST_BATCH = 1000


class Outbox:
    """Not bound to a session: it outlives them."""

    def __init__(self) -> None:
        self._unacknowledged: dict[TaskKey, tuple[Attempt, task_pb2.TaskResult]] = {}
        self._unsent: list[task_pb2.TaskResult] = []
        self._credits = 0
        self._heartbeats: list[messages.Heartbeats] = []
        self._draining = False
        self._say_draining = False
        self._something = asyncio.Event()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._unacknowledged)

    def begin_session(self, credits: int) -> None:
        """A session opened: results without an acknowledgement are to be said again, after these credits."""
        self._unsent = [result for _, result in self._unacknowledged.values()]
        self._heartbeats.clear()
        self._credits = 0 if self._draining else max(0, credits)
        self._say_draining = self._draining
        self._something.set()

    def add_result(self, attempt: Attempt, result: task_pb2.TaskResult) -> None:
        """Report a result."""
        self._unacknowledged[attempt.key] = (attempt, result)
        self._unsent.append(result)
        self._something.set()

    def add_credit(self) -> None:
        """An attempt ended without a result."""
        if not self._draining:
            self._credits += 1
            self._something.set()

    def add_heartbeats(self, heartbeats: messages.Heartbeats) -> None:
        """Renew leases."""
        self._heartbeats.append(heartbeats)
        self._something.set()

    def drain(self) -> None:
        """From now on no credit is granted, and results give none back."""
        self._draining = self._say_draining = True
        self._credits = 0
        self._something.set()

    def acknowledge(self, key: TaskKey) -> tuple[Attempt, task_pb2.TaskResult] | None:
        """The result arrived; the value is what it was, None if nothing waited for this."""
        entry = self._unacknowledged.pop(key, None)
        if not self._unacknowledged:
            self._empty.set()
        return entry

    async def all_acknowledged(self, timeout: float) -> bool:
        """Wait until no result is left; False if some are after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._unacknowledged:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return not self._unacknowledged
        return True

    async def next_messages(self) -> list[messages.WorkerMessage]:
        """Wait for something to say; the value is all of it, in as few messages as the limits allow."""
        await self._something.wait()
        self._something.clear()
        said: list[messages.WorkerMessage] = []
        if self._say_draining:
            said.append(messages.WorkerMessage(draining=messages.Draining()))
        if self._credits:
            said.append(messages.WorkerMessage(credits=messages.Credits(amount=self._credits)))
        for heartbeats in self._heartbeats:
            said.append(messages.WorkerMessage(heartbeats=heartbeats))
        for batch in gathered(self._unsent, LARGEST_BATCH):
            said.append(messages.WorkerMessage(results=messages.Results(results=batch)))
        self._say_draining, self._credits, self._heartbeats, self._unsent = False, 0, [], []
        return said
