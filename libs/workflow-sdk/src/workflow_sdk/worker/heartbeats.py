"""Renews the leases of all attempts, outside user code, and stops the attempts whose leases ran out.

Every third of the TTL one message renews everything. In between only what handlers said of themselves is
passed on: within a third of the shortest heartbeat timeout, and within a second where there is news.

A message is also sent if no task is in hand, and at least every IDLE_SECONDS if the TTL is long. It tells
both sides that the connection works, and keeps proxies from cutting it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.worker.attempts import Attempt, Attempts, StopReason, key_of
from workflow_sdk.worker.executor import REVOKED_GRACE_SECONDS, Executor
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.packing import ENVELOPE_BYTES, MAX_MESSAGE_BYTES

NEWS_SECONDS = 1.0
IDLE_SECONDS = 20.0
"""The longest time without a heartbeat. Proxies cut connections that are silent for 60 s, some after 30 s."""
_MAX_BATCH = 10_000
_HEARTBEAT_FRAME_BYTES = 32
"""Everything of a heartbeat but its claim and its progress."""

log = logging.getLogger("workflow_sdk.worker")


@dataclass(slots=True)
class _Sent:
    """A message that waits for its acknowledgement."""

    at: float
    attempts: Sequence[Attempt]
    handlers_alive: Sequence[tuple[Attempt, bytes | None]]
    """Those whose handlers gave a sign, and the progress that it carried."""


class Heartbeats:
    """One per worker; it goes on while there is no session, as then leases run out."""

    def __init__(
        self, attempts: Attempts, executor: Executor, outbox: Outbox, monotonic: Callable[[], float]
    ) -> None:
        self._attempts = attempts
        self._executor = executor
        self._outbox = outbox
        self._monotonic = monotonic
        self._ttl = 0.0
        self._max_bytes = MAX_MESSAGE_BYTES
        self._connected = False
        self._next_id = 1
        self._sent: dict[int, _Sent] = {}
        self._next_full = 0.0
        self._last_news = 0.0
        self._last_sent = 0.0
        self._news: dict[Attempt, None] = {}
        self._wake = asyncio.Event()

    def begin_session(self, ttl: float, max_bytes: int) -> None:
        """A session opened: everything is renewed at once, since nobody knows how long there was none.

        `ttl` is in seconds; `max_bytes` is the size of the largest message to the orchestrator.
        """
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._connected = True
        self._sent.clear()
        self._next_full = self._monotonic()
        self._wake.set()

    def end_session(self) -> None:
        """The session is gone; what was sent and not acknowledged may not have arrived."""
        self._connected = False
        for sent in self._sent.values():
            self._unsay(sent)
        self._sent.clear()

    def handler_alive(self, attempt: Attempt) -> None:
        """A handler gave a sign of life, perhaps with progress."""
        if attempt not in self._news:
            self._news[attempt] = None
            self._wake.set()

    def acknowledged(self, heartbeat_id: int, stale: Sequence[task_pb2.TaskRef]) -> None:
        """The orchestrator renewed all of a message but the stale claims, whose handlers are stopped."""
        sent = self._sent.pop(heartbeat_id, None)
        if sent is None:
            return
        lost = {key_of(ref) for ref in stale}
        for attempt in sent.attempts:
            if attempt.key not in lost:
                self._attempts.renew(attempt, sent.at, self._ttl)
            elif attempt.key in self._attempts:
                self._executor.stop(attempt, StopReason.REVOKED, REVOKED_GRACE_SECONDS)

    @property
    def silence(self) -> float:
        """For how many seconds the oldest heartbeat has waited for its acknowledgement."""
        if not self._sent:
            return 0.0
        return self._monotonic() - min(sent.at for sent in self._sent.values())

    async def run(self) -> None:
        """Renew leases until cancelled."""
        while True:
            try:
                self._stop_expired()
                if self._connected:
                    self._send_what_is_due()
            except Exception:  # a defect in one look must not end the renewal of every lease
                log.exception("the leases could not be renewed", extra={"event": "heartbeats_failed"})
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval()):
                    await self._wake.wait()

    def _interval(self) -> float:
        """Seconds until there is something to look after again."""
        if not self._ttl:
            return NEWS_SECONDS
        soon = min(self._ttl, IDLE_SECONDS) / 10
        if self._news:
            soon = min(soon, self._last_news + self._pace() - self._monotonic())
        return max(0.005, soon)

    def _pace(self) -> float:
        """Seconds between messages with news only."""
        timeouts = [a.heartbeat_timeout for a in self._news if a.heartbeat_timeout is not None]
        return min(NEWS_SECONDS, *(timeout / 3 for timeout in timeouts)) if timeouts else NEWS_SECONDS

    def _send_what_is_due(self) -> None:
        now = self._monotonic()
        if now >= self._next_full:
            self._next_full = now + self._ttl / 3
            due = list(self._attempts)
            self._take_news(now)
        elif self._news and now >= self._last_news + self._pace():
            due = [attempt for attempt in self._take_news(now) if attempt.key in self._attempts]
            if not due:
                return
        elif now >= self._last_sent + IDLE_SECONDS:
            due = []
        else:
            return
        self._last_sent = now
        for batch in list(_batches(due, self._max_bytes)) or [[]]:
            self._send(batch, now)

    def _take_news(self, now: float) -> list[Attempt]:
        self._last_news = now
        news, self._news = list(self._news), {}
        return news

    def _send(self, attempts: Sequence[Attempt], now: float) -> None:
        message = messages.Heartbeats(heartbeat_id=self._next_id)
        alive: list[tuple[Attempt, bytes | None]] = []
        for attempt in attempts:
            heartbeat = message.heartbeats.add(task=attempt.lease.task)
            heartbeat.handler_alive = attempt.handler_alive or attempt.waiting
            if attempt.progress is not None:
                heartbeat.progress = attempt.progress
            if attempt.handler_alive:
                alive.append((attempt, attempt.progress))
            attempt.handler_alive, attempt.progress = False, None
        self._sent[self._next_id] = _Sent(now, attempts, alive)
        self._next_id += 1
        self._outbox.add_heartbeats(message)

    def _unsay(self, sent: _Sent) -> None:
        """It may not have arrived: say it again, unless the handler has told of later progress meanwhile."""
        for attempt, progress in sent.handlers_alive:
            attempt.handler_alive = True
            if attempt.progress is None:
                attempt.progress = progress
            self._news[attempt] = None

    def _stop_expired(self) -> None:
        now = self._monotonic()
        for attempt in self._attempts:
            if now >= attempt.deadline:
                self._executor.stop(attempt, StopReason.LEASE_EXPIRED, self._ttl * 0.1)


def _batches(attempts: Sequence[Attempt], max_bytes: int) -> Iterator[list[Attempt]]:
    max_bytes -= ENVELOPE_BYTES
    batch: list[Attempt] = []
    size = 0
    for attempt in attempts:
        more = attempt.lease.task.ByteSize() + len(attempt.progress or b"") + _HEARTBEAT_FRAME_BYTES
        if batch and (len(batch) == _MAX_BATCH or size + more > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(attempt)
        size += more
    if batch:
        yield batch
