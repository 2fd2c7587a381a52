"""Tokens over the life of database servers: lag, failover, restore. Each test has servers of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import cycle

import pytest
from embedded_stack import Servers
from service_kit.data.consistency import LogPosition, at_least, decode, encode
from service_kit.data.postgres import Connection, Database, connect
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from service_kit.tools.clock import SystemClock
from testkit.directories import temporary_server_directory
from testkit.eventually import eventually

from tests.integration.orchestrator.tcp_proxy import proxy_to


class NotingClock(SystemClock):
    """The real time; notes how long somebody wanted to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@asynccontextmanager
async def connected(primary: str, replica: str, clock: NotingClock) -> AsyncIterator[Database]:
    settings = DatabaseSettings(
        default_connection=ConnectionString.parse(primary),
        read_only_connection=ConnectionString.parse(replica),
    )
    database = await connect(settings, application_name="kit-test", clock=clock)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with temporary_server_directory() as directory, Servers.start(directory, fsync=False) as servers:
        yield servers


@pytest.fixture
def clock() -> NotingClock:
    return NotingClock()


@pytest.fixture
async def pair(servers: Servers, clock: NotingClock) -> AsyncIterator[Database]:
    addresses = servers.addresses
    async with connected(addresses.database_url, addresses.replica_url, clock) as database:
        await eventually(lambda: _reads_where(database, addresses.replica_port))
        yield database


async def port_of(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT current_setting('port')"))


async def _reads_where(database: Database, port: int) -> None:
    assert await database.read(port_of) == port


async def token_of(database: Database) -> str:
    """The token of a write that has just been made."""
    async with database.writer() as connection:
        await connection.execute("SELECT pg_logical_emit_message(true, 'test', 'a commit')")
        return await database.consistency_token(connection)


def changed(token: str, **fields: int) -> str:
    position = decode(token)
    assert position is not None
    return encode(replace(position, **fields))


async def on_replica(servers: Servers, database: Database, token: str) -> bool:
    return await database.read(port_of, at_least(token)) == servers.addresses.replica_port


async def test_a_token_names_the_server_that_gave_it_whatever_the_rights_of_the_role(
    servers: Servers, pair: Database
) -> None:
    async with pair.writer() as connection:
        await connection.execute("CREATE ROLE somebody")
        await connection.execute("SET ROLE somebody")
        token = await pair.consistency_token(connection)
        await connection.execute("RESET ROLE")
        control = await connection.fetchrow(
            "SELECT system_identifier, (pg_control_checkpoint()).timeline_id FROM pg_control_system()"
        )
        assert control is not None

        position = decode(token)

        assert isinstance(position, LogPosition)
        assert (position.system, position.timeline) == tuple(control)
        assert await connection.fetchval("SELECT $1 <= pg_current_wal_insert_lsn() - '0/0'", position.lsn)


async def test_a_replica_is_given_time_to_reach_what_the_primary_has(
    servers: Servers, pair: Database, clock: NotingClock
) -> None:
    async with replay_paused(servers):
        token = await token_of(pair)
        assert not await on_replica(servers, pair, token)
        assert sum(clock.slept) > 0.05

    async def reached() -> None:
        assert await on_replica(servers, pair, token)

    await eventually(reached)


async def test_nobody_waits_for_a_commit_that_the_primary_does_not_have(
    servers: Servers, pair: Database, clock: NotingClock
) -> None:
    """As after a restore from a backup: a client goes on with the token of a past that is gone."""
    gone = changed(await token_of(pair), lsn=2**60)
    clock.slept.clear()
    assert not await on_replica(servers, pair, gone)
    assert clock.slept == [0.005]
    for _ in range(5):
        assert not await on_replica(servers, pair, gone)

    assert clock.slept == [0.005]


async def test_other_tokens_are_read_from_the_replica_beside_one_that_is_gone(
    servers: Servers, pair: Database
) -> None:
    token = await token_of(pair)
    assert not await on_replica(servers, pair, changed(token, lsn=2**60))

    async def reached() -> None:
        assert await on_replica(servers, pair, token)

    await eventually(reached)


async def test_a_token_of_another_database_server_is_read_from_the_primary_at_once(
    servers: Servers, pair: Database, clock: NotingClock
) -> None:
    """As after a restore into a new server, or a token of the catalog that is given to the orchestrator."""
    with temporary_server_directory() as directory, Servers.start(directory, replica=False) as other:
        url = other.addresses.database_url
        async with connected(url, servers.addresses.replica_url, clock) as database:
            token = await token_of(database)
    clock.slept.clear()

    assert not await on_replica(servers, pair, token)
    assert clock.slept == []


async def test_a_replica_on_an_older_timeline_has_not_seen_what_follows_a_failover(
    servers: Servers, pair: Database, clock: NotingClock
) -> None:
    token = await token_of(pair)
    clock.slept.clear()

    assert not await on_replica(servers, pair, changed(token, timeline=2, lsn=1))
    assert clock.slept == []


async def test_tokens_outlive_a_failover_and_the_old_primary_does_not_answer_for_the_new_one(
    clock: NotingClock,
) -> None:
    with temporary_server_directory() as directory, Servers.start(directory, fsync=False) as servers:
        addresses = servers.addresses
        async with connected(addresses.database_url, addresses.replica_url, clock) as before:
            old = await token_of(before)
            await asyncio.to_thread(servers.wait_for_replica)
        await asyncio.to_thread(servers.kill_primary)
        assert servers.replica is not None
        await asyncio.to_thread(servers.replica.query, "SELECT pg_promote()")
        ports = str(addresses.postgres_port), str(addresses.replica_port)
        over_tcp = addresses.database_tcp_url.replace(*ports)
        async with connected(addresses.replica_url, over_tcp, clock) as promoted:
            clock.slept.clear()
            assert await promoted.read(over_a_socket, at_least(old)) is False
            assert clock.slept == []
        await asyncio.to_thread(servers.start_primary)  # nobody has told it that it was replaced

        async with connected(addresses.replica_url, addresses.database_url, clock) as split:
            new = await token_of(split)
            await _write_beyond(servers, new)
            assert await split.read(port_of) == addresses.postgres_port
            assert await split.read(port_of, at_least(new)) == addresses.replica_port


async def test_behind_one_name_each_replica_answers_only_for_itself(
    servers: Servers, clock: NotingClock
) -> None:
    """The primary plays a replica that is up to date; the next connection leads to one that stands still."""
    addresses = servers.addresses
    ports = cycle([addresses.postgres_port, addresses.replica_port])

    async def next_server() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(f"{addresses.socket_directory}/.s.PGSQL.{next(ports)}")

    async with proxy_to(next_server) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}/workflows"
        async with connected(addresses.database_url, url, clock) as database, replay_paused(servers):
            token = at_least(await token_of(database))

            async def on_two_connections(first: Connection) -> tuple[int, int, int]:
                second = await database.read(port_of)
                return await port_of(first), second, await database.read(port_of, token)

            ports_read = await database.read(on_two_connections, token)
            assert ports_read[:2] == (addresses.postgres_port, addresses.replica_port)
            assert ports_read[2] == addresses.postgres_port


async def over_a_socket(connection: Connection) -> bool:
    return await connection.fetchval("SELECT inet_server_addr() IS NULL") is True


async def _write_beyond(servers: Servers, token: str) -> None:
    """Let the old primary go on until its log is longer than that of the new one."""
    position = decode(token)
    assert position is not None
    write = "SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))"
    length = "SELECT pg_current_wal_flush_lsn() - '0/0'"
    while int(await asyncio.to_thread(servers.primary.query, length)) <= position.lsn:
        await asyncio.to_thread(servers.primary.query, write)


@asynccontextmanager
async def replay_paused(servers: Servers) -> AsyncIterator[None]:
    """The replica stands still for as long as the block lasts."""
    assert servers.replica is not None
    await asyncio.to_thread(servers.replica.query, "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        await asyncio.to_thread(servers.replica.query, "SELECT pg_wal_replay_resume()")
