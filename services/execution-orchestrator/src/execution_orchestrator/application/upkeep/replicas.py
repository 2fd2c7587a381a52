"""The replicas that work. Each reports every second, and so learns its share of the timers.

The newest report is the last moment at which the engine could serve. If all replicas were away for longer
than OUTAGE_AFTER, or had stopped, the first one that returns records the outage.
"""

import asyncio
from uuid import UUID, uuid4

import structlog

from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.ports.store import RetryTransactionError, StoreUnavailableError
from execution_orchestrator.application.ports.upkeep_store import Presence, UpkeepStore

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0
FRESH_SECONDS = 2.0
"""A presence that is older than this is out of date: ask for a new one."""

STOP_SECONDS = 2.0
"""The longest time that a replica that stops tries to report it."""


class Replicas:
    """The presence of this replica among the others."""

    def __init__(
        self,
        store: UpkeepStore,
        clock: DatabaseClock,
        replica_id: UUID | None = None,
        *,
        beat_seconds: float = BEAT_SECONDS,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._beat_seconds = beat_seconds
        self._fresh_seconds = fresh_seconds
        self._store = store
        self._clock = clock
        self._replica_id = replica_id or uuid4()
        self._presence: Presence | None = None
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Report until cancelled. If Postgres is away, try again a second later."""
        while True:
            try:
                await self.beat()
            except (StoreUnavailableError, RetryTransactionError) as error:
                log.info("beat_failed", error=str(error))
            await asyncio.sleep(self._beat_seconds)

    async def beat(self) -> Presence:
        """Report that this replica is there. Raise StoreUnavailableError and RetryTransactionError."""
        async with self._asking:
            asked_at = asyncio.get_running_loop().time()
            presence = await self._store.beat(self._replica_id)
            self._asked_at, self._presence = asked_at, presence
        self._clock.sync(presence.now)
        if presence.new_outage is not None:
            log.warning("outage_over", seconds=round(presence.new_outage.total_seconds(), 1))
        return presence

    async def presence(self) -> Presence:
        """Return the answer to the last report, or to a new one if that is over 2 s ago. Raise as `beat`
        does.

        No outage can have begun and ended since that report: an outage needs OUTAGE_AFTER without a report of
        this replica.
        """
        age = asyncio.get_running_loop().time() - self._asked_at
        if self._presence is None or age > self._fresh_seconds:
            return await self.beat()
        return self._presence

    async def leave(self) -> None:
        """Report that this replica stops, so that the others take its share at once. Raise nothing."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._store.leave(self._replica_id)
        except Exception as error:  # the others notice that its reports have stopped
            log.info("leave_failed", error=repr(error))
