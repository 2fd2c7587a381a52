"""Group commit: what arrives while a batch is in flight forms the next batch.

An idle batcher waits for nothing: the first item starts a batch at once (with what else was submitted in
the same turn of the event loop). A busy one hands hundreds of items to one transaction. Order is kept:
items are handled first come, first served.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service_kit.errors import DRAINING, OVERLOADED, ServiceError, resource_exhausted, unavailable

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_MAX_BATCH = 512
DEFAULT_MAX_QUEUE = 20_000


@dataclass(frozen=True, slots=True)
class Later(Generic[T]):
    """The result of an item that must wait for something first: it joins a later batch then."""

    ready: Callable[[], Awaitable[T]]
    """Called once; returns the item as it joins the batch. If it raises, so does the submitter's await."""


class Batcher(Generic[T, R]):
    """Runs `handle` on batches of submitted items, one batch at a time.

    `handle` returns one result for each item, in order. A result that is an Exception is raised to the
    submitter of that item. An item whose result is `Later` joins a later batch, and its submitter waits on.
    If `handle` itself raises, every item of that batch gets the exception.
    Belongs to one event loop; not thread-safe.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception | Later[T]]]],
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
        self._postponed: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many items wait; those of the batch in flight are not counted."""
        return len(self._waiting) + len(self._postponed)

    def submit(self, item: T) -> asyncio.Future[R]:
        """Queue an item; await what is returned for its result.

        A cancelled submitter disturbs nobody: an item that still waits is dropped, one in flight is
        finished. Raises ServiceError RESOURCE_EXHAUSTED (OVERLOADED) when `max_queue` items wait, and
        UNAVAILABLE (DRAINING) after `close`; in both cases nothing was done.
        """
        if self._closed:
            raise _draining()
        if len(self) >= self._max_queue:
            message = (
                "more is waiting than this replica takes in: wait a moment, then send the same call again"
            )
            raise resource_exhausted(OVERLOADED, message, limit=str(self._max_queue))
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._enqueue(item, future)
        return future

    async def close(self) -> None:
        """Refuse new items, and return when everything accepted is handled. May be repeated."""
        self._closed = True
        while unfinished := [*self._postponed, *([self._runner] if self._runner is not None else [])]:
            await asyncio.wait(unfinished)

    def _enqueue(self, item: T, future: asyncio.Future[R]) -> None:
        self._waiting.append((item, future))
        if self._runner is None:
            # An empty context: the ids that the first submitter bound to its log lines are not the batch's.
            loop = asyncio.get_running_loop()
            self._runner = loop.create_task(self._run(), context=contextvars.Context())

    async def _run(self) -> None:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while batch := self._take():
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
            if isinstance(result, Later):
                self._postpone(result, future)
            elif isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _postpone(self, later: Later[T], future: asyncio.Future[R]) -> None:
        self._postponed.add(asyncio.get_running_loop().create_task(self._rejoin(later, future)))

    async def _rejoin(self, later: Later[T], future: asyncio.Future[R]) -> None:
        try:
            self._enqueue(await later.ready(), future)
        except asyncio.CancelledError:
            if not future.done():
                future.set_exception(_draining())
            raise
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        finally:
            if (task := asyncio.current_task()) is not None:
                self._postponed.discard(task)


def _draining() -> ServiceError:
    return unavailable(DRAINING, "this replica is shutting down: send the same call again")
