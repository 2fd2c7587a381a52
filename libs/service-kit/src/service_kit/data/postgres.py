"""PostgreSQL: the pools of a service, and the choice between primary and replica for a read.

The write path, reads and background duties each have a pool, so none of them can take the connections of
another. Writes go to the primary only. Connections keep their prepared statements, so use constant SQL texts
with `$1` parameters. json and jsonb arrive as text, undecoded. A pool does not reset the settings of a
session when it takes a connection back, because that would cost a round trip: use only `SET LOCAL`, and
transaction-level advisory locks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import asyncpg
import structlog

from service_kit.data.consistency import EVENTUAL, LogPosition, ReadConsistency, position_of, token_of
from service_kit.data.database_errors import Meaning, is_replicas_fault, meaning_of
from service_kit.data.disk import Disk
from service_kit.data.pools import (
    ACQUIRE_TIMEOUT_SECONDS,
    Connection,
    Pool,
    PoolSettings,
    WatchedPool,
    open_pool,
    taken_from,
)
from service_kit.data.replica import Replica
from service_kit.data.schema_revision import Schema
from service_kit.data.silence import PRIMARY_PATIENCE, REPLICA_PATIENCE, Patience
from service_kit.errors import (
    DEPENDENCY_UNAVAILABLE,
    OVERLOADED,
    ServiceError,
    resource_exhausted,
    unavailable,
)
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock, SystemClock

CATCH_UP_SECONDS = 0.150

__all__ = ["Connection", "Database", "NotPrimaryError", "Pool", "connect"]

log = structlog.get_logger(__name__)
T = TypeVar("T")


class NotPrimaryError(Exception):
    """The server that should be the primary is a standby, or is set to read-only."""


class Database:
    """The pools of a service. Make it with `connect`, end it with `close`."""

    def __init__(
        self,
        writes: WatchedPool,
        reads: WatchedPool,
        duties: WatchedPool,
        replica: Replica | None,
        disk: Disk,
        slow_read_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
    ) -> None:
        self._disk = disk
        self._slow_read_seconds = slow_read_seconds
        self.primary = writes.pool
        """For the write path."""
        self.reads = reads.pool
        """For reads that the primary must answer."""
        self.duties = duties.pool
        """For background work: timers, heartbeats, health checks."""
        self.replica = replica
        self._pools = [writes, reads, duties]
        self._slow_reads = asyncio.Semaphore(max(1, reads.pool.get_max_size() // 2))

    def writer(self) -> AbstractAsyncContextManager[Connection]:
        """Return a context with a connection to the primary; it raises UNAVAILABLE after 5 s without one."""
        return taken_from(self.primary)

    async def read(
        self,
        query: Callable[[Connection], Awaitable[T]],
        consistency: ReadConsistency = EVENTUAL,
        *,
        slow: bool = False,
    ) -> T:
        """Run a read-only `query`: on the replica if it is fresh enough for `consistency`, or on the primary.

        Wait at most 150 ms until the replica has replayed a token. Do not wait for a token of another
        database server, or of a past that a restore took back: the primary answers then. If the replica fails
        during the query, run `query` again on the primary. All `slow` queries together, such as lists, get
        half of the connections.

        Raise ServiceError UNAVAILABLE if no connection is free within 5 s, and RESOURCE_EXHAUSTED if slow
        queries leave no room for another one within 5 s. The caller may repeat the call after both.
        """
        if slow:
            async with self._room_for_a_slow_read():
                return await self.read(query, consistency)
        connection = None
        if self.replica is not None and not consistency.strong:
            connection = await self.replica.acquire(consistency.position)
        if connection is not None and self.replica is not None:
            try:
                return await query(connection)
            except Exception as error:
                if not is_replicas_fault(error):
                    raise
                self.replica.leave_out(error)
            finally:
                await self.replica.release(connection)
        async with taken_from(self.reads) as primary:
            return await query(primary)

    @contextlib.asynccontextmanager
    async def _room_for_a_slow_read(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._slow_read_seconds):
                await self._slow_reads.acquire()
        except TimeoutError:
            message = (
                "this replica runs as many slow queries as it may: ask for less, or send the same call again"
                " after a short wait"
            )
            raise resource_exhausted(OVERLOADED, message) from None
        try:
            yield
        finally:
            self._slow_reads.release()

    async def consistency_token(self, connection: Connection | None = None) -> str:
        """Return a token for every commit so far.

        Call it after the commit. It takes one round trip to the primary, on `connection` if there is one.
        """
        if connection is not None:
            return await token_of(connection)
        async with self.writer() as primary:
            return await token_of(primary)

    async def check_primary(self, schema: Schema | None = None) -> None:
        """Raise if the primary does not answer, is read-only, or lacks migrations or disk.

        Use a connection of the duties, because reads and writes of callers cannot exhaust those.
        """
        async with taken_from(self.duties) as connection:
            if await connection.fetchval("SELECT current_setting('transaction_read_only')::bool"):
                await self._expire()
                message = (
                    "the server at DEFAULT_CONNECTION takes no writes: it is a standby, or set to read-only"
                )
                raise NotPrimaryError(message)
            if schema is not None:
                await schema.check(connection)
            await self._disk.check(connection)

    async def check_replica(self) -> None:
        """Raise if there is a replica and it is down or too far behind. This is a health check."""
        if self.replica is not None:
            await self.replica.check()

    async def _expire(self) -> None:
        for watched in self._pools:
            await watched.pool.expire_connections()

    async def close(self, timeout: float = 5.0) -> None:
        """Close the pools; cut connections that are still in use after `timeout` seconds. May be repeated."""
        try:
            async with asyncio.timeout(timeout):
                closing = [watched.close() for watched in self._pools]
                await asyncio.gather(*closing, *([self.replica.close()] if self.replica else []))
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            for watched in self._pools:
                watched.pool.terminate()
            if self.replica is not None:
                self.replica.pool.terminate()


async def connect(
    settings: DatabaseSettings,
    *,
    application_name: str,
    wait_seconds: float = 30.0,
    max_replica_lag_seconds: float = 10.0,
    clock: Clock | None = None,
    session: Mapping[str, str] | None = None,
    patience: Patience = PRIMARY_PATIENCE,
    replica_patience: Patience = REPLICA_PATIENCE,
    slow_read_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
) -> Database:
    """Open the pools. Wait up to `wait_seconds` for the primary, and not at all for the replica.

    `session` holds further server settings for the connections to the primary, such as planner settings.
    The pools break a connection to the primary that is silent for longer than `patience` allows, and one to
    the replica after `replica_patience`. A slow read waits for its turn for `slow_read_seconds`.
    Raise ServiceError UNAVAILABLE if the primary does not answer in time, and at once if it refuses the
    service (no such database, wrong password).
    """
    clock = clock or SystemClock()
    common = PoolSettings(application_name, settings.database_statement_timeout, session or {})
    writes = await _connect_primary(settings, common, wait_seconds, clock, patience)

    async def to_primary(max_size: int) -> WatchedPool:
        where = settings.default_connection
        return await open_pool(where, "read-write", common, patience, min_size=0, max_size=max_size)

    reads = await to_primary(settings.database_read_pool_size)
    duties = await to_primary(settings.database_duty_pool_size)
    replica = await _to_replica(
        settings, application_name, clock, reads, max_replica_lag_seconds, replica_patience
    )
    return Database(writes, reads, duties, replica, common.disk, slow_read_seconds)


async def _to_replica(
    settings: DatabaseSettings,
    application_name: str,
    clock: Clock,
    primary: WatchedPool,
    max_lag_seconds: float,
    patience: Patience,
) -> Replica | None:
    where = settings.read_only_connection
    if where is None or where == settings.default_connection:
        return None
    common = PoolSettings(application_name, settings.database_statement_timeout, {})
    size = settings.database_read_pool_size
    watched = await open_pool(where, "any", common, patience, min_size=0, max_size=size)

    async def ask_primary() -> LogPosition | None:
        try:
            async with taken_from(primary.pool) as connection:
                return await position_of(connection)
        except Exception as error:
            log.debug("primary_position_unknown", error=repr(error))
            return None

    return Replica(
        watched, clock, ask_primary, max_lag_seconds=max_lag_seconds, catch_up_seconds=CATCH_UP_SECONDS
    )


async def _connect_primary(
    settings: DatabaseSettings, common: PoolSettings, wait_seconds: float, clock: Clock, patience: Patience
) -> WatchedPool:
    deadline = clock.monotonic() + wait_seconds
    backoff = Backoff(first_seconds=0.1, max_seconds=2.0)
    where, size = settings.default_connection, settings.database_pool_size
    while True:
        try:
            return await open_pool(where, "read-write", common, patience, min_size=1, max_size=size)
        except Exception as error:
            if meaning_of(error) not in (Meaning.CONNECTION_LOST, Meaning.OUT_OF_RESOURCES):
                raise _unusable("use", where, error) from error
            if clock.monotonic() >= deadline:
                raise _unusable("reach", where, error) from error
            log.warning("primary_awaited", address=where.redacted, error=repr(error))
            await clock.sleep(backoff.next())


def _unusable(verb: str, where: ConnectionString, error: Exception) -> ServiceError:
    message = f"cannot {verb} the primary at {where}: {error!r}; start it, or correct DEFAULT_CONNECTION"
    return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="database")
