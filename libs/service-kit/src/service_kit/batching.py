"""Group commit: what arrives while a batch is in flight forms the next batch.

An idle batcher waits for nothing: the first item starts a batch at once (with what else was submitted in
the same turn of the event loop). A busy one hands hundreds of items to one transaction. Order is kept:
items are handled first come, first served.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from service_kit.errors import DRAINING, OVERLOADED, ServiceError, resource_exhausted, unavailable

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_MAX_BATCH = 512
DEFAULT_MAX_QUEUE = 20_000


class Batcher(Generic[T, R]):
    """Runs `handle` on batches of submitted items, one batch at a time.

    `handle` returns one result for each item, in order; a result that is an Exception is raised to the
    submitter of that item. If `handle` itself raises, every item of that batch gets the exception.
    Belongs to one event loop; not thread-safe.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        max_queue: int = DEFAULT_MAX_QUEUE,
    ) -> None:
        if max_batch < 1 or max_queue < 1:
            raise ValueError("max_batch and max_queue must be at least 1")
        self._handle = handle
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._batch_began: float | None = None
        self._closed = False

    @property
    def oldest_seconds(self) -> float:
        """How long the batch in flight has taken so far; 0.0 if there is none."""
        if self._batch_began is None:
            return 0.0
        return time.monotonic() - self._batch_began

    def __len__(self) -> int:
        """How many items wait; those of the batch in flight are not counted."""
        return len(self._waiting)

    def submit(self, item: T) -> asyncio.Future[R]:
        """Queue an item; await what is returned for its result.

        A cancelled submitter disturbs nobody: an item that still waits is dropped, one in flight is
        finished. Raises ServiceError RESOURCE_EXHAUSTED (OVERLOADED) when `max_queue` items wait, and
        UNAVAILABLE (DRAINING) after `close`; in both cases nothing was done.
        """
        if self._closed:
            raise _draining()
        if len(self._waiting) >= self._max_queue:
            message = (
                "more is waiting than this replica takes in: wait a moment, then send the same call again"
            )
            raise resource_exhausted(OVERLOADED, message, limit=str(self._max_queue))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._runner is None:
            # An empty context: the ids that the first submitter bound to its log lines are not the batch's.
            self._runner = loop.create_task(self._run(), context=contextvars.Context())
        return future

    async def close(self) -> None:
        """Refuse new items, and return when everything accepted is handled. May be repeated."""
        self._closed = True
        if self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while batch := self._take():
                self._batch_began = time.monotonic()
                await self._handle_batch(batch)
        except BaseException as error:  # cancelled, or the process is going down: nobody may wait for ever
            for _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_exception(_draining())
            self._waiting.clear()
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._runner = None
            self._batch_began = None

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        waiting = self._waiting
        while waiting and len(batch) < self._max_batch:
            entry = waiting.popleft()
            if not entry[1].done():
                batch.append(entry)
        return batch

    async def _handle_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._handle([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items were handled with {len(results)} results")
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _draining() -> ServiceError:
    return unavailable(DRAINING, "this replica is shutting down: send the same call again")
