"""Renews the leases of all attempts, outside user code, and stops the attempts whose leases expired.

Every third of the TTL one message renews all leases. Between these messages the worker forwards heartbeats of
handlers: within a third of the shortest heartbeat timeout, and at the latest after NEWS_SECONDS.

The worker sends a message also while it holds no task, and at least every IDLE_SECONDS if the TTL is long.
The message shows both sides that the connection works, and keeps proxies from cutting it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from workflow_sdk.worker.attempts import REVOKED_GRACE_SECONDS, Attempt, Attempts, StopReason, key_of
from workflow_sdk.worker.outbox import Outbox
from workflow_sdk.worker.packing import ENVELOPE_BYTES, MAX_MESSAGE_BYTES

NEWS_SECONDS = 1.0
IDLE_SECONDS = 20.0
"""The longest time without a heartbeat. Proxies cut connections that are silent for 60 s, some after 30 s."""
_MAX_BATCH = 10_000
_HEARTBEAT_FRAME_BYTES = 32
"""The size of a heartbeat without its claim and its progress."""

log = logging.getLogger("workflow_sdk.worker")


@dataclass(slots=True)
class _Sent:
    """A message that waits for its acknowledgement."""

    at: float
    attempts: Sequence[Attempt]
    handlers_alive: Sequence[tuple[Attempt, bytes | None]]
    """The attempts whose handlers sent a heartbeat, and the progress that it carried."""


class Heartbeats:
    """One per lane. It runs also while there is no session, because leases expire then."""

    def __init__(self, attempts: Attempts, outbox: Outbox, monotonic: Callable[[], float]) -> None:
        self._attempts = attempts
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
        """Renew all leases at once: nobody knows how long there was no session.

        `ttl` is in seconds; `max_bytes` is the size of the largest message to the orchestrator.
        """
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._connected = True
        self._sent.clear()
        self._next_full = self._monotonic()
        self._wake.set()

    def end_session(self) -> None:
        """Repeat in the next session what nobody acknowledged in this one: it may not have arrived."""
        self._connected = False
        for sent in self._sent.values():
            self._unsay(sent)
        self._sent.clear()

    def handler_alive(self, attempt: Attempt, progress: bytes | None) -> None:
        """Note a heartbeat of a handler, perhaps with progress, and send it soon."""
        attempt.handler_alive = True
        if progress is not None:
            attempt.progress = progress
        if attempt not in self._news:
            self._news[attempt] = None
            self._wake.set()

    def acknowledged(self, heartbeat_id: int, stale: Sequence[task_pb2.TaskRef]) -> None:
        """Extend the leases of a message that was acknowledged; stop the handlers of stale claims."""
        sent = self._sent.pop(heartbeat_id, None)
        if sent is None:
            return
        lost = {key_of(ref) for ref in stale}
        for attempt in sent.attempts:
            if attempt.key not in lost:
                self._attempts.renew(attempt, sent.at, self._ttl)
            elif attempt.key in self._attempts:
                attempt.stop(StopReason.REVOKED, REVOKED_GRACE_SECONDS)

    @property
    def silence(self) -> float:
        """How long the oldest heartbeat has waited for its acknowledgement, in seconds."""
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
            except Exception:  # a defect in one round must not end the renewal of every lease
                log.exception("the leases could not be renewed", extra={"event": "heartbeats_failed"})
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval()):
                    await self._wake.wait()

    def _interval(self) -> float:
        """Return the seconds until the next round."""
        if not self._ttl:
            return NEWS_SECONDS
        soon = min(self._ttl, IDLE_SECONDS) / 10
        if self._news:
            soon = min(soon, self._last_news + self._pace() - self._monotonic())
        return max(0.005, soon)

    def _pace(self) -> float:
        """Return the seconds between messages that only forward heartbeats of handlers."""
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
        """Note again what a message carried: it may not have arrived. Later progress of a handler stays."""
        for attempt, progress in sent.handlers_alive:
            attempt.handler_alive = True
            if attempt.progress is None:
                attempt.progress = progress
            self._news[attempt] = None

    def _stop_expired(self) -> None:
        now = self._monotonic()
        for attempt in self._attempts:
            if now >= attempt.deadline:
                attempt.stop(StopReason.LEASE_EXPIRED, self._ttl * 0.1)


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
