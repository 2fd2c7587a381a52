"""Connections to PostgreSQL: how each one is opened, and how long it has waited for a reply."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any, Literal

import asyncpg

from service_kit.data.consistency import LogPosition
from service_kit.data.disk import Disk
from service_kit.process.connection_string import ConnectionString
from service_kit.tools.keepalive import (
    IDLE_SECONDS,
    INTERVAL_SECONDS,
    PROBES,
    USER_TIMEOUT_MS,
    keep_alive,
)

CONNECT_TIMEOUT_SECONDS = 5.0

Target = Literal["any", "read-write"]
"""`read-write` refuses a standby and a server that is set to read-only; `any` takes every server."""

# The same on the server's side: if a service vanishes, its server releases its locks within 10 s.
_SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": str(IDLE_SECONDS),
    "tcp_keepalives_interval": str(INTERVAL_SECONDS),
    "tcp_keepalives_count": str(PROBES),
    "tcp_user_timeout": str(USER_TIMEOUT_MS),
}


class WatchedConnection(asyncpg.Connection):
    """A connection that knows since when its statement has waited for the reply.

    `waiting_since` is a time of `time.monotonic()`, or None if no statement is running. The methods repeat
    the same lines, because a function for them would cost each statement another microsecond.
    """

    waiting_since: float | None = None
    disk = Disk()
    """The disk of the server; `ConnectionSource` gives all connections of a service the same object."""
    vouched_until = 0.0
    """Before this time of `time.monotonic()` the silence watch does not ask about the statement again."""
    position: LogPosition | None = None
    """For replicas: the position that the server had replayed when it was last asked."""

    def note_position(self, position: LogPosition) -> None:
        """Set `position`; a proxy of a pool passes on calls, but keeps what is assigned to it."""
        self.position = position

    async def execute(self, *args: Any, **options: Any) -> Any:
        """Override asyncpg's method."""
        self.waiting_since = time.monotonic()
        try:
            return await super().execute(*args, **options)
        except asyncpg.DiskFullError:
            self.disk.note_full()
            raise
        finally:
            self.waiting_since = None

    async def executemany(self, *args: Any, **options: Any) -> Any:
        """Override asyncpg's method."""
        self.waiting_since = time.monotonic()
        try:
            return await super().executemany(*args, **options)
        except asyncpg.DiskFullError:
            self.disk.note_full()
            raise
        finally:
            self.waiting_since = None

    async def fetch(self, *args: Any, **options: Any) -> Any:
        """Override asyncpg's method."""
        self.waiting_since = time.monotonic()
        try:
            return await super().fetch(*args, **options)
        except asyncpg.DiskFullError:
            self.disk.note_full()
            raise
        finally:
            self.waiting_since = None

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        """Override asyncpg's method."""
        self.waiting_since = time.monotonic()
        try:
            return await super().fetchrow(*args, **options)
        except asyncpg.DiskFullError:
            self.disk.note_full()
            raise
        finally:
            self.waiting_since = None

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        """Override asyncpg's method."""
        self.waiting_since = time.monotonic()
        try:
            return await super().fetchval(*args, **options)
        except asyncpg.DiskFullError:
            self.disk.note_full()
            raise
        finally:
            self.waiting_since = None


async def open_connection(
    where: ConnectionString, *, target: Target = "read-write", **options: Any
) -> WatchedConnection:
    """Open one connection with TCP keepalive; `options` are those of `asyncpg.connect`.

    Raise OSError (TimeoutError after 5 s), or an asyncpg error if the server refuses. May be repeated.
    """
    given: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_SECONDS,
        "connection_class": WatchedConnection,
        "target_session_attrs": target,
        **options,
    }
    connection: WatchedConnection = await asyncpg.connect(where.asyncpg_dsn, **given)
    # asyncpg gives no other way to the socket.
    keep_alive(connection._transport.get_extra_info("socket"))  # type: ignore[attr-defined]
    return connection


class ConnectionSource:
    """Opens the connections of one pool, all with the same settings, and remembers them."""

    def __init__(
        self, where: ConnectionString, target: Target, server_settings: Mapping[str, str], disk: Disk
    ) -> None:
        self.where = where
        self._disk = disk
        self._target: Target = target
        self._server_settings = _SERVER_KEEPALIVE | dict(server_settings)
        self._opened: weakref.WeakSet[WatchedConnection] = weakref.WeakSet()

    async def open(self, *_: Any, **options: Any) -> WatchedConnection:
        """Open a connection that `waiting` considers; for `asyncpg.create_pool(connect=...)`."""
        connection = await self.open_apart(**options)
        connection.disk = self._disk
        self._opened.add(connection)
        return connection

    async def open_apart(self, **options: Any) -> WatchedConnection:
        """Open a connection to the same server that `waiting` does not consider."""
        given = {"server_settings": self._server_settings, **options}
        return await open_connection(self.where, target=self._target, **given)

    def waiting(self, since: float) -> list[WatchedConnection]:
        """Return the connections whose statement was sent at or before `since`, by `time.monotonic()`."""
        return [
            connection
            for connection in self._opened
            if connection.waiting_since is not None and connection.waiting_since <= since
        ]
