"""Whether the disk of the database is full, as far as a service can see it.

PostgreSQL goes on reading while its disk is full, so a query says nothing about the next write. Whoever meets
the error notes it; from then on health checks try a small write, until one succeeds.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

# A temporary table has a file in the directory of the others. 1 MiB is more than old files may have left.
# Nothing of it stays: the transaction is rolled back.
_WRITE = """
CREATE TEMPORARY TABLE workflowsystem_disk_probe ON COMMIT DROP AS
SELECT repeat(md5(n::text), 32) AS text FROM generate_series(1, 1000) AS n"""

log = structlog.get_logger(__name__)


class DiskFullError(Exception):
    """The disk of the database is full; the text says what to do."""


class _RolledBackError(Exception):
    """Ends the probe's transaction after the write has succeeded."""


class Disk:
    """What is known of the disk of one database."""

    def __init__(self) -> None:
        self.is_full = False

    def note_full(self) -> None:
        """Note that a statement failed because the disk is full."""
        if not self.is_full:
            log.error("database_disk_full")
        self.is_full = True

    async def check(self, connection: Any) -> None:
        """Raise DiskFullError if a statement has failed and a small write fails still.

        Costs nothing as long as no statement has failed.
        """
        if not self.is_full:
            return
        try:
            async with connection.transaction():
                await connection.execute(_WRITE)
                raise _RolledBackError
        except asyncpg.DiskFullError as error:
            message = "the disk of the database is full: free space on it, or enlarge it"
            raise DiskFullError(message) from error
        except (_RolledBackError, asyncpg.InsufficientPrivilegeError):
            self.is_full = False  # without the right to try, the next write decides
            log.info("database_disk_has_room")
