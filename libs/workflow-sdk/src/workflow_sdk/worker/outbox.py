"""Collects messages of the worker while one is being written, and then sends them together.

A result stays until it is acknowledged. A new session sends it again, and the orchestrator recognises the
repeat. Everything else is sent once.

A lease uses one of the credits that the worker granted, and its result returns the credit. The worker never
has more credits out than it has room for. So a result does not return its credit if there is no room for
another task, for example while the child process that ran its handler is replaced. The worker grants that
credit later, when there is room.
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
    """It outlives sessions. `room` returns how many more tasks the worker can run now."""

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._credits_out = 0  # granted, or returned by a result, and not used by a lease
        self._max_bytes = MAX_MESSAGE_BYTES
        self._unacknowledged: dict[TaskRef, tuple[Attempt, task_pb2.TaskResult]] = {}
        self._unsent: list[task_pb2.TaskResult] = []
        self._credits = 0
        self._heartbeats: list[messages.Heartbeats] = []
        self._draining = False
        self._send_draining = False
        self._something = asyncio.Event()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._unacknowledged)

    def begin_session(self, max_bytes: int) -> None:
        """Prepare for a new session: send unacknowledged results again, and grant new credits.

        `max_bytes` is the size of the largest message to the orchestrator.
        """
        self._max_bytes = max_bytes
        self._unsent = [result for _, result in self._unacknowledged.values()]
        self._heartbeats.clear()
        self._credits = 0
        self._credits_out = sum(not result.without_credit for result in self._unsent)
        self._send_draining = self._draining
        self.grant_room()
        self._something.set()

    def leased(self) -> None:
        """Note that a lease arrived, which used a credit."""
        self._credits_out -= 1

    def add_result(self, attempt: Attempt, result: task_pb2.TaskResult) -> None:
        """Report the result of an attempt that has ended."""
        if self._room() > self._credits_out:
            self._credits_out += 1
        else:
            result.without_credit = True
        self._unacknowledged[attempt.key] = (attempt, result)
        self._unsent.append(result)
        self._something.set()

    def grant_room(self) -> None:
        """Grant credits for all free room. May be called at any time."""
        more = self._room() - self._credits_out
        if more > 0 and not self._draining:
            self._credits += more
            self._credits_out += more
            self._something.set()

    def add_heartbeats(self, heartbeats: messages.Heartbeats) -> None:
        """Send heartbeats."""
        self._heartbeats.append(heartbeats)
        self._something.set()

    def drain(self) -> None:
        """Grant no more credits, and announce that the worker is draining."""
        self._draining = self._send_draining = True
        self._credits = 0
        self._something.set()

    def acknowledge(self, key: TaskRef) -> tuple[Attempt, task_pb2.TaskResult] | None:
        """Remove a result that arrived, and return it with its attempt; None if there is no such result."""
        entry = self._unacknowledged.pop(key, None)
        if not self._unacknowledged:
            self._empty.set()
        return entry

    async def all_acknowledged(self, timeout: float) -> bool:
        """Wait until every result is acknowledged. Return False if some are not after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._unacknowledged:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return not self._unacknowledged
        return True

    async def next_messages(self) -> list[messages.WorkerMessage]:
        """Wait until there is something to send. Return all of it, in as few messages as the limits allow."""
        await self._something.wait()
        self._something.clear()
        ready: list[messages.WorkerMessage] = []
        if self._send_draining:
            ready.append(messages.WorkerMessage(draining=messages.Draining()))
        for heartbeats in self._heartbeats:
            ready.append(messages.WorkerMessage(heartbeats=heartbeats))
        for batch in gathered(self._unsent, MAX_BATCH, self._max_bytes):
            ready.append(messages.WorkerMessage(results=messages.Results(results=batch)))
        if self._credits:
            ready.append(messages.WorkerMessage(credits=messages.Credits(amount=self._credits)))
        self._send_draining, self._credits, self._heartbeats, self._unsent = False, 0, [], []
        return ready
