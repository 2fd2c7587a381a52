"""A PostgreSQL that has fallen silent is given up, a slow one is not, and no connection waits twice."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from service_kit.data.connections import ConnectionSource
from service_kit.data.database_errors import is_connection_lost
from service_kit.data.postgres import Connection, Database, connect
from service_kit.data.silence import Patience
from service_kit.process.connection_string import ConnectionString
from service_kit.process.settings import DatabaseSettings
from service_kit.tools.keepalive import tcp_options
from testkit import eventually

from tests.integration.orchestrator.tcp_proxy import TcpProxy, proxy_to_postgres

SOON = Patience(before_asking=0.2, for_the_answer=1.0, between_looks=0.05)
"""The watch looks often, and asks soon."""

GENEROUS_SECONDS = 30.0


@pytest.fixture
async def proxied(database_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    async with proxy_to_postgres(database_url) as both:
        yield both


@pytest.fixture
def proxy(proxied: tuple[TcpProxy, str]) -> TcpProxy:
    return proxied[0]


@pytest.fixture
async def kit(proxied: tuple[TcpProxy, str]) -> AsyncIterator[Database]:
    settings = DatabaseSettings(default_connection=ConnectionString.parse(proxied[1]))
    database = await connect(settings, application_name="kit-test", patience=SOON)
    yield database
    await database.close()


async def lost(query: Any) -> None:
    """Await a query that must end with the error of a lost connection."""
    with pytest.raises(Exception) as caught:
        async with asyncio.timeout(GENEROUS_SECONDS):
            await query
    assert not isinstance(caught.value, TimeoutError)
    assert is_connection_lost(caught.value)


async def write(kit: Database, sql: str, *arguments: Any) -> Any:
    async with kit.writer() as connection:
        return await connection.fetchval(sql, *arguments)


async def open_at_once(kit: Database, count: int) -> None:
    """Let the pool have this many connections."""
    meeting = asyncio.Barrier(count)

    async def one() -> None:
        async with kit.writer() as connection:
            await connection.fetchval("SELECT 1")
            await meeting.wait()

    await asyncio.gather(*(one() for _ in range(count)))


async def test_a_statement_that_was_swallowed_is_given_up_and_costs_no_other_connection_a_wait(
    kit: Database, proxy: TcpProxy
) -> None:
    await open_at_once(kit, 4)
    assert proxy.swallow(new_too=False) >= 4
    await lost(write(kit, "SELECT 1"))
    for _ in range(5):
        assert await write(kit, "SELECT 2") == 2


async def test_a_server_that_answers_nobody_is_given_up_and_used_again_when_it_answers(
    kit: Database, proxy: TcpProxy
) -> None:
    await write(kit, "SELECT 1")
    proxy.swallow()
    await lost(write(kit, "SELECT 1"))
    assert proxy.swallowed_bytes > 0
    await proxy.mend()

    async def answered() -> None:
        try:
            assert await write(kit, "SELECT 2") == 2
        except Exception as error:
            raise AssertionError from error

    await eventually(answered, timeout=GENEROUS_SECONDS)


async def test_a_statement_that_is_only_slow_is_waited_for(kit: Database) -> None:
    async with kit.writer() as connection:
        assert await connection.fetchval("SELECT 1 FROM pg_sleep(1.5)") == 1
        assert connection.vouched_until > 0, "nobody asked whether the server works on it"


async def test_a_statement_that_waits_for_a_lock_is_waited_for(kit: Database) -> None:
    await write(kit, "CREATE TABLE locked AS SELECT 1 AS a")
    async with kit.writer() as holder, kit.writer() as waiter:
        block = holder.transaction()
        await block.start()
        await holder.execute("LOCK TABLE locked")
        waiting = asyncio.create_task(waiter.fetchval("SELECT a FROM locked"))
        await eventually(lambda: waiter.vouched_until > 0, timeout=GENEROUS_SECONDS)
        await block.commit()

        assert await waiting == 1


async def test_the_locks_of_a_broken_connection_are_freed(
    kit: Database, proxy: TcpProxy, database_url: str
) -> None:
    await write(kit, "CREATE TABLE locked AS SELECT 1 AS a")

    async def lock_and_vanish() -> None:
        async with kit.writer() as connection, connection.transaction():
            await connection.execute("LOCK TABLE locked")
            proxy.swallow(new_too=False)
            await connection.execute("UPDATE locked SET a = 2")

    await lost(lock_and_vanish())
    direct = await asyncpg.connect(database_url)
    async with asyncio.timeout(GENEROUS_SECONDS):  # idle_in_transaction_session_timeout is 60 s
        assert await direct.fetchval("UPDATE locked SET a = 3 RETURNING a") == 3
    await direct.close()


async def test_a_statement_is_given_up_when_its_time_is_over_though_the_server_works_on_it(
    proxied: tuple[TcpProxy, str],
) -> None:
    settings = DatabaseSettings(
        default_connection=ConnectionString.parse(proxied[1]), database_statement_timeout=0.2
    )
    patience = replace(SOON, after_the_timeout=0.1)
    database = await connect(settings, application_name="kit-test", patience=patience)
    async with database.writer() as connection:
        await connection.execute("SET statement_timeout = 0")
        await lost(connection.fetchval("SELECT pg_sleep(60)"))

    await database.close()


async def test_a_server_without_a_connection_to_spare_is_not_taken_for_silent(
    kit: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def refuse(*_: Any, **__: Any) -> Connection:
        asked.set()
        raise asyncpg.TooManyConnectionsError("sorry, too many clients already")

    monkeypatch.setattr(ConnectionSource, "open_apart", refuse)
    async with kit.writer() as connection:
        assert await connection.fetchval("SELECT 1 FROM pg_sleep(1.5)") == 1
    assert asked.is_set()


async def test_a_connection_over_tcp_is_kept_alive_from_both_ends(kit: Database) -> None:
    async with kit.writer() as connection:
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert {option: sock.getsockopt(socket.IPPROTO_TCP, option) for option in tcp_options()} == {
            socket.TCP_KEEPIDLE: 5,
            socket.TCP_KEEPINTVL: 2,
            socket.TCP_KEEPCNT: 3,
            socket.TCP_USER_TIMEOUT: 10_000,
        }

        for pool in (kit.reads, kit.duties):
            async with pool.acquire() as other:
                sock = other._transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_the_watch_ends_with_its_database(kit: Database) -> None:
    await kit.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "silence watch"]
