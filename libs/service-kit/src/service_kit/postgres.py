"""PostgreSQL: one pool to the primary, one to the replica, and the choice between them for a read.

Writes go to the primary only. Connections keep their prepared statements (plain asyncpg; use `$1`
parameters, and constant SQL texts). json and jsonb arrive as text, undecoded. Settings of a session are
not reset when a connection goes back to its pool (that would cost a round trip each time): use only
`SET LOCAL`, and transaction-level advisory locks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from service_kit.backoff import Backoff
from service_kit.clock import Clock, SystemClock
from service_kit.connection_string import ConnectionString
from service_kit.consistency import EVENTUAL, ReadConsistency
from service_kit.database_errors import database_unavailable, is_connection_lost, is_replicas_fault
from service_kit.errors import DEPENDENCY_UNAVAILABLE, ServiceError, unavailable
from service_kit.replica import Replica
from service_kit.settings import DatabaseSettings

ACQUIRE_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5.0
CATCH_UP_SECONDS = 0.150

log = structlog.get_logger(__name__)
T = TypeVar("T")
Connection = PoolConnectionProxy
Pool = asyncpg.Pool


class Database:
    """The two pools of a service. Make it with `connect`, end it with `close`."""

    def __init__(self, primary: Pool, replica: Replica | None) -> None:
        self.primary = primary
        self.replica = replica

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[Connection]:
        """A connection to the primary; UNAVAILABLE when none is to be had within 5 s."""
        try:
            connection = await self.primary.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        except Exception as error:
            if not is_connection_lost(error):
                raise
            log.warning("primary_unreachable", error=repr(error))
            raise database_unavailable() from error
        try:
            yield connection
        finally:
            await self.primary.release(connection)

    @contextlib.asynccontextmanager
    async def reader(self, consistency: ReadConsistency = EVENTUAL) -> AsyncIterator[Connection]:
        """A connection fresh enough for `consistency`: the replica's if it will do, else the primary's.

        Waits at most 150 ms for the replica to replay a token. A replica that is down or too far behind is
        left out for a few seconds. For a query that is simply repeated on the primary see `read`.
        """
        connection = (
            None
            if consistency.strong or self.replica is None
            else await self.replica.acquire(consistency.lsn)
        )
        if connection is None or self.replica is None:
            async with self.writer() as primary:
                yield primary
            return
        try:
            yield connection
        except Exception as error:
            if is_connection_lost(error):
                self.replica.leave_out(error)
            raise
        finally:
            await self.replica.release(connection)

    async def read(
        self, query: Callable[[Connection], Awaitable[T]], consistency: ReadConsistency = EVENTUAL
    ) -> T:
        """Run a read-only `query`; where the replica fails in the middle, run it again on the primary."""
        connection = (
            None
            if consistency.strong or self.replica is None
            else await self.replica.acquire(consistency.lsn)
        )
        if connection is not None and self.replica is not None:
            try:
                return await query(connection)
            except Exception as error:
                if not is_replicas_fault(error):
                    raise
                self.replica.leave_out(error)
            finally:
                await self.replica.release(connection)
        async with self.writer() as primary:
            return await query(primary)

    async def consistency_token(self, connection: Connection | None = None) -> str:
        """A token for every commit so far: the write-ahead log's position, as text like `16/B374D848`.

        Call it after the commit; one round trip, on `connection` if one to the primary is at hand. A commit
        has flushed its record; the insert position may stand behind a page's header that no replica replays.
        """
        if connection is not None:
            return str(await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text"))
        async with self.writer() as primary:
            return str(await primary.fetchval("SELECT pg_current_wal_flush_lsn()::text"))

    async def check_primary(self) -> None:
        """For health checks: one query to the primary; raises when it is not answered."""
        async with self.writer() as primary:
            await primary.fetchval("SELECT 1")

    async def check_replica(self) -> None:
        """For health checks: raises when there is a replica and it is down or too far behind."""
        if self.replica is not None:
            await self.replica.check()

    async def close(self, timeout: float = 5.0) -> None:
        """Close both pools: `timeout` seconds for connections in use, then they are cut. Repeatable."""
        pools = [self.primary] + ([self.replica.pool] if self.replica else [])
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(pool.close() for pool in pools))
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            for pool in pools:
                pool.terminate()


async def connect(
    settings: DatabaseSettings,
    *,
    application_name: str,
    wait_seconds: float = 30.0,
    max_replica_lag_seconds: float = 10.0,
    clock: Clock | None = None,
    session: Mapping[str, str] | None = None,
) -> Database:
    """Open the pools; waits up to `wait_seconds` for the primary, and not at all for the replica.

    `session` are further server settings for the connections to the primary, such as the planner's.
    Raises ServiceError UNAVAILABLE when the primary did not answer in time, and at once when it refuses
    (no such database, wrong password).
    """
    clock = clock or SystemClock()
    primary = await _connect_primary(settings, application_name, wait_seconds, clock, session or {})
    where = settings.read_only_connection
    replica = None
    if where is not None and where != settings.default_connection:
        pool = await _create_pool(settings, where, application_name, min_size=0)
        replica = Replica(
            pool, clock, max_lag_seconds=max_replica_lag_seconds, catch_up_seconds=CATCH_UP_SECONDS
        )
    return Database(primary, replica)


async def _connect_primary(
    settings: DatabaseSettings,
    application_name: str,
    wait_seconds: float,
    clock: Clock,
    session: Mapping[str, str],
) -> Pool:
    deadline = clock.monotonic() + wait_seconds
    backoff = Backoff(first_seconds=0.1, max_seconds=2.0)
    where = settings.default_connection
    while True:
        try:
            return await _create_pool(settings, where, application_name, min_size=1, session=session)
        except Exception as error:
            if not is_connection_lost(error):
                raise _refused(where, error) from error
            if clock.monotonic() >= deadline:
                message = (
                    f"cannot reach the primary at {where}: {error!r}; start it, or correct DEFAULT_CONNECTION"
                )
                raise unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="database") from error
            log.warning("primary_awaited", address=where.redacted, error=repr(error))
            await clock.sleep(backoff.next())


async def _create_pool(
    settings: DatabaseSettings,
    where: ConnectionString,
    application_name: str,
    *,
    min_size: int,
    session: Mapping[str, str] | None = None,
) -> Pool:
    usual = {
        "application_name": application_name,
        "statement_timeout": str(int(settings.database_statement_timeout * 1000)),
        "idle_in_transaction_session_timeout": "60000",
        "jit": "off",
        "timezone": "UTC",
    }
    return await asyncpg.create_pool(
        where.asyncpg_dsn,
        min_size=min_size,
        max_size=settings.database_pool_size,
        max_inactive_connection_lifetime=300.0,
        timeout=CONNECT_TIMEOUT_SECONDS,
        server_settings=usual | dict(session or {}),
        statement_cache_size=1024,
        max_cached_statement_lifetime=0,
        reset=_keep_session,
    )


async def _keep_session(_: Any) -> None:
    """asyncpg would reset the session at every release, at the price of a round trip."""


def _refused(where: ConnectionString, error: Exception) -> ServiceError:
    message = f"cannot use the primary at {where}: {error!r}; start it, or correct DEFAULT_CONNECTION"
    return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="database")
