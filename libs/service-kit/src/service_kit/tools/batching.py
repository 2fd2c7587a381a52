"""Group commit: the items that arrive while a batch is in flight form the next batch.

An idle queue does not wait: the first item starts a batch at once, together with the other items of the same
turn of the event loop. A busy queue puts hundreds of items into one transaction. Batches keep the order in
which the items arrived.

A batch and the queue have limits in items and, if the items are weighed, in weight.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from service_kit.errors import DRAINING, OVERLOADED, ServiceError, resource_exhausted, unavailable

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_MAX_BATCH = 512
DEFAULT_MAX_QUEUE = 20_000


class Entry(Generic[T, R]):
    """A submitted item, and the future that gets its result.

    `is_open` is true until the result is known. If a handler knows the result but gives it later, it sets
    `is_open` to False, so that no one else settles the entry meanwhile.
    """

    __slots__ = ("future", "is_open", "item", "queue_time", "submit_time", "weight")

    def __init__(self, item: T, future: asyncio.Future[R], submit_time: float, weight: int) -> None:
        self.item = item
        self.future = future
        self.is_open = True
        self.submit_time = submit_time  # by the clock of the event loop, in seconds
        self.queue_time = submit_time  # later if the entry spent time outside the queue
        self.weight = weight

    def settle(self, result: R | Exception) -> None:
        """Give the result to the submitter, or raise it there if it is an Exception.

        If the entry is settled already, or its submitter was cancelled, do nothing.
        """
        self.is_open = False
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class BatchQueue(Generic[T, R]):
    """A queue that handles its items in batches, one batch at a time. Subclasses implement `handle_entries`.

    `weigh` returns the weight of an item, in units of the caller's choice. A batch ends before the item that
    would bring it over `max_batch_weight`; an item that is heavier alone is a batch alone. A queue belongs to
    one event loop and is not thread-safe.
    """

    def __init__(
        self,
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        max_queue: int = DEFAULT_MAX_QUEUE,
        weigh: Callable[[T], int] | None = None,
        max_batch_weight: int = 0,
        max_queue_weight: int = 0,
    ) -> None:
        if max_batch < 1 or max_queue < 1:
            raise ValueError("max_batch and max_queue must be at least 1")
        if weigh is not None and (max_batch_weight < 1 or max_queue_weight < 1):
            raise ValueError("items are weighed, so max_batch_weight and max_queue_weight must be at least 1")
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._weigh = weigh
        self._max_batch_weight = max_batch_weight
        self._max_queue_weight = max_queue_weight
        self._waiting: deque[Entry[T, R]] = deque()
        self._weight = 0  # of the entries that wait, and of those outside
        self._outside = 0  # entries that a subclass keeps elsewhere for a while; they count as waiting
        self._in_flight: Sequence[Entry[T, R]] = ()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return how many items wait. The batch in flight does not count."""
        return len(self._waiting) + self._outside

    @property
    def oldest_seconds(self) -> float:
        """The age in seconds of the oldest item in the queue or in the batch in flight; 0.0 without items.

        The time that an item spent outside the queue does not count.
        """
        open_entries = (entries[0] for entries in (self._in_flight, self._waiting) if entries)
        oldest = min((entry.queue_time for entry in open_entries), default=None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest

    def submit(self, item: T) -> asyncio.Future[R]:
        """Queue an item; await the future for its result.

        If the submitter is cancelled, a waiting item is dropped, and an item in flight is finished. Raise
        ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if the queue is full, and UNAVAILABLE (DRAINING) after
        `close`; in both cases nothing was done.
        """
        if self._closed:
            raise draining()
        weight = 0 if self._weigh is None else self._weigh(item)
        if len(self._waiting) + self._outside >= self._max_queue:
            raise self._overloaded()
        if weight and self._waiting and self._weight + weight > self._max_queue_weight:
            raise self._overloaded()
        loop = asyncio.get_running_loop()
        entry: Entry[T, R] = Entry(item, loop.create_future(), loop.time(), weight)
        self.accept(entry, loop)
        return entry.future

    async def close(self) -> None:
        """Refuse new items, and return when every accepted item is handled. May be repeated."""
        self._closed = True
        if self._runner is not None:
            await asyncio.wait([self._runner])

    def accept(self, entry: Entry[T, R], loop: asyncio.AbstractEventLoop) -> None:
        """Append a new entry. The caller has checked that the queue has room for it."""
        self._waiting.append(entry)
        self._weight += entry.weight
        if self._runner is None:
            self._start(loop)

    async def handle_entries(self, entries: Sequence[Entry[T, R]]) -> None:
        """Handle one batch. If an entry is not settled at the end, the subclass settles it later.

        If this raises an error, every submitter of the batch without a result gets the error.
        """
        raise NotImplementedError

    def put_back(self, entries: Sequence[Entry[T, R]]) -> None:
        """Put entries back to the front of the queue, in their order. The limits do not apply to them."""
        self._waiting.extendleft(reversed(entries))
        self._weight += sum(entry.weight for entry in entries)
        if self._runner is None:
            self._start(asyncio.get_running_loop())

    def return_to_queue(self, entries: Sequence[Entry[T, R]]) -> None:
        """Put back entries that were outside the queue; `oldest_seconds` starts again for them."""
        now = asyncio.get_running_loop().time()
        for entry in entries:
            entry.queue_time = now
        self.put_back(entries)

    def _overloaded(self) -> ServiceError:
        message = "this replica is overloaded: wait a moment, then send the same call again"
        return resource_exhausted(OVERLOADED, message, limit=str(self._max_queue))

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        # An empty context: the log lines of the batch must not carry the ids of its first submitter.
        self._runner = loop.create_task(self._run(), context=contextvars.Context())

    async def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._in_flight = batch
                await self._handle(batch)
                self._in_flight = ()
        except BaseException as error:  # cancelled, or the process is ending: no submitter may wait for ever
            for entry in (*self._in_flight, *self._waiting):
                _settle_if_open(entry, draining())
            self._waiting.clear()
            self._weight = 0
            if not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._in_flight = ()
            self._runner = None

    def _next_batch(self) -> list[Entry[T, R]]:
        batch: list[Entry[T, R]] = []
        weight = 0
        waiting = self._waiting
        while waiting and len(batch) < self._max_batch:
            entry = waiting[0]
            if batch and entry.weight and weight + entry.weight > self._max_batch_weight:
                break
            waiting.popleft()
            self._weight -= entry.weight
            if not entry.future.done():
                batch.append(entry)
                weight += entry.weight
        return batch

    async def _handle(self, batch: list[Entry[T, R]]) -> None:
        try:
            await self.handle_entries(batch)
        except Exception as error:
            for entry in batch:
                _settle_if_open(entry, error)


class Batcher(BatchQueue[T, R]):
    """Runs `handle` on batches of submitted items, one batch at a time.

    `handle` returns one result for each item, in order. If a result is an Exception, the submitter of that
    item gets it. If `handle` raises an error, every item of the batch gets it.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int = DEFAULT_MAX_BATCH,
        max_queue: int = DEFAULT_MAX_QUEUE,
        weigh: Callable[[T], int] | None = None,
        max_batch_weight: int = 0,
        max_queue_weight: int = 0,
    ) -> None:
        super().__init__(
            max_batch=max_batch,
            max_queue=max_queue,
            weigh=weigh,
            max_batch_weight=max_batch_weight,
            max_queue_weight=max_queue_weight,
        )
        self._handle_items = handle

    async def handle_entries(self, entries: Sequence[Entry[T, R]]) -> None:
        """Call `handle` with the items, and settle every entry."""
        results = await self._handle_items([entry.item for entry in entries])
        if len(results) != len(entries):
            raise RuntimeError(f"{len(entries)} items were handled with {len(results)} results")
        for entry, result in zip(entries, results, strict=True):
            entry.settle(result)


def _settle_if_open(entry: Entry[T, R], error: Exception) -> None:
    if entry.is_open:
        entry.settle(error)


def draining() -> ServiceError:
    """Return the error of an item that is submitted while its queue closes."""
    return unavailable(DRAINING, "this replica is shutting down: send the same call again")
