"""Migrate a database to the schema of this release, forwards only. Never edit a released migration."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service_kit.data import migrations

MIGRATIONS = migrations.Migrations(Path(__file__).with_name("migrations"), "workflow-catalog migrations")


def upgrade(url: str) -> None:
    """Run every migration that the database has not had yet, each in a separate transaction.

    `url` is the primary, as a URL or as `Host=...;Database=...`. May be repeated, and run by several
    processes at the same time: one of them migrates, and the others wait and find nothing to do. Raise
    ValueError, ConnectionError and TimeoutError as `service_kit.data.migrations.upgrade` does. This function
    starts a new event loop: if one is running already, await `upgrade_async`.
    """
    asyncio.run(upgrade_async(url))


async def upgrade_async(url: str) -> None:
    """Do the same as `upgrade` on the running event loop. Do not run two calls at once."""
    await migrations.upgrade(url, MIGRATIONS)
