"""The real servers that tests stand on."""

import asyncio
from collections.abc import Iterator

import asyncpg
import grpc
import pytest
from embedded_stack.valkey import Valkey
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from redis.asyncio import Redis
from testkit.databases import Database, Databases
from testkit.grpc_server import grpc_server


def migrate(url: str) -> None:
    async def create_table() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("create table migrated (answer int); insert into migrated values (42)")
        await connection.close()

    asyncio.run(create_table())


@pytest.fixture
def migrated(databases: Databases) -> Iterator[Database]:
    database = databases.create(databases.template("testkit", migrate))
    yield database
    databases.drop(database)


async def fetch(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_has_a_database_of_its_own(database_url: str, turn: str) -> None:
    await fetch(database_url, "create table only_mine (a int)")


async def test_a_database_is_a_copy_of_its_template(migrated: Database) -> None:
    assert await fetch(migrated.url, "select answer from migrated") == 42


def test_a_template_is_migrated_once_per_run(databases: Databases) -> None:
    def migrate_again(_: str) -> None:
        raise AssertionError("migrated twice")

    assert databases.template("testkit", migrate) == databases.template("testkit", migrate_again)


def test_a_template_whose_migration_failed_is_made_again(databases: Databases) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("broken migration")

    with pytest.raises(RuntimeError, match="broken migration"):
        databases.template("testkit_retried", fail)
    assert databases.template("testkit_retried", migrate) == "template_testkit_retried"


async def test_the_replica_has_the_database_and_refuses_writes(database_url: str, replica_url: str) -> None:
    assert await fetch(replica_url, "select pg_is_in_recovery()") is True
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await fetch(replica_url, "create table t (a int)")


async def test_what_the_primary_committed_can_be_awaited_on_the_replica(
    databases: Databases, database: Database
) -> None:
    await fetch(database.url, "create table t as select 7 as a")
    await asyncio.to_thread(databases.wait_for_replica, database)

    assert await fetch(database.replica_url, "select a from t") == 7


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_every_test_finds_an_empty_redis(redis_url: str, turn: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() == 0
        await redis.set("left over", "by the other turn")


async def test_a_redis_killed_by_a_test_comes_back_at_its_address(redis_server: Valkey) -> None:
    redis_server.kill()
    redis_server.start()
    async with Redis.from_url(redis_server.url) as redis:
        assert await redis.ping()


async def test_a_grpc_server_answers_through_its_channel() -> None:
    servicer = health.HealthServicer()
    await servicer.set("probe", health_pb2.HealthCheckResponse.SERVING)

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    async with grpc_server(register) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(service="probe"))

        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
