"""One watch: a snapshot or a resumed position, every event, bookmarks in silence, and an orderly end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram
from service_kit.errors import (
    DEPENDENCY_UNAVAILABLE,
    DRAINING,
    OVERLOADED,
    FieldViolation,
    ServiceError,
    invalid_argument,
    resource_exhausted,
    unavailable,
)
from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock
from workflow_contract.names import DEFAULT_NAMESPACE

from workflow_gateway.watch.feed import ExecutionFeed
from workflow_gateway.watch.feeds import Feeds
from workflow_gateway.watch.messages import EventMessage, ExecutionKey, Snapshot, bookmark
from workflow_gateway.watch.reader import UpstreamAwayError
from workflow_gateway.watch.tokens import InvalidTokenError, decode

# The contract promises a bookmark at least every 15 s of silence.
BOOKMARK_SECONDS = 12.0
# How long the start of a watch waits for an orchestrator that is away.
START_PATIENCE_SECONDS = 10.0
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class WatchMetrics:
    """The metrics of the watches."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.watchers = Gauge("workflow_watchers", "Open watches.", registry=registry)
        self.delivery = Histogram(
            "workflow_watch_delivery_seconds",
            "Seconds from the time of an event to its delivery to a watcher's stream; live events only.",
            registry=registry,
            buckets=_BUCKETS,
        )


@dataclass(slots=True, eq=False)
class _Position:
    """The position of one watcher: it has received everything up to `sequence`.

    At `leave_time`, by the clock of the event loop, the watch has reached its age.
    """

    key: ExecutionKey
    sequence: int
    leave_time: float
    waiting: asyncio.Timeout | None = None


class Watcher:
    """Serves WatchExecution; at most `max_watchers` at a time.

    `watch_seconds` returns the age at which a new watch ends; None means that it has no age.
    """

    def __init__(
        self,
        feeds: Feeds,
        clock: Clock,
        metrics: WatchMetrics,
        *,
        max_watchers: int,
        watch_seconds: Callable[[], float | None] = lambda: None,
        bookmark_seconds: float = BOOKMARK_SECONDS,
        start_patience_seconds: float = START_PATIENCE_SECONDS,
    ) -> None:
        self._feeds = feeds
        self._clock = clock
        self._metrics = metrics
        self.max_watchers = max_watchers
        self.watch_seconds = watch_seconds
        self.bookmark_seconds = bookmark_seconds
        self.start_patience_seconds = start_patience_seconds
        self._open: set[_Position] = set()
        self._drain_began = asyncio.Event()

    async def watch_execution(self, request: Any, _context: Any) -> AsyncIterator[bytes]:
        """Yield the serialised WatchExecutionResponses of one watch. The contract lists the errors."""
        key = ExecutionKey(request.namespace or DEFAULT_NAMESPACE, UUID(request.execution_id))
        resumed_at = _sequence_of(request.resume_token, key) if request.resume_token else None
        self._admit()
        seconds = self.watch_seconds()
        age = math.inf if seconds is None else seconds
        position = _Position(key, 0, asyncio.get_running_loop().time() + age)
        self._open.add(position)
        self._metrics.watchers.inc()
        try:
            async with self._feeds.open(key) as feed:
                snapshot = await self._snapshot(feed, position, resumed_at or 0)
                feed.begin(snapshot)
                if resumed_at is None:
                    yield snapshot.message
                position.sequence = _start(snapshot, resumed_at)
                at_the_end = snapshot.final and position.sequence == snapshot.last_sequence
                if at_the_end and resumed_at is not None:
                    yield bookmark(key, position.sequence, self._clock.now(), final=True)
                elif not at_the_end:
                    async with aclosing(self._follow(feed, position)) as messages:
                        async for message in messages:
                            yield message
        finally:
            self._metrics.watchers.dec()
            self._open.discard(position)

    async def drain(self) -> None:
        """Admit no more watches.

        Send each open watch a message with its token, then end it with UNAVAILABLE.
        """
        self._drain_began.set()
        now = asyncio.get_running_loop().time()
        for position in self._open:
            # A wait whose time has just passed ends anyway, and cannot be rescheduled.
            if position.waiting is not None and not position.waiting.expired():
                position.waiting.reschedule(now)

    def _admit(self) -> None:
        if self._drain_began.is_set():
            raise _draining()
        if len(self._open) >= self.max_watchers:
            message = f"this gateway already serves {self.max_watchers} watches; try again, or add gateways"
            raise resource_exhausted(OVERLOADED, message)

    async def _snapshot(self, feed: ExecutionFeed, position: _Position, resumed_at: int) -> Snapshot:
        """Return the snapshot. Wait while the orchestrator restarts, but not during a drain."""
        try:
            async with asyncio.timeout(None) as position.waiting:
                return await self._patient_snapshot(feed, resumed_at)
        except TimeoutError:
            raise _draining() from None
        finally:
            position.waiting = None

    async def _patient_snapshot(self, feed: ExecutionFeed, resumed_at: int) -> Snapshot:
        backoff = Backoff(first_seconds=0.05, max_seconds=1.0)
        deadline = self._clock.monotonic() + self.start_patience_seconds
        while True:
            try:
                snapshot = await feed.snapshot()
                if snapshot.last_sequence < resumed_at:  # another gateway may have sent later events
                    snapshot = await feed.snapshot(fresh=True)
                return snapshot
            except UpstreamAwayError:
                if self._clock.monotonic() >= deadline:
                    raise _orchestrator_away() from None
            await self._clock.sleep(backoff.next())

    async def _follow(self, feed: ExecutionFeed, position: _Position) -> AsyncGenerator[bytes, None]:
        """Yield events until the final one, and a bookmark after each silence of `bookmark_seconds`."""
        received = position.sequence
        feed.enter(received)
        try:
            while not self._must_end(position):
                feed.move(received, position.sequence)
                received = position.sequence
                news = await self._wait(feed, position)
                if news is None:
                    if not self._must_end(position):
                        yield bookmark(position.key, received, self._clock.now())
                    continue
                events, live = news
                if not events:
                    return
                for event in events:
                    yield event.message
                    position.sequence = event.sequence
                    self._observe(event, live)
                    if event.final:
                        return
                    if self._must_end(position):
                        break
        finally:
            feed.leave(received)
        yield bookmark(position.key, position.sequence, self._clock.now())
        raise _draining() if self._drain_began.is_set() else _too_old()

    def _observe(self, event: EventMessage, live: bool) -> None:
        if live:
            self._metrics.delivery.observe(self._clock.now().timestamp() - event.event_seconds)

    def _must_end(self, position: _Position) -> bool:
        return self._drain_began.is_set() or asyncio.get_running_loop().time() >= position.leave_time

    async def _wait(
        self, feed: ExecutionFeed, position: _Position
    ) -> tuple[Sequence[EventMessage], bool] | None:
        """Return the events after the position; None if it is time for a bookmark, or for the end."""
        age_left = position.leave_time - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self.bookmark_seconds, age_left)) as position.waiting:
                return await feed.after(position.sequence)
        except TimeoutError:
            return None
        finally:
            position.waiting = None


def _sequence_of(text: str, key: ExecutionKey) -> int:
    try:
        token = decode(text)
    except InvalidTokenError as error:
        raise _token_invalid(f"the resume token is {error}") from None
    if token.execution_id != key.execution_id:
        raise _token_invalid(f"the resume token is of execution {token.execution_id}")
    return token.sequence


def _start(snapshot: Snapshot, resumed_at: int | None) -> int:
    if resumed_at is None:
        return snapshot.last_sequence
    if resumed_at > snapshot.last_sequence:
        raise _token_invalid(f"the resume token is ahead of the execution's {snapshot.last_sequence} events")
    return resumed_at


def _token_invalid(what: str) -> ServiceError:
    violation = FieldViolation("resume_token", what)
    return invalid_argument("RESUME_TOKEN_INVALID", f"{what}; watch again without it", violation)


def _draining() -> ServiceError:
    return unavailable(DRAINING, "this gateway is shutting down; watch again with the last resume token")


def _too_old() -> ServiceError:
    return unavailable(
        DRAINING, "this watch has reached its maximum age; watch again with the last resume token"
    )


def _orchestrator_away() -> ServiceError:
    message = "the orchestrator does not answer; try again in a moment"
    return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="orchestrator")
