"""Run the Alembic migrations of a service while the system works, and while others are deployed.

Import this module for `migrate` only: Alembic takes memory that a serving process does not need.

1. One deployment migrates at a time. It holds an advisory lock of its session; the others ask for the lock
   again and again. They do not wait inside a statement: a waiting statement holds a snapshot, and CREATE
   INDEX CONCURRENTLY waits for every older snapshot, so the two would wait for each other.
2. Every migration is a separate transaction. If one fails, the migrations before it remain.
3. A statement waits at most LOCK_TIMEOUT for a lock. While it waits, every later writer of the table queues
   behind it. So it gives up and lets the writers pass, and after a pause the whole migration runs again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from service_kit.data.connections import open_connection
from service_kit.process.connection_string import ConnectionString
from service_kit.tools.backoff import Backoff

LOCK_TIMEOUT: Final = "1s"
"""How long a statement of a migration waits for a lock. It blocks the writers behind it no longer."""

GIVE_UP_SECONDS: Final = 600.0
"""How long one deployment tries to get the locks that its migrations need."""

LOCK_POLL_SECONDS: Final = 0.2
"""How often a deployment asks whether another one has finished."""

_LOCK_NOT_AVAILABLE: Final = "55P03"
_DEADLOCK_DETECTED: Final = "40P01"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migrations:
    """The migrations of one service."""

    scripts: Path
    """The folder with env.py and versions/."""
    lock_name: str
    """The name of the advisory lock. Each service has a different one, because services may share a database.
    """


@dataclass(frozen=True, slots=True)
class LockWaits:
    """How long a statement waits for a lock, as PostgreSQL writes it, and how long all tries may take."""

    statement: str = LOCK_TIMEOUT
    total_seconds: float = GIVE_UP_SECONDS


USUAL_WAITS: Final = LockWaits()


async def upgrade(
    url: str, migrations: Migrations, revision: str = "head", waits: LockWaits = USUAL_WAITS
) -> None:
    """Run every migration up to `revision` that the database has not had yet.

    `url` is the primary, as a URL or as `Host=...;Database=...`. The call may be repeated, and several
    processes may make it at the same time; within one process make one call at a time, because Alembic's
    context is global. Raise ValueError if the address cannot be read, ConnectionError if the server cannot
    be reached, and TimeoutError if other sessions kept a table locked for 10 minutes.
    """
    address = ConnectionString.parse(url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: open_connection(address), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            await _wait_for_turn(connection, migrations.lock_name)
            await _run_until_done(connection, migrations, revision, waits)
    except TimeoutError:
        raise
    except OSError as error:
        message = f"cannot reach the primary at {address}: start it, or correct DEFAULT_CONNECTION"
        raise ConnectionError(message) from error
    finally:
        await engine.dispose()


def run(connection: Connection, metadata: MetaData, version_table: str) -> None:
    """Run the migrations on the connection that `upgrade` opened. For env.py."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=version_table,  # a different one for each service: services may share a database
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _wait_for_turn(connection: AsyncConnection, lock_name: str) -> None:
    """Take the lock. It belongs to the session, so it ends with the connection."""
    ask = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    waited = False
    while True:
        ours = (await connection.execute(ask, {"name": lock_name})).scalar_one()
        await connection.commit()
        if ours:
            return
        if not waited:
            log.info("migration_waits_for_another_deployment", lock=lock_name)
            waited = True
        await asyncio.sleep(LOCK_POLL_SECONDS)


async def _run_until_done(
    connection: AsyncConnection, migrations: Migrations, revision: str, waits: LockWaits
) -> None:
    await connection.execute(text("SET statement_timeout = 0"))
    await connection.execute(text(f"SET lock_timeout = '{waits.statement}'"))
    await connection.commit()
    deadline = time.monotonic() + waits.total_seconds
    backoff = Backoff(first_seconds=0.2, max_seconds=5.0)
    while True:
        try:
            await connection.run_sync(_alembic, migrations.scripts, revision)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in (_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED):
                raise
            await connection.rollback()
            if time.monotonic() >= deadline:
                message = (
                    f"other sessions kept a table locked for {waits.total_seconds:g} s: end their "
                    "transactions (see pg_stat_activity), then run the migration again"
                )
                raise TimeoutError(message) from error
            log.info("migration_retried", error=str(error.orig))
            await asyncio.sleep(backoff.next())
        else:
            return


def _alembic(connection: Connection, scripts: Path, revision: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)
