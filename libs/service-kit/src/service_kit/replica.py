"""The read replica: whether it may be asked, and whether it has replayed a given commit."""

from __future__ import annotations

import asyncio
import contextvars

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from service_kit.clock import Clock
from service_kit.consistency import parse_lsn
from service_kit.database_errors import is_replicas_fault
from service_kit.pools import WatchedPool

ACQUIRE_TIMEOUT_SECONDS = 1.0
STATE_TTL_SECONDS = 2.0
FIRST_POLL_SECONDS = 0.005
TRIAL_SECONDS = 1.0
"""How soon a replica that was left out must answer to be asked again."""

REPLICA_FAULTS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# The lag is 0 while streaming and level with what was received; a server that is no standby has none. A
# standby without a receiver hears nothing of the primary: its lag is the age of what it replayed last.
_STATE_SQL = """
SELECT coalesce(pg_last_wal_replay_lsn(), pg_current_wal_insert_lsn())::text AS lsn, 0.0::float8 AS lag
WHERE NOT pg_is_in_recovery()
UNION ALL
SELECT pg_last_wal_replay_lsn()::text,
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL)
            THEN 0.0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'infinity')
       END::float8
WHERE pg_is_in_recovery()
"""

log = structlog.get_logger(__name__)


class ReplicaLaggingError(Exception):
    """The replica answers, but with old data."""


class Replica:
    """The pool to the replica, and what is known of its state, which is asked anew every 2 s at most.

    A replica that fails, falls silent or lags is left out: reads go to the primary. Once 2 s have passed, the
    next read starts a trial in the background, and does not wait for it. When a trial succeeds, reads go to
    the replica again.
    """

    def __init__(
        self, watched: WatchedPool, clock: Clock, *, max_lag_seconds: float, catch_up_seconds: float
    ) -> None:
        self.pool = watched.pool
        self.lag_seconds = 0.0
        self._watched = watched
        self._clock = clock
        self._max_lag_seconds = max_lag_seconds
        self._catch_up_seconds = catch_up_seconds
        self._replayed = 0
        self._fresh_until = float("-inf")
        self._try_again_at: float | None = None
        """When a replica that is left out may be tried; None while it is in use."""
        self._trial: asyncio.Task[None] | None = None

    async def acquire(self, lsn: int | None) -> PoolConnectionProxy | None:
        """Return a connection that has replayed `lsn` (any, if None); None if the primary must be asked."""
        if self._try_again_at is not None:
            self._begin_trial_when_due(self._try_again_at)
            return None
        try:
            connection = await self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        except REPLICA_FAULTS as error:
            self.leave_out(error)
            return None
        keep = False
        try:
            keep = await self._is_fresh_enough(connection, lsn)
        except REPLICA_FAULTS as error:
            self.leave_out(error)
        finally:
            if not keep:
                await self.release(connection)
        return connection if keep else None

    async def release(self, connection: PoolConnectionProxy) -> None:
        """Give a connection back; the pool drops one that broke."""
        try:
            await self.pool.release(connection)
        except REPLICA_FAULTS:
            log.debug("replica_connection_dropped")

    def leave_out(self, error: BaseException) -> None:
        """Ask the primary instead, for 2 s at least."""
        if self._try_again_at is None:
            log.warning("replica_left_out", error=repr(error))
        self._try_again_at = self._clock.monotonic() + STATE_TTL_SECONDS
        self._fresh_until = float("-inf")

    async def check(self) -> None:
        """Ask for the state now; raise what is wrong (`ReplicaLaggingError`, or the connection's error).

        If all is well, a replica that was left out is used again.
        """
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            await self._refresh(connection)
        if self.lag_seconds > self._max_lag_seconds:
            raise self._lagging()
        if self._try_again_at is not None:
            log.info("replica_used_again")
            self._try_again_at = None

    async def close(self) -> None:
        """Close the pool."""
        if self._trial is not None:
            self._trial.cancel()
        await self._watched.close()

    def _begin_trial_when_due(self, due: float) -> None:
        if self._trial is None and self._clock.monotonic() >= due:
            # An empty context: the ids of the call that happens to start it are not the trial's.
            self._trial = asyncio.get_running_loop().create_task(
                self._try(), context=contextvars.Context(), name="replica trial"
            )

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                await self.check()
        except Exception as error:
            if not isinstance(error, ReplicaLaggingError) and not is_replicas_fault(error):
                log.error("replica_trial_failed", exc_info=error)
            self.leave_out(error)
        finally:
            self._trial = None

    async def _is_fresh_enough(self, connection: PoolConnectionProxy, lsn: int | None) -> bool:
        if self._clock.monotonic() >= self._fresh_until:
            await self._refresh(connection)
            if self.lag_seconds > self._max_lag_seconds:
                self.leave_out(self._lagging())
                return False
        return lsn is None or lsn <= self._replayed or await self._catches_up(connection, lsn)

    async def _catches_up(self, connection: PoolConnectionProxy, lsn: int) -> bool:
        deadline = self._clock.monotonic() + self._catch_up_seconds
        wait = FIRST_POLL_SECONDS
        while True:
            await self._refresh(connection)
            if lsn <= self._replayed:
                return True
            if self._clock.monotonic() + wait > deadline:
                return False
            await self._clock.sleep(wait)
            wait *= 2

    async def _refresh(self, connection: PoolConnectionProxy) -> None:
        row = await connection.fetchrow(_STATE_SQL)
        assert row is not None
        self._replayed = max(self._replayed, parse_lsn(row["lsn"]))
        self.lag_seconds = row["lag"]
        self._fresh_until = self._clock.monotonic() + STATE_TTL_SECONDS

    def _lagging(self) -> ReplicaLaggingError:
        return ReplicaLaggingError(f"{self.lag_seconds:.1f} s behind, {self._max_lag_seconds:.1f} s allowed")
