"""Writes go to the primary; reads to the replica if it is there and fresh enough."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from service_kit.data.consistency import EVENTUAL, STRONG, ReadConsistency, at_least
from service_kit.data.database_errors import map_error
from service_kit.data.postgres import Connection, Database, NotPrimaryError, connect
from service_kit.errors import ServiceError
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from testkit.clock import FakeClock
from testkit.eventually import eventually
from testkit.ports import free_port

from tests.integration.orchestrator.tcp_proxy import proxy_to_postgres

ON_REPLICA = "SELECT pg_is_in_recovery()"


def settings(primary: str, replica: str | None = None) -> DatabaseSettings:
    return DatabaseSettings(
        default_connection=ConnectionString.parse(primary),
        read_only_connection=ConnectionString.parse(replica) if replica else None,
    )


async def is_replica(connection: Connection) -> bool:
    return bool(await connection.fetchval(ON_REPLICA))


async def reads_replica(database: Database, consistency: ReadConsistency = EVENTUAL) -> bool:
    return await database.read(is_replica, consistency)


@pytest.fixture
async def pair(database_url: str, replica_url: str) -> AsyncIterator[Database]:
    database = await connect(settings(database_url, replica_url), application_name="kit-test")
    yield database
    await database.close()


@pytest.fixture
async def lone(database_url: str) -> AsyncIterator[Database]:
    database = await connect(settings(database_url), application_name="kit-test")
    yield database
    await database.close()


async def test_reads_go_to_the_replica_strong_reads_and_writes_to_the_primary(pair: Database) -> None:
    assert await reads_replica(pair)
    assert not await reads_replica(pair, STRONG)
    async with pair.writer() as connection:
        assert not await is_replica(connection)
    await pair.check_primary()
    await pair.check_replica()


async def test_without_a_replica_all_goes_to_the_primary(lone: Database, database_url: str) -> None:
    assert not await reads_replica(lone)
    await lone.check_replica()
    same = await connect(settings(database_url, database_url), application_name="kit-test")
    assert same.replica is None
    await same.close()


async def test_a_session_is_set_up_and_costs_no_statement_when_it_is_given_back(lone: Database) -> None:
    async with lone.writer() as observer:
        async with lone.writer() as connection:
            assert await connection.fetchval("SHOW application_name") == "kit-test"
            assert await connection.fetchval("SHOW statement_timeout") == "30s"
            pid = await connection.fetchval("SELECT pg_backend_pid() AS last_statement")
        last = await observer.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
    assert last == "SELECT pg_backend_pid() AS last_statement"


async def test_json_arrives_as_text(lone: Database) -> None:
    async with lone.writer() as connection:
        assert await connection.fetchval("""SELECT '{"a": 1}'::jsonb""") == '{"a": 1}'
        assert await connection.fetchval("""SELECT '{"a":1}'::json""") == '{"a":1}'


async def test_a_read_with_the_token_of_a_write_sees_that_write(pair: Database) -> None:
    async with pair.writer() as connection:
        await connection.execute("CREATE TABLE written (n int)")
    for n in range(20):
        async with pair.writer() as connection:
            await connection.execute("INSERT INTO written VALUES ($1)", n)
            token = await pair.consistency_token(connection)
        newest = await pair.read(
            lambda connection: connection.fetchval("SELECT max(n) FROM written"), at_least(token)
        )
        assert newest == n


async def test_a_token_that_the_replica_has_replayed_is_read_from_the_replica(pair: Database) -> None:
    token = at_least(await pair.consistency_token())

    async def caught_up() -> None:
        assert await reads_replica(pair, token)

    await eventually(caught_up)


async def test_a_replica_that_is_down_is_left_out_for_a_while_and_then_asked_again(
    database_url: str, replica_url: str, clock: FakeClock
) -> None:
    database = await connect(settings(database_url, replica_url), application_name="kit-test", clock=clock)
    assert database.replica is not None
    pool, database.replica.pool = database.replica.pool, await unreachable_pool()
    assert not await reads_replica(database)
    with pytest.raises(OSError):
        await database.check_replica()
    database.replica.pool = pool
    assert not await reads_replica(database)
    await clock.advance(2.5)

    async def used_again() -> None:
        assert await reads_replica(database)

    await eventually(used_again)
    await database.close()


async def test_a_replica_too_far_behind_is_left_out(database_url: str, replica_url: str) -> None:
    database = await connect(
        settings(database_url, replica_url), application_name="kit-test", max_replica_lag_seconds=-1
    )
    assert not await reads_replica(database)
    with pytest.raises(Exception, match=r"0\.0 s behind"):
        await database.check_replica()
    await database.close()


async def test_a_query_that_the_replica_breaks_off_is_answered_by_the_primary(pair: Database) -> None:
    async def query(connection: Connection) -> bool:
        if await is_replica(connection):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return await is_replica(connection)

    assert not await pair.read(query)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (lambda connection: connection.execute("SELEC"), asyncpg.PostgresSyntaxError),
        (lambda connection: connection.fetchval("SELECT $1::int", "no number"), asyncpg.DataError),
        (lambda connection: connection.fetchval("SELECT $1::int"), asyncpg.InterfaceError),
    ],
)
async def test_a_wrong_query_is_not_held_against_the_replica(pair: Database, query: Any, error: Any) -> None:
    with pytest.raises(error):
        await pair.read(query)
    assert await reads_replica(pair)


async def test_a_pool_reconnects_after_its_connections_were_cut(lone: Database) -> None:
    with pytest.raises(asyncpg.PostgresConnectionError) as lost:
        async with lone.writer() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            await connection.execute("SELECT 1")
    mapped = map_error(lost.value)
    assert mapped is not None
    assert (mapped.code, mapped.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert map_error(ValueError("no connection matter")) is None

    await lone.check_primary()


async def test_connections_to_a_server_that_became_read_only_are_not_used_again(lone: Database) -> None:
    async with lone.writer() as connection:
        await connection.execute("CREATE TABLE written (n int)")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with lone.writer() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            await connection.execute("INSERT INTO written VALUES (1)")
    async with lone.writer() as connection:
        await connection.execute("INSERT INTO written VALUES (2)")


async def test_the_check_of_the_primary_notices_that_it_takes_no_writes(lone: Database) -> None:
    async with lone.duties.acquire() as connection:
        await connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(NotPrimaryError, match="DEFAULT_CONNECTION"):
        await lone.check_primary()
    await lone.check_primary()


async def test_a_standby_is_not_taken_for_the_primary(replica_url: str) -> None:
    with pytest.raises(ServiceError, match="cannot reach the primary"):
        await connect(settings(replica_url), application_name="kit-test", wait_seconds=0)


async def test_the_primary_is_found_among_several_hosts(database_url: str, replica_url: str) -> None:
    async with (
        proxy_to_postgres(replica_url) as (standby, _),
        proxy_to_postgres(database_url) as (primary, _),
    ):
        name = ConnectionString.parse(database_url).database
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        database = await connect(
            settings(f"postgresql://postgres@{hosts}/{name}"), application_name="kit-test"
        )
        async with database.writer() as connection:
            assert not await is_replica(connection)
        await database.close()


async def test_a_primary_that_is_not_there_is_awaited_and_then_named(clock: FakeClock) -> None:
    where = f"Host=127.0.0.1;Port={free_port()};Database=w;Username=u;Password=hunter2"
    connecting = asyncio.ensure_future(
        connect(settings(where), application_name="kit-test", wait_seconds=5, clock=clock)
    )

    while not connecting.done():
        await eventually(lambda: clock.sleepers == 1 or connecting.done())
        await clock.advance(1)

    with pytest.raises(ServiceError) as refused:
        await connecting
    assert "DEFAULT_CONNECTION" in refused.value.message
    assert "hunter2" not in refused.value.message


async def test_a_primary_that_refuses_is_named_at_once(database_url: str) -> None:
    wrong = ConnectionString.parse(database_url)
    where = f"Host={wrong.host};Port={wrong.port};Database=no_such_database;Username=postgres"

    with pytest.raises(ServiceError, match=r"no_such_database.*correct DEFAULT_CONNECTION"):
        await connect(settings(where), application_name="kit-test")


async def unreachable_pool() -> asyncpg.Pool:
    return await asyncpg.create_pool(host="127.0.0.1", port=free_port(), user="u", database="w", min_size=0)
