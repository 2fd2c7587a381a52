"""All feeds of this gateway: one for each execution that is watched now, woken by the doorbell.

When Redis is away, or a doorbell gets lost, the feeds look for themselves: so Redis decides how soon a
watcher hears of an event, never whether.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service_kit.clock import Clock

from workflow_gateway.watch.doorbell import rings
from workflow_gateway.watch.feed import ExecutionFeed
from workflow_gateway.watch.messages import ExecutionKey
from workflow_gateway.watch.reader import ExecutionReader

POLL_SECONDS = 5.0
POLL_SECONDS_WITHOUT_DOORBELL = 1.0
TICK_SECONDS = 0.25


@dataclass(slots=True)
class _Shared:
    feed: ExecutionFeed
    watchers: int = 0


class Feeds:
    """Opens a feed for the first watcher of an execution, and closes it after the last."""

    def __init__(self, reader: ExecutionReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._open: dict[ExecutionKey, _Shared] = {}

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(self, key: ExecutionKey) -> AsyncIterator[ExecutionFeed]:
        """The execution's feed, open for the doorbell from now on; `begin` it with a snapshot."""
        shared = self._open.get(key)
        if shared is None:
            shared = self._open[key] = _Shared(ExecutionFeed(key, self._reader, self._clock))
        shared.watchers += 1
        try:
            yield shared.feed
        finally:
            shared.watchers -= 1
            if shared.watchers == 0:
                del self._open[key]
                await shared.feed.close()

    async def on_doorbell(self, _channel: str, data: bytes) -> None:
        """A message of the doorbell's channel came."""
        if not self._open:
            return
        for key, last_sequence in rings(data):
            shared = self._open.get(key)
            if shared is not None:
                shared.feed.ring(last_sequence)

    async def on_gap(self) -> None:
        """Messages may have been missed."""
        self.poll(0.0)

    def poll(self, quiet_seconds: float) -> None:
        """Let every feed read that has not for `quiet_seconds`."""
        for shared in self._open.values():
            shared.feed.poll(quiet_seconds)

    async def keep_polling(self, doorbell_works: Callable[[], bool]) -> None:
        """Until cancelled: make up for lost doorbells, more often while there are none at all."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.poll(POLL_SECONDS if doorbell_works() else POLL_SECONDS_WITHOUT_DOORBELL)
