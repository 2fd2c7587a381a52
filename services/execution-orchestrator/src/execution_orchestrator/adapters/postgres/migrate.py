"""The migration of a database to the schema of this release. It goes forwards only; nobody edits a released
migration.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from service_kit.data import migrations

MIGRATIONS = migrations.Migrations(
    Path(__file__).with_name("migrations"), "execution-orchestrator migrations"
)


def upgrade(url: str) -> None:
    """Run every migration that the database lacks, each in its own transaction.

    `url` is the primary, as a URL or as `Host=...;Database=...`. May be repeated, and several processes may
    run it at the same time: one of them migrates, the others wait and find nothing to do. Raise ValueError,
    ConnectionError and TimeoutError as `service_kit.data.migrations.upgrade` does. This starts an event loop:
    if one runs already, await `upgrade_async`.
    """
    asyncio.run(upgrade_async(url))


async def upgrade_async(url: str) -> None:
    """Do what `upgrade` does, on the running event loop; one call at a time."""
    await migrations.upgrade(url, MIGRATIONS)
