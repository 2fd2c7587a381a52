"""The feed of one watched execution: it reads each event once for all watchers.

Rules: - The feed accepts a page only if its first event follows the last one (`sequence + 1`), and only up to
its first
  gap; it reads the rest again. So no ring can cause a gap or a repetition.
- The feed keeps the latest events until all watchers have received them, within the limits of `kept`. A
watcher
  that falls behind gets pages of the orchestrator instead: a slow watcher costs reads, never memory.
- Any number of rings during a read cause one more read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog
from service_kit.errors import ServiceError, internal, out_of_range
from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock
from service_kit.tools.ids import new_uuid7

from workflow_gateway.watch.kept import Budget, KeptEvents
from workflow_gateway.watch.messages import EventMessage, ExecutionKey, Page, Snapshot
from workflow_gateway.watch.reader import ExecutionReader, UpstreamAwayError
from workflow_gateway.watch.single_flight import SingleFlight

SNAPSHOT_KEPT_SECONDS = 0.1
# A busy execution rings hundreds of times a second; its feed reads at most a hundred times a second.
MIN_READ_INTERVAL_SECONDS = 0.01
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 1.0
GAP_ATTEMPTS = 5

log = structlog.get_logger(__name__)


class ExecutionFeed:
    """The feed of one execution. Call `begin` with a snapshot first."""

    def __init__(self, key: ExecutionKey, reader: ExecutionReader, clock: Clock, budget: Budget) -> None:
        self.key = key
        self.head = 0
        self.final = False
        self._clock = clock
        self._reader = reader
        self._snapshots = SingleFlight(self._read_snapshot)
        self._snapshot: Snapshot | None = None
        self._snapshot_read = 0.0
        self._pages = SingleFlight(self._read_page)
        self._kept = KeptEvents(budget)
        self._received: Counter[int] = (
            Counter()
        )  # by sequence: how many watchers have received everything up to it
        self._failure: ServiceError | None = None
        self._follower: asyncio.Task[None] | None = None
        self._rung = 0
        self._unsure = False
        self._bell = asyncio.Event()
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_read = self._last_look = clock.monotonic()

    async def snapshot(self, *, fresh: bool = False) -> Snapshot:
        """Return a snapshot that is at most SNAPSHOT_KEPT_SECONDS old: later events follow anyway.

        If `fresh`, read it now. Raise ServiceError (NOT_FOUND, ...) or UpstreamAwayError.
        """
        if fresh:
            return await self._reader.snapshot(self.key)
        oldest = self._clock.monotonic() - SNAPSHOT_KEPT_SECONDS
        if self._snapshot is None or self._snapshot_read < oldest:
            return await self._snapshots.get()
        return self._snapshot

    def begin(self, snapshot: Snapshot) -> None:
        """Follow the execution from this snapshot on.

        If the feed has begun already, this is one more ring.
        """
        if self._follower is not None or self.final:
            self.ring(snapshot.last_sequence)
            return
        self.head = snapshot.last_sequence
        self.final = snapshot.final
        if not self.final:
            self._follower = asyncio.create_task(self._follow())

    def ring(self, sequence: int) -> None:
        """Note that an event with this sequence exists. If the feed has it already, do nothing."""
        if sequence > self.head and sequence > self._rung:
            self._rung = sequence
            self._bell.set()

    def is_due(self, quiet_seconds: float) -> bool:
        """Return whether the last read or look is `quiet_seconds` old. A ring may have been lost."""
        if self._follower is None or self._follower.done():
            return False
        return self._clock.monotonic() - max(self._last_read, self._last_look) >= quiet_seconds

    def looked_up(self, last_sequence: int | None) -> None:
        """Note the result of a look at many executions.

        None: the execution was not found, so read the reason.
        """
        self._last_look = self._clock.monotonic()
        if last_sequence is not None:
            self.ring(last_sequence)
        else:
            self._unsure = True
            self._bell.set()

    def enter(self, sequence: int) -> None:
        """Note that a watcher has received everything up to `sequence`, and wants later events."""
        self._received[sequence] += 1

    def leave(self, sequence: int) -> None:
        """Note that a watcher at the position `sequence` has left."""
        self._received[sequence] -= 1
        if not self._received[sequence]:
            del self._received[sequence]
            self._kept.drop_to(min(self._received, default=self.head))

    def move(self, before: int, now: int) -> None:
        """Note that a watcher at the position `before` has received everything up to `now`."""
        if now != before:
            self.enter(now)
            self.leave(before)

    async def after(self, sequence: int) -> tuple[Sequence[EventMessage], bool]:
        """Wait for events after `sequence`; return the first of them, and whether they came live.

        An empty result means that the execution is final and no more events will come. May be cancelled and
        repeated. Raise ServiceError OUT_OF_RANGE if events are deleted, or the error of the orchestrator.
        """
        while True:
            if sequence < self._first_kept - 1:
                return (await self._pages.get(sequence)).events, False
            if sequence < self.head:
                return self._kept.batch_after(sequence), True
            if self.final:
                return (), True
            if self._failure is not None:
                raise self._failure
            self.ring(sequence)  # a watcher that read pages may know more than the feed
            await asyncio.shield(self._changed)

    @property
    def kept_events(self) -> int:
        """The number of events in memory."""
        return len(self._kept)

    @property
    def _first_kept(self) -> int:
        first = self._kept.first
        return self.head + 1 if first is None else first

    async def close(self) -> None:
        """Stop all reads. A watcher that still waits is cancelled by its call."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._snapshots.close()
        await self._pages.close()
        self._kept.forget()

    async def _follow(self) -> None:
        """Read until the final event.

        If that fails, pass the error to the watchers, so that none waits in vain.
        """
        try:
            await self._read_on()
        except ServiceError as error:
            self._fail(error)
        except Exception as error:
            error_id = str(new_uuid7())
            log.error(
                "feed_failed", error_id=error_id, execution_id=str(self.key.execution_id), exc_info=error
            )
            self._fail(internal(error_id))

    async def _read_on(self) -> None:
        """Read when there may be new events, until the final one."""
        more = False
        while not self.final:
            if not (more or self._unsure or self._rung > self.head):
                self._bell.clear()
                await self._bell.wait()
                continue
            await self._clock.sleep(self._last_read + MIN_READ_INTERVAL_SECONDS - self._clock.monotonic())
            self._last_read = self._clock.monotonic()
            self._rung, self._unsure = 0, False
            page = await self._read_page(self.head)
            more = page.more and bool(page.events)
            self._append(page.events)

    async def _read_snapshot(self) -> Snapshot:
        began = self._clock.monotonic()
        self._snapshot = await self._reader.snapshot(self.key)
        self._snapshot_read = began
        return self._snapshot

    async def _read_page(self, sequence: int) -> Page:
        """Return the page after `sequence`.

        Wait while the orchestrator is away. Raise OUT_OF_RANGE for a gap.
        """
        backoff = Backoff(first_seconds=FIRST_BACKOFF_SECONDS, max_seconds=MAX_BACKOFF_SECONDS)
        gaps = 0
        while gaps < GAP_ATTEMPTS:
            try:
                page = await self._reader.events_after(self.key, sequence)
            except UpstreamAwayError as error:
                log.debug("watch_read_failed", execution_id=str(self.key.execution_id), error=str(error))
            else:
                if _follows(page, sequence) and (page.events or sequence >= self.head):
                    return _up_to_gap(page)
                gaps += 1
            await self._clock.sleep(backoff.next())
        raise _events_gone(self.key, sequence)

    def _append(self, events: Sequence[EventMessage]) -> None:
        for event in events:
            self._kept.append(event)
            self.head = event.sequence
            self.final = event.final
        if events:
            self._wake()

    def _fail(self, error: ServiceError) -> None:
        self._failure = error
        self._wake()

    def _wake(self) -> None:
        self._changed.set_result(None)
        self._changed = asyncio.get_running_loop().create_future()


def _follows(page: Page, sequence: int) -> bool:
    return not page.events or page.events[0].sequence == sequence + 1


def _up_to_gap(page: Page) -> Page:
    """Return the page up to its first gap; the caller reads the rest again."""
    for offset, event in enumerate(page.events):
        if event.sequence != page.events[0].sequence + offset:
            return Page(page.events[:offset], more=True)
    return page


def _events_gone(key: ExecutionKey, sequence: int) -> ServiceError:
    return out_of_range(
        "RESUME_TOKEN_EXPIRED",
        f"the events of execution {key.execution_id} after {sequence} are no longer stored; "
        "watch again without a resume token",
        execution_id=str(key.execution_id),
        sequence=str(sequence),
    )
