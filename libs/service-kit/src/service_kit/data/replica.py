"""The read replica: whether a read may use it, and whether it has replayed a given commit.

READ_ONLY_CONNECTION may lead to several standbys behind one name, so each connection has its own replayed
position. If the primary itself has not reached a wanted position, the position belongs to a lost past, such
as after a restore from a backup: then no read waits for it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from service_kit.data.consistency import LogPosition, Progress, position_from
from service_kit.data.database_errors import is_replicas_fault
from service_kit.data.pools import WatchedPool
from service_kit.tools.clock import Clock

ACQUIRE_TIMEOUT_SECONDS = 1.0
STATE_TTL_SECONDS = 2.0
FIRST_POLL_SECONDS = 0.005
TRIAL_SECONDS = 1.0
"""How soon a replica that was left out must answer before reads use it again."""

REPLICA_FAULTS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# The lag is 0 if the standby streams and has replayed everything that it received, or if the server is not a
# standby. Without a receiver, a standby gets nothing from the primary: its lag is the age of the last replay.
# A standby writes its timeline into its control file at restart points. The receiver knows the timeline at
# once, but shows it only to members of pg_monitor. Until then, the primary serves other users' reads with a
# token of a new timeline.
_STATE_SQL = """
SELECT system_identifier AS system,
       coalesce(pg_last_wal_replay_lsn(), pg_current_wal_insert_lsn())::text AS lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS timeline,
       0.0::float8 AS lag
FROM pg_control_system() WHERE NOT pg_is_in_recovery()
UNION ALL
SELECT system_identifier, pg_last_wal_replay_lsn()::text,
       greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                (SELECT received_tli FROM pg_stat_wal_receiver)),
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL)
            THEN 0.0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 'infinity')
       END::float8
FROM pg_control_system() WHERE pg_is_in_recovery()
"""

AskPrimary = Callable[[], Awaitable[LogPosition | None]]
"""Returns the primary's position; None if the primary does not answer."""

log = structlog.get_logger(__name__)


class ReplicaLaggingError(Exception):
    """The replica answers, but with old data."""


class Replica:
    """The pool to the replica, and the state of the replica, which is at most 2 s old when a read uses it.

    If the replica fails, falls silent or lags, it is left out: reads go to the primary. After 2 s, the next
    read starts a trial in the background and does not wait for it. When a trial succeeds, reads go to the
    replica again.
    """

    def __init__(
        self,
        watched: WatchedPool,
        clock: Clock,
        ask_primary: AskPrimary,
        *,
        max_lag_seconds: float,
        catch_up_seconds: float,
        trial_seconds: float = TRIAL_SECONDS,
    ) -> None:
        self._trial_seconds = trial_seconds
        self.pool = watched.pool
        self.lag_seconds = 0.0
        self._watched = watched
        self._clock = clock
        self._ask_primary = ask_primary
        self._max_lag_seconds = max_lag_seconds
        self._catch_up_seconds = catch_up_seconds
        self._gone: LogPosition | None = None
        """A wanted position that the primary had not reached until `_gone_until`."""
        self._gone_until = float("-inf")
        self._fresh_until = float("-inf")
        self._try_again_at: float | None = None
        """When a replica that is left out may be tried; None while it is in use."""
        self._trial: asyncio.Task[None] | None = None

    async def acquire(self, wanted: LogPosition | None) -> PoolConnectionProxy | None:
        """Return a connection that has replayed `wanted`, or any if that is None. None: ask the primary."""
        if self._try_again_at is not None:
            self._begin_trial_when_due(self._try_again_at)
            return None
        if wanted is not None and self._is_gone(wanted):
            return None
        try:
            connection = await self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        except REPLICA_FAULTS as error:
            self.leave_out(error)
            return None
        keep = False
        try:
            keep = await self._is_fresh_enough(connection, wanted)
        except REPLICA_FAULTS as error:
            self.leave_out(error)
        finally:
            if not keep:
                await self.release(connection)
        return connection if keep else None

    async def release(self, connection: PoolConnectionProxy) -> None:
        """Give a connection back; if it is broken, the pool drops it."""
        try:
            await self.pool.release(connection)
        except REPLICA_FAULTS:
            log.debug("replica_connection_dropped")

    def leave_out(self, error: BaseException) -> None:
        """Read from the primary instead, for at least 2 s."""
        if self._try_again_at is None:
            log.warning("replica_left_out", error=repr(error))
        self._try_again_at = self._clock.monotonic() + STATE_TTL_SECONDS
        self._fresh_until = float("-inf")

    async def check(self) -> None:
        """Ask for the state now. Raise ReplicaLaggingError, or the error of the connection.

        If the replica is well and was left out, use it again.
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
            # An empty context: the trial does not belong to the call that happens to start it.
            self._trial = asyncio.get_running_loop().create_task(
                self._try(), context=contextvars.Context(), name="replica trial"
            )

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(self._trial_seconds):
                await self.check()
        except Exception as error:
            if not isinstance(error, ReplicaLaggingError) and not is_replicas_fault(error):
                log.error("replica_trial_failed", exc_info=error)
            self.leave_out(error)
        finally:
            self._trial = None

    async def _is_fresh_enough(self, connection: PoolConnectionProxy, wanted: LogPosition | None) -> bool:
        if self._clock.monotonic() >= self._fresh_until:
            await self._refresh(connection)
            if self.lag_seconds > self._max_lag_seconds:
                self.leave_out(self._lagging())
                return False
        if wanted is None:
            return True
        known = _known_position(connection)
        if known is not None and known.progress_to(wanted) is Progress.REACHED:
            return True
        return await self._catches_up(connection, wanted)

    async def _catches_up(self, connection: PoolConnectionProxy, wanted: LogPosition) -> bool:
        deadline = self._clock.monotonic() + self._catch_up_seconds
        wait = FIRST_POLL_SECONDS
        while True:
            progress = (await self._refresh(connection)).progress_to(wanted)
            if progress is not Progress.BEHIND:
                return progress is Progress.REACHED
            if self._clock.monotonic() + wait > deadline:
                return False
            if wait > FIRST_POLL_SECONDS and await self._goes_too_far(wanted):
                return False
            await self._clock.sleep(wait)
            wait *= 2

    async def _goes_too_far(self, wanted: LogPosition) -> bool:
        """Return whether the primary itself has not reached the position; then remember it as gone."""
        primary = await self._ask_primary()
        if primary is None or primary.progress_to(wanted) is Progress.REACHED:
            return False
        if not self._is_gone(wanted):
            log.warning("consistency_token_beyond_primary", wanted=wanted, primary=primary)
        self._gone, self._gone_until = wanted, self._clock.monotonic() + STATE_TTL_SECONDS
        return True

    def _is_gone(self, wanted: LogPosition) -> bool:
        """Return whether the primary had not reached the position when it was asked less than 2 s ago.

        The primary may have reached it since then. That does no harm, because the primary serves the read.
        """
        if self._gone is None or self._clock.monotonic() >= self._gone_until:
            return False
        return wanted.progress_to(self._gone) is Progress.REACHED

    async def _refresh(self, connection: PoolConnectionProxy) -> LogPosition:
        row = await connection.fetchrow(_STATE_SQL)
        assert row is not None
        position = position_from(row)
        _note_position(connection, position)
        self.lag_seconds = row["lag"]
        self._fresh_until = self._clock.monotonic() + STATE_TTL_SECONDS
        return position

    def _lagging(self) -> ReplicaLaggingError:
        return ReplicaLaggingError(f"{self.lag_seconds:.1f} s behind, {self._max_lag_seconds:.1f} s allowed")


def _known_position(connection: Any) -> LogPosition | None:
    """Return the position that the connection's server had replayed when it was last asked."""
    position: LogPosition | None = connection.position
    return position


def _note_position(connection: Any, position: LogPosition) -> None:
    connection.note_position(position)  # a method of WatchedConnection, which the types of a pool do not show
