"""Migrations run beside sessions that work, and beside other deployments."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from service_kit.data import migrations
from service_kit.data.migrations import Migrations
from sqlalchemy.exc import DBAPIError
from testkit import eventually

ENVIRONMENT = """
from alembic import context
from service_kit.data.migrations import run
from sqlalchemy import MetaData

run(context.config.attributes["connection"], MetaData(), version_table="alembic_version_test")
"""
MIGRATION = """
from alembic import op
from service_kit.data.concurrent_index import create_index_concurrently

revision = "{revision}"
down_revision = {before!r}


def upgrade():
    {body}
"""
PARTITIONED = """
CREATE TABLE orders (id integer NOT NULL, amount integer) PARTITION BY RANGE (id);
CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (1000);
CREATE TABLE orders_high PARTITION OF orders DEFAULT;
INSERT INTO orders SELECT n, 1 FROM generate_series(1, 2000) n;
"""
INDEX = "create_index_concurrently('CREATE UNIQUE INDEX orders_by_amount ON orders (id, amount)')"
INDEXES = (
    "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE c.relname LIKE 'orders%' ORDER BY 1"
)
BUILT = [("orders_by_amount", True), ("orders_high_by_amount", True), ("orders_low_by_amount", True)]
SECONDS = 30
"""Longer than anything takes that does not wait for a lock."""


@pytest.fixture
def database_template() -> None:
    """These databases begin empty."""


def written(folder: Path, *bodies: str) -> Migrations:
    """Migrations 1, 2, ... with these bodies."""
    versions = folder / "versions"
    versions.mkdir(exist_ok=True)
    (folder / "env.py").write_text(ENVIRONMENT)
    for number, body in enumerate(bodies, 1):
        before = str(number - 1) if number > 1 else None
        text = MIGRATION.format(revision=number, before=before, body=body)
        (versions / f"{number}_step.py").write_text(text)
    return Migrations(folder, "test migrations")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session whose transactions stay open for as long as a test likes."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def waiting_for_a_lock(connection: asyncpg.Connection) -> None:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND (query LIKE 'ALTER TABLE%' OR query LIKE 'CREATE%CONCURRENTLY%')"
    )
    assert await connection.fetchval(query)


async def test_writers_pass_while_a_migration_cannot_get_its_lock_and_it_succeeds_in_the_end(
    database_url: str, connection: asyncpg.Connection, other: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute("CREATE TABLE orders (id integer)")
    steps = written(tmp_path, "op.execute('ALTER TABLE orders ADD COLUMN amount integer')")
    block = other.transaction()
    await block.start()
    await other.fetch("SELECT * FROM orders")
    migrating = asyncio.create_task(migrations.upgrade(database_url, steps))
    for number in range(3):
        await eventually(lambda: waiting_for_a_lock(connection), SECONDS)
        insert = connection.execute(f"INSERT INTO orders (id) VALUES ({number})")
        await asyncio.wait_for(insert, SECONDS)  # while the other transaction is open
    assert not migrating.done()
    await block.commit()
    await asyncio.wait_for(migrating, SECONDS)

    await connection.fetch("SELECT amount FROM orders")


async def test_a_migration_that_finds_a_table_locked_for_too_long_says_what_to_do(
    database_url: str,
    connection: asyncpg.Connection,
    other: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    await connection.execute("CREATE TABLE orders (id integer)")
    steps = written(tmp_path, "op.execute('ALTER TABLE orders ADD COLUMN amount integer')")
    async with other.transaction():
        await other.fetch("SELECT * FROM orders")
        impatient = migrations.LockWaits(statement="10ms", total_seconds=0.0)

        with pytest.raises(TimeoutError, match="end their transactions"):
            await migrations.upgrade(database_url, steps, waits=impatient)


async def test_a_migration_that_fails_leaves_those_before_it_in_place(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    steps = written(tmp_path, "op.execute('CREATE TABLE one ()')", "op.execute('CREATE TABLE one ()')")
    with pytest.raises(DBAPIError, match="already exists"):
        await migrations.upgrade(database_url, steps)
    assert await connection.fetchval("SELECT version_num FROM alembic_version_test") == "1"
    await migrations.upgrade(database_url, written(tmp_path, "pass", "op.execute('CREATE TABLE two ()')"))
    await connection.fetch("SELECT FROM one, two")


async def test_an_index_is_built_on_every_partition_while_others_write(
    database_url: str, connection: asyncpg.Connection, other: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(PARTITIONED)
    block = other.transaction()
    await block.start()
    await other.execute("INSERT INTO orders_low VALUES (0, 1)")  # the build waits for this transaction
    migrating = asyncio.create_task(migrations.upgrade(database_url, written(tmp_path, INDEX)))
    # The index of the other partition is built by then, so the one that waits is that of the last partition.
    await eventually(lambda: _has(connection, "orders_low_by_amount"), SECONDS)
    await eventually(lambda: waiting_for_a_lock(connection), SECONDS)
    await asyncio.wait_for(connection.execute("INSERT INTO orders_low VALUES (5, 2)"), SECONDS)
    assert not migrating.done()
    await block.commit()

    await asyncio.wait_for(migrating, SECONDS)

    assert await connection.fetch(INDEXES) == BUILT


async def _has(connection: asyncpg.Connection, index: str) -> None:
    assert await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", index)


async def test_an_index_whose_build_was_interrupted_is_built_again(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute(PARTITIONED + "INSERT INTO orders VALUES (5, 1)")  # twice: the build must fail
    steps = written(tmp_path, INDEX)
    with pytest.raises(DBAPIError, match="could not create unique index"):
        await migrations.upgrade(database_url, steps)
    assert ("orders_low_by_amount", False) in await connection.fetch(INDEXES)
    await connection.execute("DELETE FROM orders WHERE id = 5")
    await migrations.upgrade(database_url, steps)

    assert await connection.fetch(INDEXES) == BUILT


async def test_an_index_of_a_table_without_partitions_is_built_too(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute("CREATE TABLE orders (id integer, amount integer)")
    await migrations.upgrade(database_url, written(tmp_path, INDEX))

    assert await connection.fetch(INDEXES) == [("orders_by_amount", True)]


async def test_a_deployment_that_waits_for_another_one_does_not_keep_it_from_building_an_index(
    database_url: str, connection: asyncpg.Connection, other: asyncpg.Connection, tmp_path: Path
) -> None:
    """The build waits for every snapshot that is older than it: the waiting deployment must not hold one."""
    await connection.execute(PARTITIONED)
    steps = written(tmp_path, INDEX)
    block = other.transaction()
    await block.start()
    await other.execute("INSERT INTO orders_low VALUES (0, 1)")
    first = asyncio.create_task(migrations.upgrade(database_url, steps))
    await eventually(lambda: waiting_for_a_lock(connection), SECONDS)
    second = asyncio.create_task(migrations.upgrade(database_url, steps))
    await eventually(lambda: _asks_for_the_turn(connection), SECONDS)
    await block.commit()

    await asyncio.wait_for(asyncio.gather(first, second), SECONDS)

    assert await connection.fetch(INDEXES) == BUILT


async def _asks_for_the_turn(connection: asyncpg.Connection) -> None:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%advisory%'"
    )
    assert await connection.fetchval(f"{query} AND pid <> pg_backend_pid()")


@pytest.mark.parametrize("statement", ["CREATE INDEX ON orders (id)", "CREATE INDEX a ON orders"])
async def test_an_index_in_another_form_is_refused(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path, statement: str
) -> None:
    await connection.execute("CREATE TABLE orders (id integer)")
    steps = written(tmp_path, f"create_index_concurrently({statement!r})")

    with pytest.raises(ValueError, match="write the index as"):
        await migrations.upgrade(database_url, steps)
