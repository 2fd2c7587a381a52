"""The migrations bring a database to exactly what tables.py says, once."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from service_kit.data import migrations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from testkit.databases import Databases
from workflow_catalog.adapters.postgres.migrate import MIGRATIONS, upgrade_async
from workflow_catalog.adapters.postgres.tables import metadata


def _differences(connection: Connection) -> list[object]:
    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or not str(name).startswith("alembic_version")

    options = {"compare_type": True, "include_name": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_a_migrated_database_has_the_tables_that_the_code_knows(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()

    assert differences == []


async def test_ids_sort_by_their_bytes(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    sql = "SELECT column_name, collation_name FROM information_schema.columns WHERE table_name = 'workflows'"
    collations = dict(await connection.fetch(sql))
    await connection.close()

    assert (collations["namespace"], collations["workflow_id"]) == ("C", "C")


async def test_several_deployments_may_migrate_the_same_database_at_once(databases: Databases) -> None:
    database = databases.create()
    module = "workflow_catalog.adapters.postgres.migrate"
    code = f"import sys; from {module} import upgrade; upgrade(sys.argv[1])"
    command = (sys.executable, "-W", "error", "-c", code, database.url)
    deployments = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
    assert [await deployment.wait() for deployment in deployments] == [0, 0, 0]
    connection = await asyncpg.connect(database.url)
    versions = await connection.fetch("SELECT version_num FROM alembic_version_catalog")
    await connection.close()

    databases.drop(database)

    assert [row["version_num"] for row in versions] == ["0002"]


async def test_a_second_migration_changes_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    before = await connection.fetch("SELECT oid, relname FROM pg_class ORDER BY oid")
    await upgrade_async(database_url)
    after = await connection.fetch("SELECT oid, relname FROM pg_class ORDER BY oid")
    await connection.close()

    assert before == after


async def test_what_the_first_release_has_stored_is_found_by_what_the_second_one_lists(
    databases: Databases,
) -> None:
    database = databases.create()
    await migrations.upgrade(database.url, MIGRATIONS, "0001")
    connection = await asyncpg.connect(database.url)
    draft = '{"labels":{"tier":"1"},"owner":"shop","tasks":[]}'
    for workflow_id, text in (("orders", draft), ("mails", '{"tasks":[]}')):
        await connection.execute(
            "INSERT INTO workflows VALUES ('default', $1, 'DRAFT', $2, 'h', 1, 0, '', now(), now())",
            workflow_id,
            text,
        )
    await upgrade_async(database.url)
    rows = await connection.fetch("SELECT workflow_id, draft, owner, labels FROM workflows ORDER BY 1")
    await connection.close()

    databases.drop(database)

    assert [tuple(row) for row in rows] == [
        ("mails", '{"tasks":[]}', "", "{}"),
        ("orders", draft, "shop", '{"tier": "1"}'),
    ]
