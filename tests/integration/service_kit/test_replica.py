"""A replica that fails, falls silent or lags is left out, costs no connection, and comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from embedded_stack import Servers
from service_kit.data.postgres import Connection, Database, connect
from service_kit.data.replica import ReplicaLaggingError
from service_kit.data.silence import Patience
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from testkit import eventually
from testkit.clock import FakeClock
from testkit.directories import temporary_server_directory

from tests.integration.orchestrator.tcp_proxy import proxy_to_postgres

GENEROUS_SECONDS = 30.0


@asynccontextmanager
async def connected(
    primary: str, replica: str, *, connections: int = 8, **options: Any
) -> AsyncIterator[Database]:
    settings = DatabaseSettings(
        default_connection=ConnectionString.parse(primary),
        read_only_connection=ConnectionString.parse(replica),
        database_read_pool_size=connections,
    )
    database = await connect(settings, application_name="kit-test", **options)
    try:
        yield database
    finally:
        await database.close()


async def is_replica(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT pg_is_in_recovery()"))


async def reads_replica(database: Database) -> None:
    assert await database.read(is_replica)


async def test_a_read_that_the_replica_cancels_for_its_replay_is_answered_by_the_primary(
    database_url: str, replica_url: str
) -> None:
    """A recovery conflict: SQLSTATE 40001, though the read changed nothing."""

    async def query(connection: Connection) -> bool:
        if await is_replica(connection):
            await connection.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        return await is_replica(connection)

    async with connected(database_url, replica_url) as database:
        assert await database.read(query) is False


async def test_each_read_gives_its_connection_back(database_url: str, replica_url: str) -> None:
    async with connected(database_url, replica_url, connections=2) as database:
        for _ in range(3):
            assert await database.read(is_replica)


async def test_a_replica_that_is_behind_keeps_no_connection(
    database_url: str, replica_url: str, clock: FakeClock
) -> None:
    behind = connected(database_url, replica_url, connections=1, max_replica_lag_seconds=-1, clock=clock)
    async with behind as database:
        replica = database.replica
        assert replica is not None
        for _ in range(3):
            assert await replica.acquire(None) is None
            await clock.advance(2.5)
            await eventually(lambda: replica._trial is None)
        async with replica.pool.acquire(timeout=GENEROUS_SECONDS) as connection:
            assert await is_replica(connection)


async def test_a_silent_replica_is_left_out_at_once_and_used_again_when_it_answers(
    database_url: str, replica_url: str
) -> None:
    patience = Patience(before_asking=0.2, for_the_answer=0.5, between_looks=0.05)
    async with (
        proxy_to_postgres(replica_url) as (proxy, url),
        connected(database_url, url, replica_patience=patience) as database,
    ):
        await reads_replica(database)
        proxy.swallow()
        async with asyncio.timeout(GENEROUS_SECONDS):
            assert await database.read(is_replica) is False
            for _ in range(20):  # and none of these waits for the replica, not even while it is on trial
                assert await database.read(is_replica) is False
        with pytest.raises(OSError):
            await database.check_replica()
        await proxy.mend()
        await eventually(lambda: reads_replica(database), timeout=GENEROUS_SECONDS)

        await database.check_replica()


async def test_a_read_waits_for_no_trial_of_the_replica(
    database_url: str, replica_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(database_url, replica_url, clock=clock) as database:
        replica = database.replica
        assert replica is not None
        goes_on = asyncio.Event()
        check = replica.check

        async def slow_check() -> None:
            await goes_on.wait()
            await check()

        monkeypatch.setattr(replica, "check", slow_check)
        replica._trial_seconds = 4 * GENEROUS_SECONDS
        replica.leave_out(OSError("gone"))
        await clock.advance(2.5)
        async with asyncio.timeout(GENEROUS_SECONDS):
            for _ in range(3):
                assert await database.read(is_replica) is False
        goes_on.set()
        await eventually(lambda: reads_replica(database))


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """A primary and its replica for one test alone, which may stop them."""
    with temporary_server_directory() as directory, Servers.start(Path(directory), fsync=False) as servers:
        yield servers


async def test_a_replica_that_is_cut_off_from_its_primary_says_how_old_its_data_are(
    own_servers: Servers,
) -> None:
    addresses = own_servers.addresses
    writer = await asyncpg.connect(addresses.database_url)
    await writer.execute("CREATE TABLE written AS SELECT 1 AS n")
    await writer.close()
    own_servers.wait_for_replica()
    pair = connected(addresses.database_url, addresses.replica_url, max_replica_lag_seconds=0.5)
    async with pair as database:
        await database.check_replica()
        own_servers.kill_primary()

        async def too_old() -> bool:
            with contextlib.suppress(ReplicaLaggingError):
                await database.check_replica()
                return False
            return True

        await eventually(too_old, timeout=GENEROUS_SECONDS)
        assert database.replica is not None
        assert database.replica.lag_seconds > 0.5
        replica = database.replica

        async def left_out() -> None:
            connection = await replica.acquire(None)
            if connection is not None:
                await replica.release(connection)
            assert connection is None

        await eventually(left_out, timeout=GENEROUS_SECONDS)
