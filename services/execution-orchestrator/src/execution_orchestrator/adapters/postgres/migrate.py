"""Brings a database to the schema of this release. Forwards only; a released migration is never edited."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from service_kit.connection_string import ConnectionString
from service_kit.connections import open_connection
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

SCRIPTS = Path(__file__).with_name("migrations")


def upgrade(url: str) -> None:
    """Run every migration that the database has not had yet, all in one transaction.

    `url` is the primary, as a URL or as `Host=...;Database=...`. May be repeated, and run by several
    processes at the same time: an advisory lock makes the others wait, then find nothing to do. Raises
    ValueError for an address that can't be read, and ConnectionError for a server that can't be reached.
    Starts an event loop of its own: where one runs already, await `upgrade_async`.
    """
    asyncio.run(upgrade_async(url))


async def upgrade_async(url: str) -> None:
    """Do what `upgrade` does, on the running event loop; one call at a time (Alembic's context is global)."""
    address = ConnectionString.parse(url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: open_connection(address), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_to_head)
    except OSError as error:
        message = f"cannot reach the primary at {address}: start it, or correct DEFAULT_CONNECTION"
        raise ConnectionError(message) from error
    finally:
        await engine.dispose()


def _to_head(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
