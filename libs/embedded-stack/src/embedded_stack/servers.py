"""PostgreSQL 18, its streaming replica and Valkey, which start and stop together."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from embedded_stack.binaries import find_binaries
from embedded_stack.errors import StackError
from embedded_stack.layout import Layout, prepare_layout
from embedded_stack.lock import DataDirectoryLock
from embedded_stack.ports import free_ports, require_free
from embedded_stack.postgres import Postgres
from embedded_stack.postgres_setup import (
    ensure_primary_data,
    ensure_replica_data,
    rebuild_replica_data,
    replica_settings,
    superuser_password,
)
from embedded_stack.valkey import Valkey

DATABASE = "workflows"
"""The database of the application; the first start creates it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of the servers.

    URLs name the user postgres and work with SQLAlchemy, asyncpg and psql.
    """

    socket_directory: Path
    postgres_port: int
    replica_port: int
    """The primary's port if there is no replica."""
    redis_port: int
    password: str = field(repr=False)
    """The password of the user postgres over TCP; connections over the Unix socket need none."""

    @property
    def database_url(self) -> str:
        """The primary's application database, over the Unix socket."""
        return self.primary(DATABASE)

    @property
    def replica_url(self) -> str:
        """The replica's copy of the application database, over the Unix socket."""
        return self.replica(DATABASE)

    @property
    def redis_url(self) -> str:
        """Valkey, over TCP."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def database_tcp_url(self) -> str:
        """The primary's application database over TCP, for tools that cannot use Unix sockets."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.postgres_port}/{DATABASE}"

    def primary(self, database: str) -> str:
        """Return the URL of a database on the primary."""
        return self._url(database, self.postgres_port)

    def replica(self, database: str) -> str:
        """Return the URL of a database on the replica."""
        return self._url(database, self.replica_port)

    def _url(self, database: str, port: int) -> str:
        host = quote(str(self.socket_directory), safe="/")
        return f"postgresql://postgres@/{database}?host={host}&port={port}"


class Servers:
    """Servers over one data directory; `Servers.start(...)` is the way to get one.

    Start them from a thread that lives longer than they: on Linux they end with it.
    """

    def __init__(self, layout: Layout, lock: DataDirectoryLock, primary: Postgres, valkey: Valkey) -> None:
        self.layout = layout
        self.primary = primary
        self.valkey = valkey
        self.replica: Postgres | None = None
        self._lock = lock

    @classmethod
    def start(
        cls,
        data_directory: Path,
        *,
        postgres_port: int | None = None,
        replica_port: int | None = None,
        redis_port: int | None = None,
        replica: bool = True,
        fsync: bool = True,
        lock: DataDirectoryLock | None = None,
    ) -> Self:
        """Start the servers and wait until they answer. Create their data if it does not exist.

        Without a port, any free one is used. Before that, end the processes that a killed supervisor left in
        the directory. Without `fsync`, a crash of the machine loses data: use this for tests only. If the
        caller has taken the `lock` of the directory already, `stop` releases it.

        Raise StackError if a live process uses the directory, if a port is taken, or if a server does not
        start; then nothing is left running.
        """
        data = data_directory.resolve()
        lock = lock or DataDirectoryLock.acquire(data)
        try:
            layout = prepare_layout(data, find_binaries())
            free = free_ports(3)
            primary = Postgres("primary", layout, _port(postgres_port, "WORKFLOW_POSTGRES_PORT", free), fsync)
            valkey = Valkey(layout, _port(redis_port, "WORKFLOW_REDIS_PORT", free), durable=fsync)
            servers = cls(layout, lock, primary, valkey)
            if replica:
                follow = replica_settings(layout, primary.port)
                port = _port(replica_port, "WORKFLOW_REPLICA_PORT", free)
                servers.replica = Postgres("replica", layout, port, fsync, follow)
        except BaseException:
            lock.release()
            raise
        servers._start_all()
        return servers

    @property
    def addresses(self) -> Addresses:
        """The addresses of the servers. A restart of a server does not change them."""
        return Addresses(
            socket_directory=self.layout.sockets,
            postgres_port=self.primary.port,
            replica_port=self.primary.port if self.replica is None else self.replica.port,
            redis_port=self.valkey.port,
            password=superuser_password(self.layout),
        )

    def stop(self) -> None:
        """Stop all servers cleanly, within a limited time. May be repeated."""
        running = [server for server in (self.valkey, self.replica, self.primary) if server is not None]
        for server in running:
            server.ask_to_stop()
        for server in running:
            server.stop()
        self._lock.release()

    def wait_for_replica(self, timeout_seconds: float = 10.0) -> None:
        """Wait until the replica has replayed every commit of the primary so far.

        Raise StackError if that takes too long. Without a replica, return at once.
        """
        if self.replica is None:
            return
        lsn = self.primary.query("select pg_current_wal_flush_lsn()")
        deadline = time.monotonic() + timeout_seconds
        while self.replica.query(f"select pg_last_wal_replay_lsn() >= '{lsn}'") != "t":
            if time.monotonic() > deadline:
                raise StackError(f"the replica does not follow the primary: see {self.replica.log}")
            time.sleep(0.01)

    def kill_redis(self) -> None:
        """End Valkey as a crash would. `start_redis` starts it again with the data that it had written."""
        self.valkey.kill()

    def start_redis(self) -> None:
        """Start Valkey again at its address. If it runs already, do nothing."""
        self.valkey.start()

    def kill_primary(self) -> None:
        """End the primary as a crash would. `start_primary` starts it again, and it recovers."""
        self.primary.kill()

    def start_primary(self) -> None:
        """Start the primary again at its address. If it runs already, do nothing."""
        self.primary.start()

    def kill_replica(self) -> None:
        """End the replica as a crash would. Raise StackError if there is no replica."""
        self._replica().kill()

    def start_replica(self) -> None:
        """Start the replica again at its address. If it runs already, do nothing."""
        self._replica().start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_all(self) -> None:
        try:
            self.valkey.launch()  # it gets ready while PostgreSQL is set up
            ensure_primary_data(self.primary, DATABASE)
            self.primary.start()
            if self.replica is not None:
                self._start_following(self.replica)
            self.valkey.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _start_following(self, replica: Postgres) -> None:
        ensure_replica_data(self.primary, replica)
        try:
            replica.start()
        except StackError:
            # A replica has no data of its own, so copy a damaged one again, once.
            rebuild_replica_data(self.primary, replica)
            replica.start()

    def _replica(self) -> Postgres:
        if self.replica is None:
            raise StackError("these servers have no replica: start them with replica=True")
        return self.replica


def _port(wanted: int | None, variable: str, free: list[int]) -> int:
    if wanted is None:
        return free.pop()
    require_free(wanted, variable)
    return wanted
