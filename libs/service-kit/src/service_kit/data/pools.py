"""Pools of connections to PostgreSQL: their settings, and how a caller takes a connection."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from service_kit.data.connections import (
    CONNECT_TIMEOUT_SECONDS,
    ConnectionSource,
    Target,
    WatchedConnection,
)
from service_kit.data.database_errors import map_error
from service_kit.data.disk import Disk
from service_kit.data.silence import Patience, SilenceWatch
from service_kit.process.connection_string import ConnectionString

ACQUIRE_TIMEOUT_SECONDS = 5.0

log = structlog.get_logger(__name__)
Connection = PoolConnectionProxy
Pool = asyncpg.Pool


@dataclass(frozen=True, slots=True)
class WatchedPool:
    """A pool, and the watch that breaks its connections if the server falls silent."""

    pool: Pool
    watch: SilenceWatch

    async def close(self) -> None:
        """Wait until no connection is in use, then close them all."""
        await self.watch.stop()
        await self.pool.close()


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The settings that all pools of a service share."""

    application_name: str
    statement_timeout_seconds: float
    session: Mapping[str, str]
    """Further server settings, such as the planner's."""
    disk: Disk = field(default_factory=Disk)
    """The disk of the server."""

    def of_server(self) -> dict[str, str]:
        """Return the settings that each session begins with."""
        usual = {
            "application_name": self.application_name,
            "statement_timeout": str(int(self.statement_timeout_seconds * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "jit": "off",
            "timezone": "UTC",
        }
        return usual | dict(self.session)


async def open_pool(
    where: ConnectionString,
    target: Target,
    settings: PoolSettings,
    patience: Patience,
    *,
    min_size: int,
    max_size: int,
) -> WatchedPool:
    """Open `min_size` connections, and up to `max_size` when they are needed.

    Raise OSError or an asyncpg error if the server cannot be reached and `min_size` is not 0.
    """
    source = ConnectionSource(where, target, settings.of_server(), settings.disk)
    pool = await asyncpg.create_pool(
        where.asyncpg_dsn,
        connect=source.open,
        min_size=min_size,
        max_size=max_size,
        max_inactive_connection_lifetime=300.0,
        timeout=CONNECT_TIMEOUT_SECONDS,
        connection_class=WatchedConnection,
        statement_cache_size=1024,
        max_cached_statement_lifetime=0,
        reset=_keep_session,
    )
    max_wait = settings.statement_timeout_seconds + patience.after_the_timeout
    watch = SilenceWatch(pool, source, patience, max_wait)
    watch.start()
    return WatchedPool(pool, watch)


@contextlib.asynccontextmanager
async def taken_from(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection of a pool to the primary for the length of the block.

    Raise ServiceError UNAVAILABLE if no connection is free within 5 s. If the server turns out to be
    read-only, the pool gives up all its connections: they lead to a server that is no longer the primary.
    """
    try:
        connection = await pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
    except Exception as error:
        mapped = map_error(error)
        if mapped is None:
            raise
        log.warning("primary_unreachable", error=repr(error))
        raise mapped from error
    try:
        yield connection
    except asyncpg.ReadOnlySQLTransactionError:
        await pool.expire_connections()
        raise
    finally:
        await pool.release(connection)


async def _keep_session(_: Any) -> None:
    """Do not reset the session at a release, as asyncpg would: it costs a round trip."""
