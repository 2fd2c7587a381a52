"""The migrations bring a database to exactly what tables.py says, once."""

import asyncio
import sys

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from execution_orchestrator.adapters.postgres.migrate import upgrade_async
from execution_orchestrator.adapters.postgres.tables import PARTITIONED, metadata
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from testkit.databases import Databases

PARTITIONS = {f"{table.name}_default" for table in PARTITIONED}


def _differences(connection: Connection) -> list[object]:
    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or (name not in PARTITIONS and not str(name).startswith("alembic_version"))

    options = {"compare_type": True, "include_name": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_a_migrated_database_has_the_tables_that_the_code_knows(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()

    assert differences == []


async def test_every_growing_table_takes_rows_of_any_id(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT inhrelid::regclass::text AS name FROM pg_inherits ORDER BY 1")
    await connection.close()

    assert {row["name"] for row in rows if row["name"].endswith("_default")} == PARTITIONS


async def test_rows_that_change_leave_room_on_their_page(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND 'fillfactor=80' = ANY(reloptions) ORDER BY 1"
    rows = await connection.fetch(sql)
    await connection.close()

    assert [row["relname"] for row in rows] == ["executions_default", "task_runs_default"]


async def test_payloads_are_compressed_with_lz4_in_every_partition_where_the_server_has_it(
    database_url: str,
) -> None:
    connection = await asyncpg.connect(database_url)
    sql = "SELECT enumvals::text FROM pg_settings WHERE name = 'default_toast_compression'"
    has_lz4 = "lz4" in await connection.fetchval(sql)
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = 'executions_default'::regclass AND attcompression = 'l'"
    )

    await connection.close()

    assert {row["attname"] for row in rows} == ({"input", "output", "failure"} if has_lz4 else set())


async def test_several_deployments_may_migrate_the_same_database_at_once(databases: Databases) -> None:
    database = databases.create()
    module = "execution_orchestrator.adapters.postgres.migrate"
    code = f"import sys; from {module} import upgrade; upgrade(sys.argv[1])"
    command = (sys.executable, "-W", "error", "-c", code, database.url)
    deployments = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
    assert [await deployment.wait() for deployment in deployments] == [0, 0, 0]
    connection = await asyncpg.connect(database.url)
    versions = await connection.fetch("SELECT version_num FROM alembic_version_orchestrator")
    await connection.close()

    databases.drop(database)

    assert [row["version_num"] for row in versions] == ["0006"]


async def test_a_second_migration_changes_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    before = await connection.fetch("SELECT oid, relname FROM pg_class ORDER BY oid")
    await upgrade_async(database_url)
    after = await connection.fetch("SELECT oid, relname FROM pg_class ORDER BY oid")
    await connection.close()

    assert before == after


async def test_a_primary_that_cannot_be_reached_is_named_without_its_password() -> None:
    with pytest.raises(ConnectionError, match=r"cannot reach the primary at .*127\.0\.0\.1:1") as raised:
        await upgrade_async("postgresql://someone:secret@127.0.0.1:1/workflows")
    assert "secret" not in str(raised.value)
