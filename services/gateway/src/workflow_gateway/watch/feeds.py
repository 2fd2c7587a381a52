"""All feeds of this gateway: one for each watched execution. The doorbell wakes them.

If Redis is away or loses a ring, this gateway asks the orchestrator for the last event of the watched
executions, a thousand with one call. So Redis decides how soon a watcher receives an event, and never
whether.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog
from service_kit.errors import ServiceError
from service_kit.tools.clock import Clock

from workflow_gateway.watch.doorbell import rings
from workflow_gateway.watch.feed import ExecutionFeed
from workflow_gateway.watch.kept import USUAL_LIMITS, Budget, KeptLimits
from workflow_gateway.watch.messages import ExecutionKey
from workflow_gateway.watch.reader import ExecutionReader, UpstreamAwayError

LOOK_SECONDS = 5.0
"""After this time without a read or a look, look at an execution, in case a ring was lost."""

LOOK_SECONDS_WITHOUT_DOORBELL = 1.0
TICK_SECONDS = 0.25
MAX_LOOK = 1_000
"""The executions of one look; the contract sets this limit for a call."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Shared:
    feed: ExecutionFeed
    watchers: int = 0


class Feeds:
    """Opens a feed for the first watcher of an execution, and closes it after the last."""

    def __init__(
        self,
        reader: ExecutionReader,
        clock: Clock,
        *,
        look_seconds: float = LOOK_SECONDS,
        kept: KeptLimits = USUAL_LIMITS,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._look_seconds = look_seconds
        self.budget = Budget(of_each=kept)
        self._open: dict[ExecutionKey, _Shared] = {}
        self._missed = False

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(self, key: ExecutionKey) -> AsyncIterator[ExecutionFeed]:
        """Open the feed of an execution while the block lasts; `begin` it with a snapshot.

        Rings reach it already.
        """
        shared = self._open.get(key)
        if shared is None:
            shared = self._open[key] = _Shared(ExecutionFeed(key, self._reader, self._clock, self.budget))
        shared.watchers += 1
        try:
            yield shared.feed
        finally:
            shared.watchers -= 1
            if shared.watchers == 0:
                del self._open[key]
                await shared.feed.close()

    async def on_doorbell(self, _channel: str, data: bytes) -> None:
        """Pass the rings of a message on to their feeds."""
        if not self._open:
            return
        for key, last_sequence in rings(data):
            shared = self._open.get(key)
            if shared is not None:
                shared.feed.ring(last_sequence)

    async def on_gap(self) -> None:
        """Look at every execution in the next round, because rings may have been missed."""
        self._missed = True

    async def keep_looking(self, doorbell_works: Callable[[], bool]) -> None:
        """Look for events whose ring was lost, until cancelled.

        Look more often if the doorbell does not work.
        """
        while True:
            await asyncio.sleep(TICK_SECONDS)
            quiet_seconds = self._look_seconds if doorbell_works() else LOOK_SECONDS_WITHOUT_DOORBELL
            if self._missed:
                self._missed, quiet_seconds = False, 0.0
            await self._look(quiet_seconds)

    async def _look(self, quiet_seconds: float) -> None:
        """Ask for the last event of each execution without a look for `quiet_seconds`, many with one call.

        There is one call at a time, even if many executions are watched.
        """
        due: dict[str, list[ExecutionFeed]] = defaultdict(list)
        for key, shared in self._open.items():
            if shared.feed.is_due(quiet_seconds):
                due[key.namespace].append(shared.feed)
        for namespace, feeds in due.items():
            for begin in range(0, len(feeds), MAX_LOOK):
                await self._look_at(namespace, feeds[begin : begin + MAX_LOOK])

    async def _look_at(self, namespace: str, feeds: list[ExecutionFeed]) -> None:
        found: Mapping[UUID, int] = {}
        try:
            found = await self._reader.last_sequences(namespace, [feed.key.execution_id for feed in feeds])
        except UpstreamAwayError as error:
            log.debug("look_failed", error=str(error))
            return  # they stay due
        except ServiceError as error:  # an orchestrator of an older release: each feed reads alone
            log.debug("look_refused", error=error.message)
        for feed in feeds:
            feed.looked_up(found.get(feed.key.execution_id))
