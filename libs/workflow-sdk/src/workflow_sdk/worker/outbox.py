"""What the worker has to say: collected while a message is being written, and then said all at once.

Results stay until they are acknowledged. A new session says them again: the orchestrator takes a repeat of
what it has for the same. Everything else is said once.

A lease takes one of the credits that the worker granted, its result gives it back. The worker never has more
credits out than it has room for. So a result gives no credit back if there is no room for another task, as
while the child process that ran its handler is replaced. The worker grants that credit when there is room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.worker.attempts import Attempt, TaskRef
from workflow_sdk.worker.packing import MAX_MESSAGE_BYTES, gathered

MAX_BATCH = 1000


class Outbox:
    """Not bound to a session: it outlives them. `room` returns how many tasks more the worker can run now."""

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._credits_out = 0  # granted, or given back by a result, and not taken by a lease
        self._max_bytes = MAX_MESSAGE_BYTES
        self._unacknowledged: dict[TaskRef, tuple[Attempt, task_pb2.TaskResult]] = {}
        self._unsent: list[task_pb2.TaskResult] = []
        self._credits = 0
        self._heartbeats: list[messages.Heartbeats] = []
        self._draining = False
        self._say_draining = False
        self._something = asyncio.Event()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._unacknowledged)

    def begin_session(self, max_bytes: int) -> None:
        """A session opened: results without an acknowledgement are to be said again, with new credits.

        `max_bytes` is the size of the largest message to the orchestrator.
        """
        self._max_bytes = max_bytes
        self._unsent = [result for _, result in self._unacknowledged.values()]
        self._heartbeats.clear()
        self._credits = 0
        self._credits_out = sum(not result.without_credit for result in self._unsent)
        self._say_draining = self._draining
        self.grant_room()
        self._something.set()

    def leased(self) -> None:
        """A lease came: it took a credit."""
        self._credits_out -= 1

    def add_result(self, attempt: Attempt, result: task_pb2.TaskResult) -> None:
        """Report a result of an attempt that is not in the worker's hands any more."""
        if self._room() > self._credits_out:
            self._credits_out += 1
        else:
            result.without_credit = True
        self._unacknowledged[attempt.key] = (attempt, result)
        self._unsent.append(result)
        self._something.set()

    def grant_room(self) -> None:
        """Grant credits for all the room that there is. May be called at any time."""
        more = self._room() - self._credits_out
        if more > 0 and not self._draining:
            self._credits += more
            self._credits_out += more
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

    def acknowledge(self, key: TaskRef) -> tuple[Attempt, task_pb2.TaskResult] | None:
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
        for heartbeats in self._heartbeats:
            said.append(messages.WorkerMessage(heartbeats=heartbeats))
        for batch in gathered(self._unsent, MAX_BATCH, self._max_bytes):
            said.append(messages.WorkerMessage(results=messages.Results(results=batch)))
        if self._credits:
            said.append(messages.WorkerMessage(credits=messages.Credits(amount=self._credits)))
        self._say_draining, self._credits, self._heartbeats, self._unsent = False, 0, [], []
        return said
