"""A database for each test: a copy of a template that is migrated once in a run."""

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from embedded_stack import Addresses

Result = TypeVar("Result")

REPLAY_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test."""

    name: str
    url: str
    """The URL on the primary."""
    replica_url: str
    """The URL on the replica; see `Databases.wait_for_replica`."""


class Databases:
    """Creates databases on the servers of the run. Its methods are synchronous and work in every thread."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="testkit-databases", daemon=True)
        self._thread.start()
        self._primary: asyncpg.Connection = self._run(asyncpg.connect(addresses.primary("postgres")))

    def template(self, name: str, migrate: Callable[[str], None]) -> str:
        """Return the name of a template for `create`; the first call of the run creates it.

        `migrate` gets the URL of an empty database and runs in a thread without an event loop, so it may use
        `asyncio.run`. It must close its connections: PostgreSQL copies only a database without connections.
        """
        template = f"template_{name}"
        lock = f"pg_advisory_lock(hashtext('{template}'))"
        self._execute(f"select {lock}")
        try:
            if not self._exists(template):
                unfinished = self.create().name
                with ThreadPoolExecutor(1) as executor:
                    executor.submit(migrate, self._addresses.primary(unfinished)).result()
                self._execute(f'alter database "{unfinished}" rename to "{template}"')
        finally:
            self._execute(f"select {lock.replace('lock', 'unlock', 1)}")
        return template

    def create(self, template: str | None = None) -> Database:
        """Create a database: a copy of the template, or an empty one."""
        name = f"test_{secrets.token_hex(6)}"
        # Copying files took 14 ms and logging every page 18 ms, on the schema of an empty database.
        self._execute(f'create database "{name}" template "{template or "template1"}" strategy file_copy')
        return Database(name, self._addresses.primary(name), self._addresses.replica(name))

    def drop(self, database: Database) -> None:
        """Remove a database, and end the connections that a test left open."""
        self._execute(f'drop database if exists "{database.name}" with (force)')

    def wait_for_replica(self, database: Database) -> None:
        """Wait until the replica has the current content of the database. Raise TimeoutError."""
        self._run(asyncio.wait_for(self._replayed(database), REPLAY_TIMEOUT_SECONDS))

    def close(self) -> None:
        """Close the connection to the servers."""
        self._run(self._primary.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _replayed(self, database: Database) -> None:
        lsn = await self._primary.fetchval("select pg_current_wal_flush_lsn()::text")
        replica = await self._connect_when_it_exists(database.replica_url)
        try:
            caught_up = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
            while not await replica.fetchval(caught_up, lsn):  # noqa: ASYNC110 - the event is in another process
                await asyncio.sleep(0.01)
        finally:
            await replica.close()

    @staticmethod
    async def _connect_when_it_exists(url: str) -> asyncpg.Connection:
        while True:
            with contextlib.suppress(asyncpg.InvalidCatalogNameError):
                return await asyncpg.connect(url)
            await asyncio.sleep(0.01)

    def _exists(self, name: str) -> bool:
        return bool(self._run(self._primary.fetchval("select 1 from pg_database where datname = $1", name)))

    def _execute(self, sql: str) -> None:
        self._run(self._primary.execute(sql))

    def _run(self, work: Awaitable[Result] | Coroutine[Any, Any, Result]) -> Result:
        async def run() -> Result:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
